"""Photos of a box of a room made wider: the side that is named, what enters the map, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from multi_view_oracle import textured
from numpy.typing import NDArray
from tsdf_scenes import box_depth, rays, view_of

from showroom_ros.benchmarks.completion import changed_voxels
from showroom_ros.completion.completable import VolumeMap, map_of_views
from showroom_ros.completion.complete import filled_by
from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.completion.extend import Extension, by_layout, by_surface, extend
from showroom_ros.completion.holes import PartialView
from showroom_ros.completion.inpaint import make_inpainter
from showroom_ros.completion.photo_decision import Side
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera, assumed_camera
from showroom_ros.geometry.se3 import Matrix, look_at
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings

HALF = np.array((2.0, 1.2, 1.0))
UP = np.array([0.0, 0.0, 1.0])
CAMERA, WIDE = assumed_camera(96, 72, 62.0), assumed_camera(96, 96, 90.0)
MAP = MapSettings(voxel_size_m=0.05, truncation_m=0.15, max_depth_m=8.0)


def photo(heading_deg: float, eye: tuple[float, float, float] = (0.0, 0.0, 0.0), camera: Camera = CAMERA) -> View:
    """Level, with a heading from the x axis to the left; of predicted depth."""
    angle = np.radians(heading_deg)
    pose = look_at(eye, np.add(eye, (np.cos(angle), np.sin(angle), 0.0)))
    depth = box_depth(camera, pose, -HALF, HALF)
    return view_of(depth, pose, camera, provenance=np.full(depth.shape, Provenance.PREDICTED, np.uint8))


def around(first_deg: float, step_deg: float, count: int) -> list[View]:
    return textured([photo(first_deg + step_deg * number) for number in range(count)], 0)


Filled = tuple[NDArray[np.uint8], NDArray[np.float32]]


def exact(partial: PartialView) -> Filled:
    """Knows the room."""
    pose, camera = partial.view.require_pose(), partial.view.camera
    depth = box_depth(camera, pose, -HALF, HALF).astype(np.float32)
    image = textured([view_of(depth, pose, camera)], 0)[0].image
    return image, np.where(partial.known, partial.view.require_depth(), depth)


def painted(partial: PartialView) -> Filled:
    """Knows nothing."""
    return filled_by(make_inpainter("telea"), make_depth_completer("planes"))(partial)


def extended(views: list[View], fill: Callable = exact, **how) -> tuple[VolumeMap, list[Extension], bool]:
    scene = map_of_views(views, TsdfVolume(MAP))
    poses = how.pop("poses", np.stack([view.require_pose() for view in views]))
    made, is_whole = extend(scene, poses, views[0].camera, how.pop("decide", by_surface(UP)), fill, up=UP, **how)
    return scene, made, is_whole


def generated_headings_deg(scene: VolumeMap, eye: tuple[float, float, float] = (0, 0, 0)) -> NDArray[np.float64]:
    """Where from a place generated surface lies, -180 to 180; near the height of the place.

    Farther up and down the corners of a turned picture reach beyond the rims of the photos beside it.
    """
    mesh = scene.mesh()
    used = np.unique(mesh.triangles)
    x, y, z = (mesh.vertices[used[mesh.provenance[used] == Provenance.GENERATED]] - eye).T
    return np.degrees(np.arctan2(y, x))[np.abs(z) < 0.3 * np.hypot(x, y)]


@pytest.mark.parametrize("fill", [exact, painted])
@pytest.mark.parametrize(("gap_middle_deg", "beside"), [(0, 0), (77, 11), (200, 0)])
def test_what_is_missing_is_named_and_made_there_alone(fill: Callable, gap_middle_deg: float, beside: int) -> None:
    views = around(gap_middle_deg + 48, 24, 12)  # the last looks 48 deg beside the gap's middle, too
    alone = map_of_views(views, TsdfVolume(MAP))
    before = alone.volume.voxels()
    three = np.stack([views[number].require_pose() for number in (beside, 5, 6)])  # only one of them is beside the gap
    scene, made, _ = extended(views, fill, poses=three)
    assert [(one.photo, one.side) for one in made] == [(0, Side.LEFT if beside else Side.RIGHT)]
    assert made[0].turned_deg == 30.0
    assert 0.25 < made[0].hole_share < 0.6
    assert made[0].counts.generated > 0.5 * made[0].counts.holes
    assert changed_voxels(before, scene.volume.voxels()) == 0
    off = np.abs((generated_headings_deg(scene) - gap_middle_deg + 180) % 360 - 180)
    assert len(off) > 300
    assert np.quantile(off, 0.98) < 22  # of a gap that reaches 17 to 22 deg
    heading = np.degrees(np.arctan2(*made[0].view.require_pose()[[1, 0], 2]))
    assert abs((heading - gap_middle_deg + 180) % 360 - 180) == pytest.approx(18, abs=0.1)


def test_it_goes_on_until_nothing_is_missing() -> None:
    scene, made, is_whole = extended(around(0, 30, 6), max_views=12)
    assert is_whole
    assert 3 <= len(made) < 12
    assert {one.side for one in made} == {Side.LEFT, Side.RIGHT}
    assert max(one.turned_deg for one in made) >= 60  # a view that was made was extended, too
    assert min(one.counts.generated for one in made) > 100
    mesh = scene.mesh()
    used = mesh.vertices[np.unique(mesh.triangles)]
    assert np.quantile(np.abs(np.abs(used) - HALF).min(1), 0.95) < 0.03
    assert not extended(around(0, 24, 15))[1]
    assert extended(around(0, 24, 15))[2]
    assert not extended(around(0, 30, 6))[2]  # one view is not enough


def test_a_view_that_gives_nothing_is_not_made_twice() -> None:
    def in_the_way(partial: PartialView) -> Filled:
        return exact(partial)[0], np.full(partial.known.shape, 0.3, np.float32)

    _, made, _ = extended(around(48, 24, 12), in_the_way, max_views=4)
    poses = [one.view.require_pose() for one in made]
    assert 2 <= len(made) <= 4
    assert len({pose.tobytes() for pose in poses}) == len(made)


class ExactLayout:
    """A ``LayoutNetwork`` that knows the room and where photos were taken; keeps what it said."""

    name = "exact"

    def __init__(self, views: list[View]) -> None:
        self._poses = {view.image.tobytes(): view.require_pose() for view in views}

    def classes(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return box_classes(self._poses[image.tobytes()], WIDE)


def box_classes(pose: Matrix, camera: Camera) -> NDArray[np.uint8]:
    """Layout classes of the box: walls by whether their normal points back at the camera more than to a side."""
    origin, d = rays(camera, pose)
    with np.errstate(divide="ignore"):
        axis = np.argmin(np.maximum((-HALF - origin) / d, (HALF - origin) / d), -1)
    sign = np.sign(np.take_along_axis(d, axis[..., None], -1)[..., 0])
    normals = -sign[..., None] * np.eye(3)[axis] @ pose[:3, :3]
    wall = np.where(-normals[..., 2] >= np.abs(normals[..., 0]), 1, np.where(normals[..., 0] > 0, 2, 3))
    return np.where(axis == 2, np.where(sign < 0, 4, 5), wall).astype(np.uint8)


@pytest.mark.parametrize(("towards", "drop_m", "side"), [(1, 0.0, Side.RIGHT), (-1, 0.2, Side.LEFT)])
def test_layouts_of_three_photos_decide_as_showroom_does(towards: int, drop_m: float, side: Side) -> None:
    eye, lower = (-1.5, 0.0, 0.0), (-1.5, 0.0, -drop_m)
    views = textured([photo(0, eye, WIDE), photo(50 * towards, lower, WIDE), photo(60 * towards, lower, WIDE)], 0)
    order = [1, 0, 2]
    views = [views[number] for number in order]
    before = map_of_views(views, TsdfVolume(MAP)).volume.voxels()
    decide = by_layout(ExactLayout(views), [view.image for view in views])
    scene, made, is_whole = extended(views, decide=decide, max_views=3)
    assert [(one.photo, one.side) for one in made] == [(1, side)]  # once, whatever the map looks like then
    assert is_whole
    assert made[0].hole_share > 0.2
    assert changed_voxels(before, scene.volume.voxels()) == 0
    off = towards * generated_headings_deg(scene, eye)
    assert len(off) > 300
    assert np.quantile(off, 0.9) < -40  # the photo itself ends at -45


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: by_layout(ExactLayout([]), []), "there are 0 photos, expected exactly 3"),
        (lambda: by_layout(ExactLayout([]), [np.zeros((4, 4, 3), np.uint8)] * 4), "there are 4 photos"),
        (lambda: extended(around(0, 24, 3), max_views=0), "max_views is 0"),
        (lambda: extended(around(0, 24, 3), turn_deg=150.0), "shows nothing known"),
        (lambda: extended(around(0, 24, 3), decide=by_surface(0 * UP)), "up is"),
    ],
)
def test_bad_input(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
