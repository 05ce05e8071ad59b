"""Posed video, from a recording to what training reads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_box_room import CAMERA, ROOM, box_depth, box_poses, write_box_room
from made_up_recipe import tree

from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.prepare.frame_alignment import aligned_view, cropped_view, resized_nearest
from showroom_ros.datasets.prepare.posed_video import FusedVideoSettings, fused_mesh, moved_frames
from showroom_ros.datasets.prepare.prepared import DATASET, Prepared
from showroom_ros.datasets.prepare.recipes import RECIPES
from showroom_ros.datasets.prepare.run import Summary, prepare
from showroom_ros.datasets.prepare.scenes import recordings_of_any_kind, synthetic_recordings
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, pose_from
from showroom_ros.scene.view import SensorFrame, View

TUM = next(recipe for recipe in RECIPES if recipe.name == "tum")
SMALL = FusedVideoSettings(width=160, height=120, mesh_voxel_m=0.02)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_box_room(folder)
    write_box_room(folder, 3, "rgbd_dataset_freiburg3_again")
    return folder


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    assert run(root, out).is_complete
    return out


def run(root: Path, out: Path, settings: FusedVideoSettings = SMALL, workers: int = 1) -> Summary:
    return prepare(TUM, root, out, settings, workers=workers, executor="processes")


def test_the_prepared_scene_opens_as_a_sequence(prepared: Path) -> None:
    scene = open_sequence(prepared / "rgbd_dataset_freiburg3_box")
    assert isinstance(scene, Prepared)
    assert (scene.name, len(scene), scene.info["gt_mesh"]) == ("rgbd_dataset_freiburg3_box", 6, "mesh.ply")
    assert scene.info["world_frame"]["up"] == "z"
    camera = CAMERA.scaled(160, 120)
    for index, pose in enumerate(box_poses(6)):
        view = scene[index]
        assert view.camera == camera
        np.testing.assert_allclose(view.T_world_camera, pose, atol=1e-9)
        # the nearest pixel of 640x480 is at most half a pixel of 160x120 away
        np.testing.assert_allclose(np.median(view.depth - box_depth(camera, pose)), 0, atol=0.002)
        assert np.abs(view.depth - box_depth(camera, pose)).max() < 0.02
        assert abs(int(view.image[60, 80, 0]) - (40 + 10 * index)) <= 1
        assert view.stamp_ns == (1311868164 + index) * 10**9
    assert DATASET.scenes(prepared, None) == [prepared / f"rgbd_dataset_freiburg3_{name}" for name in ("again", "box")]
    assert DATASET.missing(prepared / "rgbd_dataset_freiburg3_box") == []


def test_mesh_lies_on_the_walls(prepared: Path) -> None:
    mesh = open_sequence(prepared / "rgbd_dataset_freiburg3_box").ground_truth_mesh()
    distance = np.minimum(np.abs(mesh.vertices), np.abs(mesh.vertices - ROOM)).min(1)
    assert len(mesh.vertices) > 2000
    assert np.median(distance) < 0.002
    assert np.quantile(distance, 0.98) < 0.01


def test_signed_distances_of_the_room(prepared: Path) -> None:
    scene = Prepared(prepared / "rgbd_dataset_freiburg3_box")
    for layer, size in enumerate((0.04, 0.08, 0.16)):
        values, grid = scene.tsdf_layer(layer)
        assert grid.voxel_size_m == size
        assert values.dtype == np.float32
        centres = grid.origin + size * np.stack(np.indices(values.shape), -1)
        inside = np.minimum(centres, ROOM - centres).min(-1)
        far = 3 * size
        assert (values[inside < -1.5 * far] == 1).all()
        seen_free = values[inside > far] == -1
        assert 0.1 < seen_free.mean() <= 1
        at_wall = values[(np.abs(inside) < 0.25 * size) & (np.abs(values) < 0.999)]
        assert len(at_wall) > 20
        assert np.abs(np.median(at_wall)) < 0.15
    with np.load(prepared / "rgbd_dataset_freiburg3_box/full_tsdf_layer0.npz") as archive:
        assert archive.files == ["arr_0"]


def test_two_workers_write_the_same_bytes(root: Path, prepared: Path, tmp_path: Path) -> None:
    summary = run(root, tmp_path / "out", workers=2)
    assert [outcome.state for outcome in summary.outcomes] == ["done", "done"]
    assert tree(tmp_path / "out") == tree(prepared)
    assert not any(str(root).encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*.json"))


def test_keyframes_only_thin_the_images(root: Path, prepared: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "out", FusedVideoSettings(width=160, height=120, mesh_voxel_m=0.02, keyframes=True))
    scene, whole = (Prepared(out / "rgbd_dataset_freiburg3_box") for out in (tmp_path / "out", prepared))
    names = [entry["filename_color"] for entry in scene.info["frames"]]
    assert names == ["color/00000.jpg", "color/00002.jpg", "color/00004.jpg"]  # 24 degrees each
    for kind in ("color", "depth"):
        assert len(list((scene.path / kind).iterdir())) == 3
    for name in ("mesh.ply", "full_tsdf_layer0.npz"):
        assert (scene.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_frames_that_moved_or_turned() -> None:
    still = np.eye(4)
    near, far = pose_from((0.1, 0, 0)), pose_from((0.11, 0, 0))
    rolled = pose_from((0, 0, 0), (np.cos(0.4), 0, 0, np.sin(0.4)))  # about the optical axis, which stays
    turned = pose_from((0, 0, 0), (np.cos(0.14), np.sin(0.14), 0, 0))  # 16 degrees
    assert moved_frames([still, near, far]) == [0, 2]
    assert moved_frames([still, rolled, turned, turned]) == [0, 2]
    assert moved_frames([]) == []


def test_bad_frames_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_box_room(tmp_path / "root")
    images, depths = sorted((folder / "rgb").iterdir()), sorted((folder / "depth").iterdir())
    images[1].write_bytes(b"no image")
    depths[2].write_bytes(depths[2].read_bytes()[:100])
    cv2.imwrite(str(depths[3]), np.zeros((480, 640), np.uint16))
    summary = run(tmp_path / "root", tmp_path / "out")
    (outcome,) = summary.outcomes
    assert (outcome.state, summary.left_out) == ("done", 3)
    name = "rgbd_dataset_freiburg3_box"
    for line, text in zip(
        outcome.skipped,
        (
            f"frame 1: {name}/rgb/{images[1].name}: cannot be decoded as an image (8 bytes)",
            f"frame 2: {name}/depth/{depths[2].name}: ",
            "frame 3: no pixel has depth",
        ),
        strict=True,
    ):
        assert line.startswith(text)
    entries = json.loads((tmp_path / "out" / name / "info.json").read_text())["frames"]
    assert [entry["filename_depth"] for entry in entries] == [f"depth/0000{i}.png" for i in (0, 4, 5)]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("groundtruth.txt", lambda text: text.replace(" 1.200000000000", " nan"), "none of 2"),
        ("depth.txt", lambda text: "", "depth.txt"),
        ("groundtruth.txt", None, "has no pose"),
        ("groundtruth.txt", lambda text: text.replace(" 0.900000000000", " 1e4"), "is a pose wrong?"),
        ("rgb.txt", lambda text: "1 gone.png\n", "none of 1 colour images can be used"),
    ],
)
def test_scenes_that_cannot_be_prepared_are_named(tmp_path: Path, name: str, change, reason: str) -> None:
    folder = write_box_room(tmp_path / "root", 2)
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(change((folder / name).read_text()))
    summary = run(tmp_path / "root", tmp_path / "out")
    (outcome,) = summary.of_state("failed")
    assert reason in outcome.reason
    assert tree(tmp_path / "out") == {}


def test_colour_is_warped_to_the_depth_camera() -> None:
    color = Camera(80, 60, 70.0, 72.0, 39.0, 30.5)
    depth = Camera(40, 30, 33.0, 34.0, 19.0, 14.0)
    T_color_depth = pose_from((-0.03, 0, 0), (np.cos(0.01), 0, np.sin(0.01), 0))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    pose = look_at((1, 2, 1), (0, 0, 1))
    planes = np.full((30, 40), 2.0, np.float32)
    frame = SensorFrame(image, color, planes, depth, T_color_depth, pose, 5)
    view = aligned_view(frame, 80, 60)
    assert view.camera == depth.scaled(80, 60)
    np.testing.assert_allclose(view.T_world_camera, pose @ T_color_depth, atol=1e-12)
    assert view.depth.shape == (60, 80)
    rays = view.camera.rays() @ T_color_depth[:3, :3].T
    pixels, _ = color.project(rays)
    columns, rows = np.floor(pixels[..., 0] + 0.5).astype(int), np.floor(pixels[..., 1] + 0.5).astype(int)
    inside = (columns >= 0) & (columns < 80) & (rows >= 0) & (rows < 60)
    expected = np.where(inside[..., None], image[rows.clip(0, 59), columns.clip(0, 79)], 0)
    assert (view.image == expected).all(-1).mean() > 0.995  # OpenCV rounds to 1/32 pixel
    registered = aligned_view(frame, alignment="depth")
    assert registered.camera == color
    np.testing.assert_allclose(registered.T_world_camera, pose, atol=1e-12)


def test_resizing_takes_the_nearest_depth_and_cropping_the_middle() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert resized_nearest(plane, 3, 2).tolist() == [[1, 3, 5], [7, 9, 11]]
    assert resized_nearest(plane, 12, 2)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    view = View(np.zeros((60, 120, 3), np.uint8), Camera(120, 60, 50.0, 50.0, 59.5, 29.5))
    cropped = cropped_view(view, 4, 3)
    assert (cropped.camera.width, cropped.camera.height, cropped.camera.cx) == (80, 60, 39.5)


def test_finding_recordings(root: Path) -> None:
    assert [item.key for item in recordings_of_any_kind(root, None)] == [
        "rgbd_dataset_freiburg3_again",
        "rgbd_dataset_freiburg3_box",
    ]
    box = root / "rgbd_dataset_freiburg3_box"
    assert [(item.key, item.source) for item in TUM.find(box, None)] == [(box.name, box)]
    seeds = [(item.key, str(item.source)) for item in synthetic_recordings(Path("synthetic:3-4"), None)]
    assert seeds == [("synthetic-3", "synthetic:3"), ("synthetic-4", "synthetic:4")]
    for words, message in (
        ((root / "rgbd_dataset_freiburg3_box/rgb", None), "looked for"),
        ((root, "third"), "third"),
    ):
        with pytest.raises(DatasetError, match=message):
            TUM.find(*words)
    for name in ("synthetic:x", "synthetic:4-3", "made:3"):
        with pytest.raises(DatasetError, match="expected made-up rooms such as synthetic:7"):
            synthetic_recordings(Path(name), None)


def test_mesh_that_would_need_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showroom_ros.datasets.prepare.posed_video._MESH_BYTES", 2_000_000)
    pose = box_poses(1)[0]
    camera = CAMERA.scaled(160, 120)
    view = View(np.zeros((120, 160, 3), np.uint8), camera, box_depth(camera, pose), T_world_camera=pose)
    with pytest.raises(InputError, match=r"fusing a mesh at 0.01 m needs more than 0.002 GB"):
        fused_mesh(iter([view, view]), 0.01, 3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "info.json: cannot be read"),
        ("{", "info.json: cannot be read"),
        ("[]", "info.json: holds a list, expected an object"),
        ("{}", "info.json: is not that of a prepared scene: KeyError"),
        ({"frames": []}, "info.json: lists no frames"),
        ({"intrinsics": [[0]]}, "is not that of a prepared scene"),
        ({"frames": [{"filename_color": "color/0.jpg"}]}, "color/0.jpg: no such file"),
        ({"frames": [{}]}, "frame 0 is broken"),
    ],
)
def test_broken_prepared_scenes(tmp_path: Path, change: str | dict | None, message: str) -> None:
    good = {"scene": "a", "width": 4, "height": 3, "intrinsics": np.eye(3).tolist(), "frames": []}
    if change is not None:
        text = json.dumps({**good, **change}) if isinstance(change, dict) else change
        (tmp_path / "info.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        Prepared(tmp_path).frame(0)


def test_layers_of_a_scene_without_them(prepared: Path, tmp_path: Path) -> None:
    folder = prepared / "rgbd_dataset_freiburg3_box"
    for name in ("info.json", "tsdf_info.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "full_tsdf_layer1.npz").write_bytes((folder / "full_tsdf_layer1.npz").read_bytes()[:300])
    for layer in (0, 1):
        with pytest.raises(DatasetError, match=f"full_tsdf_layer{layer}.npz: cannot be read as a TSDF layer"):
            Prepared(tmp_path).tsdf_layer(layer)
