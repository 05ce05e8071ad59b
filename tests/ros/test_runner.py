"""Nodes as processes: signals, exit codes, one line instead of a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


def environment():
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "ROS_DOMAIN_ID": str(1 + (os.getpid() + 13) % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "RCUTILS_LOGGING_BUFFERED_STREAM": "0",
    }


def start(*arguments, code="from showroom_ros.nodes.keyframe_node import main"):
    """A node in its own process, which says "up" when it spins."""
    script = f"""
import sys, threading, time
{code}
import showroom_ros.ros.runner as runner
spin = runner.spin_nodes
def spinning(*args):
    print("up", flush=True)
    spin(*args)
runner.spin_nodes = spinning
sys.exit(main())
"""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def finish(process, timeout_s=30):
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_node_cleanly(number):
    process = start()
    assert process.stdout.readline().strip() == "up"
    time.sleep(1.0)
    process.send_signal(number)
    code, output = finish(process)
    assert code == 0, output
    assert "Traceback" not in output
    assert "exception" not in output.lower()


def test_a_bad_parameter_is_one_line_and_exit_code_1():
    code, output = finish(start("--ros-args", "-p", "pose.max_wait_s:=-1.0"))
    assert code == 1
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1
    assert "'pose.max_wait_s' is -1.0, expected 0.0 to 60.0" in lines[0]


def test_two_processes_of_one_name():
    first = start()
    try:
        assert first.stdout.readline().strip() == "up"
        time.sleep(5.0)
        code, output = finish(start())
        assert code == 1
        assert "another node is named /keyframe_node already" in output
        assert first.poll() is None
        first.send_signal(signal.SIGINT)
        assert finish(first)[0] == 0
    finally:
        first.kill()


DEFECT = """
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.runner import run_node
from showroom_ros.ros.worker import Worker
class Broken(ShowroomNode):
    def __init__(self):
        super().__init__("broken", ("pose", "publish"))
    def activate(self):
        def handle(item):
            raise ZeroDivisionError("a defect")
        if WHERE == "worker":
            worker = Worker(handle, queue_size=1, on_error=self.report, on_fatal=self.fail)
            worker.start()
            worker.submit(1)
        else:
            self.create_timer(0.1, lambda: handle(1))
def main():
    return run_node(Broken)
"""


@pytest.mark.parametrize("where", ["worker", "callback"])
def test_a_defect_ends_the_process_loudly(where):
    code, output = finish(start(code=f"WHERE = {where!r}\n{DEFECT}"))
    assert code == 1
    assert "ZeroDivisionError: a defect" in output
