"""Completion of a map: look where something is missing, paint it, give it depth, put it in, look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.backends import DepthCompleter, Inpainter
from showroom_ros.completion.completable import CompletableMap
from showroom_ros.completion.edges import continued_depth
from showroom_ros.completion.holes import PartialView, partial_view_of_mesh
from showroom_ros.completion.merge import MergeCounts, generated_part
from showroom_ros.completion.propose import ProposalSettings, Search
from showroom_ros.completion.structure import Structure
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.view import View

Fill = Callable[[PartialView], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""Colour uint8 [H, W, 3] and depth float32 [H, W] (metres) of every pixel; what is known stays as it is."""


@dataclass
class Completion:
    """What was done so far.

    Attributes:
        views: that were generated and fused, each with GENERATED depth in what was its holes.
        counts: of each of them.
        holes_left: share of the last view that was looked at that showed no surface; 0 once nothing is missing.
        rejected: views of which nothing could be used.
    """

    views: list[View] = field(default_factory=list)
    counts: list[MergeCounts] = field(default_factory=list)
    holes_left: float = 0.0
    rejected: int = 0

    @property
    def blocking(self) -> int:
        """Pixels left out because they would stand in free space."""
        return sum(count.blocking for count in self.counts)


def complete(
    scene: CompletableMap,
    poses: NDArray[np.float64],
    camera: Camera,
    fill: Fill,
    *,
    up: NDArray[np.float64],
    max_views: int = 12,
    settings: ProposalSettings | None = None,
    on_planes: bool = True,
    progress: Callable[[Completion], None] = lambda _: None,
) -> Completion:
    """Fills the holes of a map with GENERATED surface until nothing is missing or ``max_views`` were made.

    Between two views the map is whole: whoever stops it, by raising in ``progress`` or ``fill``, loses nothing.

    Args:
        scene: the map; changed.
        poses: float64 [N, 4, 4], the cameras so far.
        camera: of the views that are generated, undistorted.
        fill: gives colour and depth, see ``filled_by``.
        up: float64 [3], the world's upward axis.
        max_views: generated at most.
        settings: where to look.
        on_planes: new depth near a plane of the room is put onto it (``structure``).
        progress: called before the first view and after each.

    Raises:
        InputError: no camera so far.
    """
    done = Completion()
    search = Search(scene, poses, camera, up, settings)
    structure = Structure.of_mesh(scene.mesh(), up, on_planes=on_planes)
    progress(done)
    for _ in range(max_views):
        mesh = scene.mesh()
        proposal = search.best(mesh)
        done.holes_left = 0.0 if proposal is None else proposal.holes
        if proposal is None:
            break
        partial = partial_view_of_mesh(mesh, camera, proposal.T_world_camera)
        if not partial.known.any():
            done.rejected += 1
            continue
        image, depth = fill(partial)
        view, counts = put_generated(scene, partial, image, depth, structure)
        if counts.generated:
            done.views.append(view)
            done.counts.append(counts)
        else:
            done.rejected += 1
        progress(done)
    return done


def put_generated(
    scene: CompletableMap,
    partial: PartialView,
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    structure: Structure,
) -> tuple[View, MergeCounts]:
    """Fuses what may enter the map of a filled view; arguments as ``generated_part``, and what the room is like."""
    view = partial.view
    depth = structure.fitted(depth, ~partial.known, view.camera, view.require_pose(), scene.is_free)
    made, counts = generated_part(partial, image, depth, scene)
    if counts.generated:
        scene.put(made)
    return made, counts


def filled_by(inpainter: Inpainter, completer: DepthCompleter, *, prompt: str = "", seed: int = 0) -> Fill:
    """Painted first, then given depth; the seed goes up by one with each view.

    Args:
        inpainter: gives colour.
        completer: gives depth.
        prompt: what the scene is, for inpainters that read.
        seed: of the first view.
    """
    views = 0

    def fill(partial: PartialView) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        nonlocal views
        image = inpainter.inpaint(partial.view.image, partial.known, prompt=prompt, seed=seed + views)
        views += 1
        return image, continued_depth(completer, image, partial.view.require_depth(), partial.view.camera)

    return fill
