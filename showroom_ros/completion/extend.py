"""A room of a few photos made wider: decide which photo to extend to which side, make up that view, put it in the map.

The order of ShowRoom (discriminator, generator, stitch). What is made up enters only where nothing is known, marked
GENERATED; nothing that was seen moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.completion.completable import CompletableMap
from showroom_ros.completion.complete import Fill, put_generated
from showroom_ros.completion.holes import PartialView, partial_view_of_mesh
from showroom_ros.completion.layout import LayoutNetwork, is_front_view, wall_areas
from showroom_ros.completion.merge import MergeCounts
from showroom_ros.completion.photo_decision import NOTHING, Decision, Side, missing_side, showroom_decision
from showroom_ros.completion.structure import Structure
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix, turned_about
from showroom_ros.scene.view import View
from showroom_ros.settings import MapSettings

TURN_DEG = 30.0
"""From the photo to the view that extends it: half of a view 60 degrees wide is still known."""
LAYOUT_PHOTOS = 3
"""ShowRoom's rules are for so many."""
SEEN_ONCE = 0.25
"""Weight from which on a voxel is meshed."""
_JUDGED_PX = 96
"""Width of the pictures that the surface is judged by."""
_SAME_POSE = 1e-6

KnownShare = Callable[[Matrix], float]
Decide = Callable[[NDArray[np.float64], KnownShare], Decision]
"""Poses [N, 4, 4] and the known share of a view at a pose, to what to extend."""


@dataclass(frozen=True, eq=False)
class Extension:
    """One view that was made up.

    Attributes:
        photo: that was extended, a number among the views that were given.
        side: to which side.
        turned_deg: from the photo to the new view, to that side; a view made before may have been extended further.
        hole_share: of the new view's pixels that showed nothing known.
        view: that was fused: GENERATED depth in its holes and at their rims, NaN elsewhere.
        counts: of its pixels.
    """

    photo: int
    side: Side
    turned_deg: float
    hole_share: float
    view: View
    counts: MergeCounts


def settings_of_photos(settings: MapSettings) -> MapSettings:
    """Map settings that mesh what a single photo saw, also where it is less than sure.

    The default wants a whole view, and predicted depth weighs less: the rims of a set of photos, which only one of
    them sees, would be missing, and with them what an extension goes on from.
    """
    return replace(settings, min_weight=min(settings.min_weight, SEEN_ONCE))


def by_surface(up: ArrayLike, turn_deg: float = TURN_DEG) -> Decide:
    """``missing_side``: the photo and side beside which most of the surface is missing."""
    return lambda poses, known_share: missing_side(poses, up, known_share, turn_deg=turn_deg)


def by_layout(network: LayoutNetwork, images: Sequence[NDArray[np.uint8]]) -> Decide:
    """``showroom_decision``: ShowRoom's rules on the layouts of exactly three photos, asked once.

    The rules see the photos and never the surface: what was made would not change their answer.

    Args:
        network: of layouts.
        images: uint8 [H, W, 3], RGB, of the photos.

    Raises:
        InputError: not three images, or what ``network`` finds wrong.
    """
    if len(images) != LAYOUT_PHOTOS:
        raise InputError(f"there are {len(images)} photos, expected exactly {LAYOUT_PHOTOS} to decide by layout")
    layouts = [network.classes(image) for image in images]
    fronts, areas = [is_front_view(layout) for layout in layouts], [wall_areas(layout) for layout in layouts]
    decided = False

    def decide(poses: NDArray[np.float64], _: KnownShare) -> Decision:
        nonlocal decided
        if decided:
            return NOTHING
        decided = True
        return showroom_decision(poses, fronts, areas)

    return decide


def extend(
    scene: CompletableMap,
    poses: ArrayLike,
    camera: Camera,
    decide: Decide,
    fill: Fill,
    *,
    up: ArrayLike,
    turn_deg: float = TURN_DEG,
    max_views: int = 1,
    progress: Callable[[int, int], None] = lambda done, most: None,
) -> tuple[list[Extension], bool]:
    """Extends photos until ``decide`` finds nothing missing or ``max_views`` were made.

    A view that was made may be extended, too. One that gave nothing counts against ``max_views``, and is not tried
    again where ``decide`` asks for known shares.

    Args:
        scene: the map of the photos; changed.
        poses: [N, 4, 4], ``T_world_camera`` of the photos, OpenCV axes.
        camera: of the views that are judged and made, undistorted.
        decide: what to extend, asked before every view.
        fill: gives colour and depth, see ``complete.filled_by``.
        up: [3], the world's upward axis.
        turn_deg: from a photo to the view that extends it; what ``decide`` has judged.
        max_views: made at most, 1 or more.
        progress: called after each view with how many were made and the most there may be.

    Returns:
        What was made, and whether ``decide`` found nothing more to extend in the end.

    Raises:
        InputError: poses that do not fit, no view to make, or nothing known in a view that is to be made.
    """
    if max_views < 1:
        raise InputError(f"max_views is {max_views}, expected 1 or more")
    cameras = list(np.asarray(poses, np.float64))
    origins: list[tuple[int, float]] = [(number, 0.0) for number in range(len(cameras))]  # photo, turned to the left
    done: list[Extension] = []
    tried: list[Matrix] = []
    structure = Structure.of_mesh(scene.mesh(), np.asarray(up, np.float64))
    for _ in range(max_views):
        decision = decide(np.stack(cameras), _known_share(scene, camera, tried)) if cameras else NOTHING
        if decision.photo is None:
            return done, True
        way = 1.0 if decision.side is Side.LEFT else -1.0
        pose = turned_about(cameras[decision.photo], np.asarray(up, np.float64), way * turn_deg)
        tried.append(pose)
        photo, before_deg = origins[decision.photo]
        turned_deg = before_deg + way * turn_deg
        partial, view, counts = _made(scene, camera, pose, fill, structure)
        if counts.generated:
            cameras.append(pose)
            origins.append((photo, turned_deg))
        holes = 1 - partial.known_share
        done.append(Extension(photo, decision.side, turned_deg * way, holes, view, counts))
        progress(len(done), max_views)
    return done, decide(np.stack(cameras), _known_share(scene, camera, tried)).photo is None


def _made(
    scene: CompletableMap, camera: Camera, pose: Matrix, fill: Fill, structure: Structure
) -> tuple[PartialView, View, MergeCounts]:
    """What the map shows at a pose, and what of the filled view was fused."""
    partial = partial_view_of_mesh(scene.mesh(), camera, pose)
    if not partial.known.any():
        raise InputError("the view that is to be made shows nothing known: nothing there to go on from")
    image, depth = fill(partial)
    return partial, *put_generated(scene, partial, image, depth, structure)


def _known_share(scene: CompletableMap, camera: Camera, tried: Sequence[Matrix]) -> KnownShare:
    """Judged on a small picture; views that were made already count as known, whatever is left of their holes."""
    mesh = scene.mesh()
    small = camera.of_width(min(_JUDGED_PX, camera.width))

    def known_share(pose: Matrix) -> float:
        if any(np.abs(pose - other).max() < _SAME_POSE for other in tried):
            return 1.0
        return partial_view_of_mesh(mesh, small, pose).known_share

    return known_share
