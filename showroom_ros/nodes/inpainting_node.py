#!/usr/bin/env python3
"""Views with holes in, painted views out: colour for every pixel whose provenance is UNKNOWN."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from showroom_ros.completion.inpaint import make_inpainter
from showroom_ros.nodes.view_filter import ViewFilterNode
from showroom_ros.ros.runner import run_node
from showroom_ros.scene.view import Provenance, View


class InpaintingNode(ViewFilterNode):
    """Depth and provenance of views go through as they are; so do views without holes."""

    def __init__(self, **node_options: Any) -> None:
        """Declares parameters."""
        super().__init__(
            "inpainting_node", "reconstruction_node/partial_view", ("completion", "publish"), **node_options
        )

    def load(self) -> None:
        """Loads the inpainter."""
        chosen = self.settings.completion
        self._inpainter = make_inpainter(chosen.inpainter, device=chosen.device, model_file=chosen.inpainter_file)

    def filtered(self, view: View, number: int) -> View:
        """See ``ViewFilterNode``."""
        if view.provenance is None:
            return view
        chosen = self.settings.completion
        known = view.provenance != Provenance.UNKNOWN
        image = self._inpainter.inpaint(view.image, known, prompt=chosen.prompt, seed=chosen.seed + number)
        return dataclasses.replace(view, image=image)


def main() -> int:
    """Runs the node."""
    return run_node(InpaintingNode)


if __name__ == "__main__":
    sys.exit(main())
