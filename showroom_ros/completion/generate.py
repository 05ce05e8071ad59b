"""A scene from one image: views around its camera are painted and given depth, one after the other.

Engstler et al., "Invisible Stitch" (3DV 2025), section 4 and the order of its release: each new view is drawn from
the points there are, its holes are inpainted, their depth is completed, and the new pixels become points. Points
never change once they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.backends import DepthCompleter, Inpainter
from showroom_ros.completion.camera_paths import circle_poses, path_poses, support_poses, yaws_deg
from showroom_ros.completion.edges import continued_depth
from showroom_ros.completion.holes import ERODED_PX, PartialView, conditioning_depth, eroded, partial_view_of_points
from showroom_ros.completion.splats import Gaussians
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.view import Provenance, View, check_image, check_plane

MULTIPLE = 8
"""Images are cropped to multiples of this: the sizes that latent diffusion takes."""

SUPPORT_VIEW_MIN_NEW = 1e-3
"""Support views with fewer new pixels than this part add nothing and are left out."""

_LEAST_SIDE_PX = 16
_MOST_STRETCHED = 3.0
"""Ratio of an image's sides from which on it is taken for a panorama, which no pinhole camera makes."""

Progress = Callable[[int, int], None]
"""Called with how many views are done and how many there are."""


class Points(NamedTuple):
    """A cloud in the world frame: points float32 [N, 3] metres, colours uint8 [N, 3] RGB, provenance uint8 [N]."""

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    provenance: NDArray[np.uint8]

    def with_more(self, other: Points) -> Points:
        """These and after them the other ones."""
        return Points(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.colors, other.colors]),
            np.concatenate([self.provenance, other.provenance]),
        )

    def part(self, start: int, end: int) -> Points:
        """Those from ``start`` to before ``end``."""
        return Points(self.points[start:end], self.colors[start:end], self.provenance[start:end])


