#!/usr/bin/env python3
"""Views with holes in their depth in, views with depth everywhere out.

New depth is GENERATED where nobody saw the pixel (its provenance is UNKNOWN), else PREDICTED: so a live depth camera's
views, ``-r inpainting_node/view:=keyframe_node/view``, get their holes filled.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.completion.edges import continued_depth
from showroom_ros.nodes.view_filter import ViewFilterNode
from showroom_ros.ros.runner import run_node
from showroom_ros.scene.view import Provenance, View


class DepthCompletionNode(ViewFilterNode):
    """What had depth keeps it, to the last bit."""

    def __init__(self, **node_options: Any) -> None:
        """Declares parameters."""
        super().__init__("depth_completion_node", "inpainting_node/view", ("completion", "publish"), **node_options)

    def load(self) -> None:
        """Loads the depth completer."""
        chosen = self.settings.completion
        self._completer = make_depth_completer(
            chosen.depth_completer, device=chosen.device, model_file=chosen.depth_completer_file
        )

    def filtered(self, view: View, number: int) -> View:
        """See ``ViewFilterNode``."""
        del number
        size = view.image.shape[:2]
        depth = np.full(size, np.nan, np.float32) if view.depth is None else view.depth
        completed = continued_depth(self._completer, view.image, depth, view.camera)
        seen = np.full(size, Provenance.MEASURED, np.uint8) if view.provenance is None else view.provenance
        new = np.where(seen == Provenance.UNKNOWN, Provenance.GENERATED, Provenance.PREDICTED)
        provenance = np.where(np.isfinite(depth), seen, new).astype(np.uint8)
        return dataclasses.replace(view, depth=completed, provenance=provenance)


def main() -> int:
    """Runs the node."""
    return run_node(DepthCompletionNode)


if __name__ == "__main__":
    sys.exit(main())
