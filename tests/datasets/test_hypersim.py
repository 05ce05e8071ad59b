"""Hypersim: ray distance to planar depth, asset units to metres, OpenGL cameras, tilted lenses, official split."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from layout_hypersim import METRES_PER_UNIT, write_camera_parameters, write_hdf5, write_hypersim, write_split
from textured_room import box_depth, box_poses, check_view

from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.hypersim import Hypersim
from showroom_ros.datasets.hypersim_lens import STANDARD_LENS, Lens, lens_from_uv
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, transform_points
from showroom_ros.scene.view import Sequence

DATASET = dataset_named("hypersim")
TAN_30 = np.tan(np.pi / 6)
SMALL_LENS = Lens(STANDARD_LENS.camera.scaled(256, 192), np.eye(4))
STANDARD_UV = np.diag([TAN_30, TAN_30 * 768 / 1024, -1.0])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hypersim(tmp_path_factory.mktemp("hypersim"))


@pytest.fixture
def scene(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / rendered.name))


def test_frames(rendered: Path) -> None:
    sequence = open_sequence(rendered)
    assert isinstance(sequence, Hypersim)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, sequence.numbers) == ("ai_001_001_cam_00", [0, 1, 3])
    assert sequence.skipped == {"no image": 0, "no depth": 0, "no pose": 0}
    assert sequence.metres_per_unit == METRES_PER_UNIT
    assert sequence.frame(2).stamp_ns == 4_000_000_000
    for index, pose in enumerate(box_poses(3)):
        view = sequence[index]
        assert view.camera.fx == pytest.approx(886.81, abs=1e-3)
        np.testing.assert_allclose(view.T_world_camera, pose, atol=1e-9)
        assert np.isnan(view.depth[:4, :4]).all()
        np.testing.assert_allclose(view.depth[4:, 4:], box_depth(view.camera, pose)[4:, 4:], rtol=1e-3)  # float16
        check_view(view, color=4, tol_m=0.003)


def test_ray_distance_is_made_planar_as_published(rendered: Path) -> None:
    sequence = Hypersim(rendered)
    path = rendered / "images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
    with h5py.File(path) as file:
        distance = file["dataset"][:].astype(float)
    x, y = np.meshgrid(np.linspace(-511.5, 511.5, 1024), np.linspace(-383.5, 383.5, 768))
    planar = distance / np.linalg.norm(np.stack([x, y, np.full_like(x, 886.81)]), axis=0) * 886.81
    np.testing.assert_allclose(sequence.frame(0).depth, planar, rtol=1e-6)


def test_world_points_are_those_of_the_depth(rendered: Path) -> None:
    sequence = Hypersim(rendered / "_detail" / "cam_00")
    view = sequence[1]
    points = transform_points(view.T_world_camera, view.camera.back_project(view.depth))
    known = np.isfinite(view.depth)
    assert np.abs(points - sequence.world_points(1))[known].max() < 0.003


def test_radiance_is_clipped_where_there_is_no_tone_mapped_picture(tmp_path: Path) -> None:
    images = []
    for tonemapped in (True, False):
        root = tmp_path / str(tonemapped)
        root.mkdir()
        write_camera_parameters(root, {"ai_001_001": STANDARD_UV}, SMALL_LENS.camera)
        images.append(Hypersim(write_hypersim(root, lens=SMALL_LENS, tonemapped=tonemapped)).frame(1).image)
    tone_mapped, image = images
    assert image[10, 10].tolist() == [255, 0, 0]  # 3.0, NaN, -1.0
    image[10, 10] = tone_mapped[10, 10]
    assert np.abs(image.astype(int) - tone_mapped).mean() < 2


def test_a_tilted_and_shifted_lens(tmp_path: Path) -> None:
    tilt = pose_from((0, 0, 0), (np.cos(0.03), np.sin(0.03), 0.02 * np.cos(0.03), 0))
    lens = Lens(Camera(320, 240, 250.0, 250.0, 156.0, 131.0), tilt)
    # rays of the OpenGL camera frame per (u, v, 1)
    pixel_from_uv = np.array([[160, 0, 159.5], [0, -120, 119.5], [0, 0, 1]])
    matrix = np.diag([1, -1, -1]) @ tilt[:3, :3] @ np.linalg.inv(lens.camera.matrix) @ pixel_from_uv
    scene = write_hypersim(tmp_path, "ai_002_001", lens=lens)
    write_camera_parameters(tmp_path, {"ai_001_001": STANDARD_UV, "ai_002_001": 1.7 * matrix}, lens.camera)
    sequence = Hypersim(scene)
    np.testing.assert_allclose(sequence.lens.camera.matrix, lens.camera.matrix, atol=1e-6)
    for index in range(3):
        check_view(sequence[index], color=4, tol_m=0.003)


def test_the_standard_matrix_is_the_standard_lens() -> None:
    lens = lens_from_uv(STANDARD_UV, 1024, 768)
    np.testing.assert_allclose(lens.camera.matrix, STANDARD_LENS.camera.matrix, atol=1e-9)
    np.testing.assert_allclose(lens.T_camera_pinhole, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (STANDARD_UV + np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]]), "the projection is not standard: .* skewed by"),
        (STANDARD_UV * np.array([[-1], [1], [1]]), "mirrors the image"),
        (np.zeros((3, 3)), "singular"),
        (np.full((3, 3), np.nan), "not finite"),
    ],
)
def test_lenses_that_are_no_pinhole(scene: Path, matrix: np.ndarray, message: str) -> None:
    write_camera_parameters(scene.parent, {scene.name: matrix}, STANDARD_LENS.camera)
    with pytest.raises(DatasetError, match=rf"metadata_camera_parameters.csv, scene ai_001_001: .*{message}"):
        Hypersim(scene)


def test_a_scene_without_lens_is_refused(scene: Path) -> None:
    write_camera_parameters(scene.parent, {"ai_009_009": STANDARD_UV}, STANDARD_LENS.camera)
    with pytest.raises(DatasetError, match="does not name scene ai_001_001"):
        Hypersim(scene)


def test_cameras_scenes_and_split(tmp_path: Path) -> None:
    scene = write_hypersim(tmp_path, cameras=("cam_00", "cam_01"), lens=SMALL_LENS)
    shutil.copytree(scene, tmp_path / "ai_003_002")
    with pytest.raises(DatasetError, match=r"has several cameras, open one of _detail/cam_00, _detail/cam_01"):
        open_sequence(scene)
    assert Hypersim(scene, "cam_01").name == "ai_001_001_cam_01"
    with pytest.raises(DatasetError, match="has no camera 'cam_07', expected one of cam_00, cam_01"):
        Hypersim(scene, "cam_07")
    names = lambda split: [str(path.relative_to(tmp_path)) for path in DATASET.scenes(tmp_path, split)]  # noqa: E731
    assert len(names(None)) == 4
    assert DATASET.scenes(scene, None) == [scene / "_detail/cam_00", scene / "_detail/cam_01"]
    assert DATASET.scenes(scene / "_detail/cam_01", None) == [scene / "_detail/cam_01"]
    with pytest.raises(DatasetError, match=r"metadata_images_split_scene_v1.csv: cannot be read"):
        names("train")
    write_split(tmp_path, {("ai_001_001", "cam_01"): "train", ("ai_003_002", "cam_00"): "test"})
    assert names("train") == ["ai_001_001/_detail/cam_01"]
    assert names("test") == ["ai_003_002/_detail/cam_00"]
    with pytest.raises(DatasetError, match="no recording found"):
        names("val")
    with pytest.raises(DatasetError, match="split 'validation' is unknown, expected one of train, val, test"):
        names("validation")
    assert [line.split(":")[0] for line in DATASET.missing(scene)] == ["metadata_camera_parameters.csv"]
    shutil.rmtree(scene / "images/scene_cam_01_final_preview")
    assert len(DATASET.missing(scene / "_detail/cam_00")) == 1
    assert len(DATASET.missing(scene)) == 2


def test_what_frames_lack_is_counted(scene: Path) -> None:
    images = scene / "images"
    (images / "scene_cam_00_final_preview/frame.0001.tonemap.jpg").unlink()
    (images / "scene_cam_00_final_hdf5/frame.0001.color.hdf5").unlink()
    (images / "scene_cam_00_geometry_hdf5/frame.0003.depth_meters.hdf5").unlink()
    sequence = Hypersim(scene)
    assert (sequence.numbers, sequence.skipped) == ([0], {"no image": 1, "no depth": 1, "no pose": 0})


def test_orientations_that_are_none_are_left_out(scene: Path) -> None:
    path = scene / "_detail/cam_00/camera_keyframe_orientations.hdf5"
    with h5py.File(path, "r+") as file:
        file["dataset"][0] *= 1.2
        file["dataset"][1] = np.nan
    sequence = Hypersim(scene)
    assert (sequence.numbers, sequence.skipped["no pose"]) == ([3], 2)


def test_without_depth_views_have_none(scene: Path) -> None:
    shutil.rmtree(scene / "images/scene_cam_00_geometry_hdf5")
    assert Hypersim(scene)[0].depth is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


POSITIONS = "_detail/cam_00/camera_keyframe_positions.hdf5"
DEPTH = "images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
METADATA = "_detail/metadata_scene.csv"


@pytest.mark.parametrize(
    ("name", "break_it", "message"),
    [
        (POSITIONS, cut, r"camera_keyframe_positions.hdf5: cut short or not HDF5"),
        (
            POSITIONS,
            lambda p: write_hdf5(p, np.zeros((2, 3))),
            r"positions.hdf5: 'dataset' has shape \(2, 3\)",
        ),
        ("_detail/cam_00/camera_keyframe_orientations.hdf5", Path.unlink, r"orientations.hdf5: no such file"),
        (DEPTH, cut, r"frame.0000.depth_meters.hdf5: "),
        (DEPTH, lambda p: write_hdf5(p, np.ones((5, 5))), r"depth_meters.hdf5: is \(5, 5\), expected"),
        (METADATA, Path.unlink, r"metadata_scene.csv: cannot be read"),
        (
            METADATA,
            lambda p: p.write_text("parameter_name,parameter_value\nx,1\n"),
            r"has no row meters_per_asset_unit",
        ),
        (METADATA, lambda p: p.write_text("name,value\nx,1\n"), r"metadata_scene.csv: has no column parameter_name"),
        (
            METADATA,
            lambda p: p.write_text("parameter_name,parameter_value\nmeters_per_asset_unit,-1\n"),
            r"meters_per_asset_unit is '-1', expected a length",
        ),
        (METADATA, lambda p: p.write_text("parameter_name,parameter_value\nx\n"), r"line 2: not 2 columns"),
        (
            "images/scene_cam_00_final_preview/frame.0000.tonemap.jpg",
            lambda p: p.write_bytes(b"\xff\xd8"),
            r"frame.0000.tonemap.jpg: cannot be decoded",
        ),
    ],
)
def test_broken_scenes(scene: Path, name: str, break_it, message: str) -> None:
    break_it(scene / name)
    with pytest.raises(DatasetError, match=message):
        Hypersim(scene).frame(0)


def test_no_scene(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no _detail/cam_XX/camera_keyframe_positions.hdf5"):
        Hypersim(tmp_path)