@dataclass(frozen=True, eq=False)
class GeneratedScene:
    """What became of an image; the world is the frame of its camera (x right, y down, z forward).

    Attributes:
        points: float32 [N, 3], metres.
        colors: uint8 [N, 3], RGB.
        provenance: uint8 [N]: MEASURED or PREDICTED of the image itself, GENERATED of all else.
        views: the image and the views made after it, complete, with pose; pixels drawn from points keep their kind.
        steps: for each view the points it added, as start and end.
        closing_error_m: for a whole turn, how far the surface that comes round from the right misses the image it
            started with: the median difference of depth where the last view sees the image's points, completed
            without them; None for other paths or where nothing overlaps.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    provenance: NDArray[np.uint8]
    views: tuple[View, ...]
    steps: tuple[tuple[int, int], ...]
    closing_error_m: float | None


@dataclass(frozen=True)
class _Backends:
    """Who fills holes."""

    inpainter: Inpainter
    completer: DepthCompleter
    prompt: str


def generate_scene(
    image: NDArray[np.uint8],
    camera: Camera | None,
    inpainter: Inpainter,
    completer: DepthCompleter,
    *,
    mode: str = "stage",
    prompt: str = "",
    seed: int = 0,
    support_views: bool = False,
    progress: Progress | None = None,
    first_depth: NDArray[np.float32] | None = None,
) -> GeneratedScene:
    """Makes a scene of one image.

    Args:
        image: uint8 [H, W, 3], RGB; cropped around its middle to multiples of 8.
        camera: of the image, without distortion; None = focal length of the image's width (53 degrees).
        inpainter: gives new pixels their colour.
        completer: gives new pixels their depth.
        mode: ``single``, ``stage`` (three views) or ``360`` (thirteen), see ``camera_paths``.
        prompt: what the scene is, for inpainters that read.
        seed: of the inpainter; view n gets ``seed + n``.
        support_views: whether eight views around each are filled too, where edges hide something.
        progress: called after each view.
        first_depth: float32 [H, W] metres a sensor measured of the image, NaN unknown; or None.

    Raises:
        InputError: an unknown mode, an image or depth that does not fit its camera, a camera too narrow for the
            path, or what a backend finds wrong.
    """
    image, camera, first_depth = _prepared(image, camera, first_depth, mode)
    backends = _Backends(inpainter, completer, prompt)
    poses = path_poses(np.eye(4), mode)
    total = len(poses) * (9 if support_views else 1)
    views, steps = [_first_view(image, camera, completer, first_depth)], []
    cloud = _lifted(views[0], np.ones(image.shape[:2], np.bool_))
    steps.append((0, len(cloud.points)))
    _report(progress, 1, total)
    for pose in poses[1:]:
        cloud = _extended(cloud, pose, camera, backends, seed, views, steps)
        _report(progress, len(views), total)
    closing_error_m = _closing_error_m(cloud, views, steps, completer) if mode == "360" else None
    for done, pose in enumerate(_around(views) if support_views else (), len(poses) + 1):
        cloud = _extended(cloud, pose, camera, backends, seed, views, steps, SUPPORT_VIEW_MIN_NEW)
        _report(progress, done, total)
    return GeneratedScene(*cloud, tuple(views), tuple(steps), closing_error_m)


def turntable(
    scene: GeneratedScene, frames: int, *, radius_m: float = 0.1, gaussians: Gaussians | None = None
) -> list[NDArray[np.uint8]]:
    """Pictures uint8 [H, W, 3] of a scene from a circle about its first camera that look at the middle of its view.

    Args:
        scene: whose points are drawn, black where there are none.
        frames: how many pictures.
        radius_m: of the circle.
        gaussians: drawn in place of the points.

    Raises:
        InputError: numbers that are not positive.
        MissingDependencyError: Gaussians without torch.
    """
    first = scene.views[0]
    target_m = float(np.nanmedian(first.require_depth()))
    poses = circle_poses(first.require_pose(), target_m, radius_m, frames)
    if gaussians is not None:
        from showroom_ros.completion.splats import render

        return [render(gaussians, first.camera, pose) for pose in poses]
    cloud = scene.points, scene.colors, scene.provenance
    return [partial_view_of_points(*cloud, first.camera, pose).view.image for pose in poses]


def completed_view(
    partial: PartialView, inpainter: Inpainter, completer: DepthCompleter, *, prompt: str = "", seed: int = 0
) -> View:
    """The view with its holes filled; what is known keeps its colour and depth, the rest is GENERATED.

    Two pixels of the holes' rims are painted anew, because drawn points are least sure there; one pixel of depth is.

    Raises:
        InputError: nothing of the view is known, or a backend gives depth that is not positive.
    """
    camera, known = partial.view.camera, eroded(partial.known, ERODED_PX)
    image = inpainter.inpaint(partial.view.image, known, prompt=prompt, seed=seed)
    given = conditioning_depth(partial)
    depth = continued_depth(completer, image, given, camera)
    kinds = np.full(known.shape, Provenance.GENERATED, np.uint8)
    np.copyto(kinds, partial.provenance, where=np.isfinite(given) & known)
    return replace(partial.view, image=image, depth=depth, provenance=kinds)


def _extended(
    cloud: Points,
    pose: NDArray[np.float64],
    camera: Camera,
    backends: _Backends,
    seed: int,
    views: list[View],
    steps: list[tuple[int, int]],
    min_new: float = 0.0,
) -> Points:
    """The cloud with the points of one more view, which is added to ``views`` and ``steps``."""
    partial = partial_view_of_points(*cloud, camera, pose)
    new = ~eroded(partial.known, ERODED_PX)
    if new.mean() < min_new:
        return cloud
    view = completed_view(
        partial, backends.inpainter, backends.completer, prompt=backends.prompt, seed=seed + len(views)
    )
    more = _lifted(view, new)
    steps.append((len(cloud.points), len(cloud.points) + len(more.points)))
    views.append(view)
    return cloud.with_more(more)


def _first_view(
    image: NDArray[np.uint8], camera: Camera, completer: DepthCompleter, first_depth: NDArray[np.float32] | None
) -> View:
    """The image with depth: measured where the sensor knows it, predicted elsewhere."""
    given = np.full(image.shape[:2], np.nan, np.float32) if first_depth is None else first_depth
    depth = continued_depth(completer, image, given, camera)
    kinds = np.where(np.isfinite(given), Provenance.MEASURED, Provenance.PREDICTED).astype(np.uint8)
    return View(image, camera, depth, kinds, T_world_camera=np.eye(4))


def _lifted(view: View, chosen: NDArray[np.bool_]) -> Points:
    """The chosen pixels [H, W] of a view as points, in the order of the pixels."""
    local = view.camera.back_project(view.require_depth())[chosen]
    points = transform_points(view.require_pose(), local).astype(np.float32)
    assert view.provenance is not None
    return Points(points, view.image[chosen], view.provenance[chosen])


def _closing_error_m(
    cloud: Points, views: list[View], steps: list[tuple[int, int]], completer: DepthCompleter
) -> float | None:
    """How far depth that comes round one way misses the image at the other end of the ring; see ``GeneratedScene``."""
    last, yaws = views[-1], yaws_deg("360")
    half = next(step[0] for step, yaw in zip(steps, yaws, strict=True) if yaw > 180)
    ends = cloud.part(half, steps[-1][0]), cloud.part(0, half)
    late, early = (partial_view_of_points(*part, last.camera, last.require_pose()) for part in ends)
    overlap = eroded(early.known, 1) & ~late.known
    given = conditioning_depth(late)
    if not overlap.any() or not np.isfinite(given).any():
        return None
    depth = continued_depth(completer, last.image, given, last.camera)
    return float(np.median(np.abs(depth - early.view.require_depth())[overlap]))


def _around(views: list[View]) -> Iterator[NDArray[np.float64]]:
    """Poses of the support views of the views there are now."""
    for view in tuple(views):
        points = view.camera.back_project(view.require_depth())
        yield from support_poses(view.require_pose(), transform_points(view.require_pose(), points))


def _prepared(
    image: NDArray[np.uint8], camera: Camera | None, first_depth: NDArray[np.float32] | None, mode: str
) -> tuple[NDArray[np.uint8], Camera, NDArray[np.float32] | None]:
    """Image, camera and depth cropped to multiples of 8 around the middle, and checked."""
    if image.ndim != 3 or min(image.shape[:2]) < _LEAST_SIDE_PX:
        raise InputError(f"the image is {image.shape}, expected (H, W, 3) of at least {_LEAST_SIDE_PX} pixels a side")
    height, width = image.shape[:2]
    if max(height, width) >= _MOST_STRETCHED * min(height, width):
        raise InputError(
            f"the image is {width}x{height}, taken for a panorama: expected a pinhole camera's, one side less than "
            f"{_MOST_STRETCHED:g} times the other"
        )
    whole = camera or Camera(width, height, width, width, (width - 1) / 2, (height - 1) / 2)
    check_image(image, whole, "the image")
    check_plane(first_depth, whole, np.float32, "first_depth")
    if whole.is_distorted:
        raise InputError("a scene needs an image without lens distortion; undistort it first")
    size = width - width % MULTIPLE, height - height % MULTIPLE
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    part = whole.cropped(left, top, *size)
    if camera is None:
        part = replace(part, fx=float(size[0]), fy=float(size[0]), cx=(size[0] - 1) / 2, cy=(size[1] - 1) / 2)
    _check_overlap(part, mode)
    window = slice(top, top + size[1]), slice(left, left + size[0])
    return image[window].copy(), part, None if first_depth is None else first_depth[window].copy()


def _check_overlap(camera: Camera, mode: str) -> None:
    """Raises ``InputError`` where neighbouring views of the path would not overlap."""
    wide_deg = 2 * np.degrees(np.arctan(camera.width / (2 * camera.fx)))
    ring = sorted(yaws_deg(mode)) + ([360.0] if mode == "360" else [])
    apart_deg = max((b - a for a, b in pairwise(ring)), default=0.0)
    if wide_deg < apart_deg * 1.1:
        raise InputError(
            f"the camera sees {wide_deg:.0f} degrees across, path '{mode}' turns by up to {apart_deg:g}: "
            f"expected at least {apart_deg * 1.1:.0f} degrees, so that each view overlaps another"
        )


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
