"""ICL-NUIM: its left-handed frames become right-handed ones in which what it shows is not mirrored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from layout_icl_nuim import K_PUBLISHED, left_handed_pose, write_icl_nuim
from textured_room import ROOM, box_poses, check_view, save_room_mesh

from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.icl_nuim import IclNuim, right_handed
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import inverse, look_at, transform_points
from showroom_ros.scene.view import Sequence
from showroom_ros.scene.volume import make_volume
from showroom_ros.settings import MapSettings

DATASET = dataset_named("icl")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_icl_nuim(tmp_path_factory.mktemp("icl"), count=4)


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / recorded.name))


def test_poses_project_as_the_published_negative_focal_length_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        eye = rng.uniform(0, 2, 3)
        T_left = left_handed_pose(look_at(eye, eye + rng.normal(size=3)))
        assert np.linalg.det(T_left[:3, :3]) == pytest.approx(1)  # the file can hold it as a quaternion
        seen = rng.uniform((-1, -1, 1), (1, 1, 3), (5, 3))  # in the renderer's camera frame
        pixels = seen @ K_PUBLISHED.T
        world_left = transform_points(T_left, seen)
        world = world_left[:, [0, 2, 1]]  # y up and left-handed is z up and right-handed
        camera_points = transform_points(inverse(right_handed(T_left)), world)
        ours = camera_points @ np.diag([481.2, 480.0, 1]).T
        ours[:, :2] += camera_points[:, 2:] * (319.5, 239.5)
        np.testing.assert_allclose(ours, pixels, atol=1e-9)


def test_frames(recorded: Path) -> None:
    sequence = open_sequence(recorded)
    assert isinstance(sequence, IclNuim)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, sequence.numbers) == ("living_room_traj0_frei_png", [1, 2, 3])
    assert sequence.skipped == {"no pose": 1, "no depth": 0}  # image 0 has none in the published files
    for index, number in enumerate(sequence.numbers):
        view = sequence[index]
        assert (view.camera.fx, view.camera.fy) == (481.2, 480.0)
        assert view.stamp_ns == 1_000_000_000 + round(number * 1e9 / 30)
        np.testing.assert_allclose(view.T_world_camera, box_poses(4)[number], atol=1e-7)
        check_view(view, color=1, tol_m=0.001)


def test_fused_depth_is_the_room(recorded: Path) -> None:
    volume = make_volume(MapSettings(voxel_size_m=0.04))
    for index in range(3):
        volume.integrate(IclNuim(recorded)[index])
    vertices = volume.extract_mesh().vertices
    assert len(vertices) > 1000
    off_walls = np.minimum(np.abs(vertices), np.abs(vertices - ROOM)).min(-1)
    assert np.quantile(off_walls, 0.95) < 0.02


def test_true_mesh(folder: Path) -> None:
    assert IclNuim(folder).ground_truth_mesh() is None
    assert DATASET.missing(folder) == ["ground_truth.ply: not there, a true mesh (fuse the depth images)"]
    save_room_mesh(folder / "ground_truth.ply")
    assert DATASET.missing(folder) == []
    np.testing.assert_allclose(IclNuim(folder).ground_truth_mesh().vertices.max(0), ROOM, atol=1e-6)


def test_without_list_the_names_pair_the_images(folder: Path) -> None:
    (folder / "associations.txt").unlink()
    (folder / "depth/2.png").unlink()
    sequence = IclNuim(folder)
    assert (sequence.numbers, sequence.skipped) == ([1, 3], {"no pose": 1, "no depth": 1})


def test_rows_that_are_not_finite_are_no_poses(folder: Path) -> None:
    path = folder / "livingRoom0.gt.freiburg"
    path.write_text(path.read_text() + "0 nan nan nan 0 0 0 1\n")
    assert IclNuim(folder).skipped == {"no pose": 1, "no depth": 0}


def test_scenes(tmp_path: Path) -> None:
    for name in ("living_room_traj0_frei_png", "living_room_traj1n_frei_png", "traj0_frei_png"):
        (tmp_path / name / "rgb").mkdir(parents=True)
    names = lambda split: [path.name for path in DATASET.scenes(tmp_path, split)]  # noqa: E731
    assert names(None) == ["living_room_traj0_frei_png", "living_room_traj1n_frei_png", "traj0_frei_png"]
    assert names("office") == ["traj0_frei_png"]
    assert names("living_room") == ["living_room_traj0_frei_png", "living_room_traj1n_frei_png"]
    with pytest.raises(DatasetError, match="split 'test' is unknown, expected one of living_room, office"):
        names("test")
    with pytest.raises(DatasetError, match="no recording found, looked for living_room_trajN_frei_png"):
        DATASET.scenes(tmp_path / "traj0_frei_png" / "rgb", None)


GT = "livingRoom0.gt.freiburg"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (GT, None, r"has no \*.gt.freiburg"),
        (GT, b"1 0 0 0 0 0 0 1\n2 0 0 0\n", r"gt.freiburg, line 2: 4 numbers, expected 8"),
        (GT, b"1 0 0 0 0 0 0 2\n", r"gt.freiburg, image 1: quaternion .* norm 2"),
        (GT, b"77 0 0 0 0 0 0 1\n", r"none of 4 frames can be used: no pose 4"),
        ("associations.txt", b"1 depth/1.png\n", r"associations.txt, line 1: .* expected N depth/N.png N rgb/N.png"),
        ("associations.txt", b"1 rgb/1.png 1 rgb/1.png\n", r"associations.txt, line 1"),
        ("rgb/1.png", None, r"rgb/1.png: no such file"),
        ("rgb/1.png", b"\x89PNG\r\n", r"rgb/1.png: cannot be decoded as an image \(6 bytes\)"),
        ("depth/1.png", b"\x89PNG\r\n", r"depth/1.png: cannot be decoded"),
    ],
)
def test_broken_recordings(folder: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        IclNuim(folder).frame(0)


def test_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone: no such folder"):
        IclNuim(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"has neither associations.txt nor rgb/N.png"):
        IclNuim(tmp_path)
