#!/usr/bin/env python3
"""Several nodes in one process: ``one_process keyframe_node reconstruction_node --ros-args ...``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from showroom_ros.errors import SettingsError
from showroom_ros.ros.runner import run_nodes

CLASSES = {
    "keyframe_node": "KeyframeNode",
    "reconstruction_node": "ReconstructionNode",
    "viewer_node": "ViewerNode",
    "inpainting_node": "InpaintingNode",
    "depth_completion_node": "DepthCompletionNode",
}


def node_factory(name: str) -> Callable[[], Any]:
    """The class of a node by the node's name.

    Raises:
        SettingsError: no such node.
    """
    if name not in CLASSES:
        raise SettingsError(f"no node is called '{name}', expected one of {', '.join(CLASSES)}")
    return getattr(importlib.import_module(f"showroom_ros.nodes.{name}"), CLASSES[name])


def main() -> int:
    """Runs the nodes named on the command line."""
    split = sys.argv.index("--ros-args") if "--ros-args" in sys.argv else len(sys.argv)
    return run_nodes([node_factory(name) for name in sys.argv[1:split]], sys.argv[:1] + sys.argv[split:])


if __name__ == "__main__":
    sys.exit(main())
