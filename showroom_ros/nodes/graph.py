"""Starts and stops the node graph without ``ros2 launch``: one process per node."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from showroom_ros.errors import ShowroomError
from showroom_ros.ros.dds import configure_dds
from showroom_ros.settings import Settings, to_dict

NODES = ("keyframe_node", "reconstruction_node", "viewer_node", "inpainting_node", "depth_completion_node")
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class GraphOptions:
    """How the graph is started.

    Attributes:
        nodes: which of ``NODES``.
        one_process: all of them in one process instead of one each.
        use_sim_time: follow ``/clock``.
        namespace: put before every node and relative topic.
        remappings: ``from -> to`` for all nodes.
        log_level: debug, info, warn, error.
        log_file: where the nodes' output goes; None = this process's own.
    """

    nodes: Sequence[str] = ("keyframe_node", "reconstruction_node")
    one_process: bool = False
    use_sim_time: bool = False
    namespace: str = ""
    remappings: Mapping[str, str] = field(default_factory=dict)
    log_level: str = "info"
    log_file: Path | None = None


class NodeGraph:
    """The running processes; a context manager that always stops them."""

    def __init__(self, settings: Settings, options: GraphOptions | None = None) -> None:
        """Prepares the parameter file; nothing is started yet."""
        self.options = options or GraphOptions()
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> NodeGraph:
        """Starts all nodes."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops all nodes."""
        self.stop()

    def start(self) -> None:
        """Starts one process per node with the same parameters."""
        folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="showroom_")))
        parameters = write_parameters(folder / "params.yaml", self._settings, self.options.use_sim_time)
        environment = configure_dds(dict(os.environ))
        output = None
        if self.options.log_file is not None:
            self.options.log_file.parent.mkdir(parents=True, exist_ok=True)
            output = self._resources.enter_context(self.options.log_file.open("wb"))
        for name, module, *arguments in self._commands():
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"showroom_ros.nodes.{module}", *arguments, *self._ros_arguments(parameters)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id by node."""
        return {name: process.pid for name, process in self._processes.items()}

    def check_alive(self) -> None:
        """Raises ``ShowroomError`` naming a node whose process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                where = f", see {self.options.log_file}" if self.options.log_file else ""
                raise ShowroomError(f"{name} ended with exit code {process.returncode}{where}")

    def wait(self) -> int:
        """Blocks until any node ends; returns its exit code."""
        while True:
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=0.2)

    def stop(self) -> dict[str, int]:
        """Asks every node to end (SIGINT, later SIGKILL) and returns their exit codes."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        codes = {}
        for name, process in self._processes.items():
            try:
                codes[name] = process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        self._processes.clear()
        self._resources.close()
        return codes

    def _commands(self) -> list[list[str]]:
        """Per process: its name, the module it runs and its own arguments."""
        if self.options.one_process:
            return [["one_process", "one_process", *self.options.nodes]]
        return [[name, name] for name in self.options.nodes]

    def _ros_arguments(self, parameters: Path) -> list[str]:
        arguments = ["--ros-args", "--params-file", str(parameters), "--log-level", self.options.log_level]
        if self.options.namespace:
            arguments += ["-r", f"__ns:=/{self.options.namespace.strip('/')}"]
        for source, target in self.options.remappings.items():
            arguments += ["-r", f"{source}:={target}"]
        return arguments


def write_parameters(path: Path, settings: Settings, use_sim_time: bool) -> Path:
    """Writes the ROS parameter file of these settings, for every node."""
    parameters: dict[str, Any] = {"use_sim_time": use_sim_time, **to_dict(settings)}
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    return path
