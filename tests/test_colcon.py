"""The package builds with colcon and its nodes run from the install space."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = Path(sys.prefix) / "colcon" / "install" / "showroom_ros"

pytest.importorskip("rclpy")


@pytest.fixture(scope="module")
def install_space() -> Path:
    if shutil.which("colcon") is None or sys.prefix == sys.base_prefix:
        pytest.skip("needs colcon in a virtual environment (./run setup)")
    shutil.rmtree(INSTALL, ignore_errors=True)
    build = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "colcon_build.py")], capture_output=True, text=True, timeout=280
    )
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    return INSTALL


def test_install_space_is_complete(install_space: Path) -> None:
    share, executables = install_space / "share" / "showroom_ros", install_space / "lib" / "showroom_ros"
    for path in ("package.xml", "launch/showroom.launch.py", "config/showroom.yaml", "config/fastdds_profile.xml"):
        assert (share / path).is_file(), path
    names = {path.name for path in executables.iterdir()}
    assert names == {
        "bag_player_node",
        "bag_recorder_node",
        "depth_completion_node",
        "inpainting_node",
        "keyframe_node",
        "reconstruction_node",
        "showroom",
        "viewer_node",
    }
    for path in executables.iterdir():
        assert os.access(path, os.X_OK), path
        assert path.read_text().startswith("#!/usr/bin/env python3"), path


@pytest.mark.parametrize("node", ["keyframe_node", "reconstruction_node"])
def test_nodes_start_from_the_install_space(install_space: Path, node: str, tmp_path: Path) -> None:
    setup = install_space.parent / "setup.bash"
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                f"source {setup} && exec {install_space}/lib/showroom_ros/{node} --ros-args -r __ns:=/colcon",
            ],
            cwd=tmp_path,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )
    topic = {"keyframe_node": "view", "reconstruction_node": "status"}[node]
    try:
        assert _is_published(f"/colcon/{node}/{topic}", process, 200), log.read_text()
        assert _loaded_from(process.pid, install_space), "the node runs from elsewhere"
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 0, log.read_text()


def _is_published(topic: str, process: subprocess.Popen, timeout_s: float) -> bool:
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    listener = rclpy.create_node("listener", context=context)
    deadline = time.monotonic() + timeout_s
    found = False
    while not found and time.monotonic() < deadline and process.poll() is None:
        found = listener.count_publishers(topic) > 0
        time.sleep(0.1)
    listener.destroy_node()
    context.try_shutdown()
    return found


def _loaded_from(pid: int, folder: Path) -> bool:
    """Whether the generated messages the process has mapped are those of ``folder``."""
    return str(folder) in Path(f"/proc/{pid}/maps").read_text()
