"""Builds the generated messages into the virtual environment that runs this file.

The ROS 2 wheels bring the message generators but not ``tf2_msgs``; its ``TFMessage`` is one field, so
generating it here gives a wire-compatible type. Done again only when a definition changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(sys.prefix)

TF2_CMAKE = """cmake_minimum_required(VERSION 3.22)
project(tf2_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
rosidl_generate_interfaces(${PROJECT_NAME} msg/TFMessage.msg DEPENDENCIES geometry_msgs)
ament_package()
"""
TF2_PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>tf2_msgs</name><version>0.36.0</version><description>TFMessage</description>
  <maintainer email="none@example.com">none</maintainer><license>BSD</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def mend_exported_paths() -> None:
    """Points the wheels' CMake targets at this Python instead of the machine that built them."""
    import numpy

    include = sysconfig.get_paths()["include"]
    for file in (VENV / "share").glob("*/cmake/*.cmake"):
        text = file.read_text()
        if "/opt/python/" in text:
            text = re.sub(r"/opt/python/[^;\"]*/numpy/_core/include", numpy.get_include(), text)
            text = re.sub(r"/opt/python/[^;\"]*/include/python3\.\d+", include, text)
            file.write_text(text)


def environment() -> dict[str, str]:
    """What CMake and colcon need to find the wheels' packages."""
    env = dict(os.environ, AMENT_PREFIX_PATH=str(VENV), CMAKE_PREFIX_PATH=str(VENV), VIRTUAL_ENV=str(VENV))
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env['PATH']}"
    env.pop("PYTHONPATH", None)
    return env


def cmake_options() -> list[str]:
    """Options that keep CMake inside this virtual environment."""
    return [
        f"-DPython3_EXECUTABLE={VENV / 'bin' / 'python3'}",
        "-DPython3_FIND_VIRTUALENV=ONLY",
        "-DBUILD_TESTING=OFF",
        "-DCMAKE_BUILD_TYPE=Release",
    ]


def install(source: Path, build: Path, *options: str) -> None:
    """Configures, builds and installs one interface package into the virtual environment."""
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    log = build / "build.log"
    steps = [
        ["cmake", "-S", str(source), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={VENV}", *cmake_options(), *options],
        ["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)],
        ["cmake", "--install", str(build)],
    ]
    with log.open("w") as stream:
        for step in steps:
            if subprocess.run(step, env=environment(), stdout=stream, stderr=subprocess.STDOUT).returncode:
                tail = "\n".join(log.read_text().splitlines()[-30:])
                raise SystemExit(
                    f"{tail}\nbuilding the messages of {source.name} failed: {' '.join(step)} (log: {log})"
                )
    for name in ("tf2_msgs", "showroom_ros"):
        for egg in Path(sysconfig.get_paths()["purelib"]).glob(f"{name}-*.egg-info"):
            shutil.rmtree(egg, ignore_errors=True)  # pip would take it for an older version and delete the messages


def definitions_digest() -> str:
    """Changes whenever something that decides the generated code does."""
    definitions = [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"), *ROOT.glob("action/*.action")]
    files = sorted([*definitions, ROOT / "CMakeLists.txt", Path(__file__)])
    content = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(content + str(VENV).encode() + sys.version.encode()).hexdigest()


def main() -> None:
    """Builds tf2_msgs and the messages of this package unless they are there already."""
    stamp = VENV / "showroom_interfaces.sha256"
    if stamp.is_file() and stamp.read_text() == definitions_digest():
        return
    mend_exported_paths()
    work = VENV / "interfaces"
    tf2 = work / "src" / "tf2_msgs"
    (tf2 / "msg").mkdir(parents=True, exist_ok=True)
    (tf2 / "CMakeLists.txt").write_text(TF2_CMAKE)
    (tf2 / "package.xml").write_text(TF2_PACKAGE)
    (tf2 / "msg" / "TFMessage.msg").write_text("geometry_msgs/TransformStamped[] transforms\n")
    if subprocess.run([sys.executable, "-c", "import tf2_msgs.msg"], capture_output=True).returncode:
        install(tf2, work / "build" / "tf2_msgs")
    install(ROOT, work / "build" / "showroom_ros", "-DSHOWROOM_MESSAGES_ONLY=ON")
    stamp.write_text(definitions_digest())


if __name__ == "__main__":
    main()
