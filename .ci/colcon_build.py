"""Builds this package with colcon in the virtual environment: ``./run colcon [colcon options]``.

The install space is ``<venv>/colcon/install``; source its ``setup.bash`` as on any ROS 2 install.
"""

from __future__ import annotations

import subprocess
import sys

from build_interfaces import ROOT, VENV, cmake_options, environment, mend_exported_paths


def main() -> int:
    """Runs ``colcon build`` and returns its exit code."""
    mend_exported_paths()
    base = VENV / "colcon"
    base.mkdir(exist_ok=True)
    command = ["colcon", "--log-base", str(base / "log"), "build", "--paths", str(ROOT)]
    command += ["--build-base", str(base / "build"), "--install-base", str(base / "install")]
    command += [*sys.argv[1:], "--cmake-args", *cmake_options()]
    return subprocess.run(command, env=environment(), cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
