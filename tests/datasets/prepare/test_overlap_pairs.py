"""Pairs of frames that see the same surface: on a furnished room, and as the Hypersim recipe writes them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from furnished_room import CAMERA, FurnishedRoom, poses
from layout_hypersim import NUMBERS, write_camera_parameters, write_csv, write_hypersim
from made_up_recipe import tree
from textured_room import box_depth, box_poses

from showroom_ros.datasets.hypersim_lens import Lens
from showroom_ros.datasets.prepare.hypersim import (
    RECIPE,
    HypersimSettings,
    benchmark_scenes,
    find_hypersim,
    prepare_hypersim,
)
from showroom_ros.datasets.prepare.overlap_pairs import (
    PairRule,
    PosedDepth,
    overlap,
    overlap_pairs,
    pair_rows,
    pair_table,
    posed_depths,
)
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import radius_px_of_ndc, splat_discs_reference
from showroom_ros.geometry.se3 import look_at

SMALL = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
RULE = PairRule(radius_ndc=3e-2)
"""Small images have fewer points a pixel disc: a wider radius keeps their clouds closed."""


def frames_of(*eyes: tuple[float, float, float]) -> dict[int, PosedDepth]:
    return posed_depths(FurnishedRoom([look_at(eye, (2.6, 1.5, 0.6)) for eye in eyes]))[0]


def test_a_frame_covers_itself() -> None:
    frames = frames_of((0.4, 0.5, 1.4))
    assert overlap(frames[0], frames[0], RULE) == pytest.approx(1.0, abs=0.002)


def test_overlap_equals_the_slow_way() -> None:
    frames = frames_of((0.4, 0.5, 1.4), (0.4, 0.65, 1.4))
    first, second = frames[0], frames[1]
    local = CAMERA.back_project(first.depth).reshape(-1, 3)[::4]
    world = local @ first.T_world_camera[:3, :3].T + first.T_world_camera[:3, 3]
    seen = splat_discs_reference(world, CAMERA, second.T_world_camera, radius_px_of_ndc(6e-2, CAMERA))
    thinned = np.full_like(first.depth, np.nan)
    thinned.ravel()[::4] = first.depth.ravel()[::4]
    rule = PairRule(min_overlap=0.5, max_error_m=1.0, radius_ndc=6e-2)
    share = overlap(PosedDepth(thinned, CAMERA, first.T_world_camera), second, rule)
    assert share == pytest.approx(seen.covered.mean(), abs=1e-9)


def test_pairs_of_a_turning_camera_are_those_near_each_other() -> None:
    """It turns by five degrees a frame, of the 60 it sees: every third one no longer sees 0.8 of the same."""
    eye, angles = np.array([0.4, 0.5, 1.4]), np.radians(5.0) * np.arange(8)
    turning = [look_at(eye, eye + np.array([np.cos(angle), np.sin(angle), -0.3])) for angle in angles]
    frames = posed_depths(FurnishedRoom(turning))[0]
    pairs = {(a, b): share for a, b, share in overlap_pairs(frames, RULE)}
    assert all((step, step + 1) in pairs for step in range(7))
    assert all(1 <= b - a <= 2 for a, b in pairs)
    assert all(0.8 <= share <= 1.0 for share in pairs.values())
    for a, b in pairs:  # whoever is nearer overlaps too
        assert b - a == 1 or (a, b - 1) in pairs


def test_a_cloud_behind_a_wall_is_no_overlap() -> None:
    """Both look at the same place, one of them from behind a screen that only it sees."""
    pose = look_at((0, 0, 0), (0, 0, 1), up=(0, -1, 0))
    far, near = (PosedDepth(np.full((48, 64), z, np.float32), SMALL, pose) for z in (2.0, 1.0))
    assert overlap(far, near, RULE) is None
    assert overlap(far, near, PairRule(max_error_m=1.01, radius_ndc=3e-2)) == pytest.approx(1.0)
    assert overlap(far, PosedDepth(np.full((48, 64), 1.95, np.float32), SMALL, pose), RULE) == pytest.approx(1.0)


def test_half_an_image_is_no_pair_until_the_rule_says_so() -> None:
    pose = look_at((0, 0, 0), (0, 0, 1), up=(0, -1, 0))
    whole = PosedDepth(np.full((48, 64), 2.0, np.float32), SMALL, pose)
    half_depth = whole.depth.copy()
    half_depth[:, :32] = np.nan
    half = PosedDepth(half_depth, SMALL, pose)
    assert overlap(half, whole, RULE) is None
    share = overlap(half, whole, PairRule(min_overlap=0.4, radius_ndc=3e-2))
    assert share == pytest.approx(0.5, abs=0.02)
    assert overlap(whole, half, RULE) == pytest.approx(1.0)  # pixels that b does not know do not count


def test_nothing_known_in_common() -> None:
    pose = look_at((0, 0, 0), (0, 0, 1), up=(0, -1, 0))
    whole = PosedDepth(np.full((48, 64), 2.0, np.float32), SMALL, pose)
    unknown = PosedDepth(np.full((48, 64), np.nan, np.float32), SMALL, pose)
    assert overlap(whole, unknown, RULE) is None
    assert overlap(unknown, whole, PairRule(min_overlap=0.0)) is None


def test_frames_without_depth_or_pose_are_reported() -> None:
    room = FurnishedRoom(poses(4), unknown=(1,), unposed=(3,))
    frames, skipped = posed_depths(room)
    assert list(frames) == [0, 2]
    assert [line.split(":")[0] for line in skipped] == ["frame 1", "frame 3"]
    assert "unknown at every pixel" in skipped[0]
    assert "no pose" in skipped[1]


def test_smaller_images_keep_depth_and_rays() -> None:
    room = FurnishedRoom(poses(1))
    full, small = posed_depths(room)[0][0], posed_depths(room, 80)[0][0]
    assert small.depth.shape == (60, 80)
    assert (small.camera.fx, small.camera.width) == (CAMERA.fx / 2, 80)
    assert set(np.unique(small.depth)) <= set(np.unique(full.depth))
    assert posed_depths(room, 1000)[0][0].depth.shape == full.depth.shape


def test_table() -> None:
    rows = pair_rows("ai_001_001", "cam_00", [(0, 2, 0.9), (1, 2, 1.0)], [5, 6, 9])
    assert pair_table(rows) == (
        b"scene,camera,frame_id,remaining_frame_id,overlap\n"
        b"ai_001_001,cam_00,5,9,0.900000\nai_001_001,cam_00,6,9,1.000000\n"
    )


LENS = Lens(SMALL, np.eye(4))
STANDARD = np.diag([SMALL.width / 2 / SMALL.fx, SMALL.height / 2 / SMALL.fy, -1.0])
"""``M_cam_from_uv`` of that lens."""

TURNING = HypersimSettings(min_overlap=0.5, radius_ndc=5e-2)
"""The camera of the tiny scene turns by 12 degrees a frame and sees 61 across."""


@pytest.fixture(scope="module")
def hypersim_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hypersim")
    write_hypersim(root, cameras=("cam_00", "cam_01"), lens=LENS)
    write_hypersim(root, "ai_002_001", lens=LENS)
    shifted = STANDARD + np.array([[0, 0, 0.2], [0, 0, 0], [0, 0, 0]])
    write_camera_parameters(root, {"ai_001_001": STANDARD, "ai_002_001": shifted}, SMALL)
    return root


def test_hypersim_pairs_and_depth(hypersim_root: Path, tmp_path: Path) -> None:
    item = find_hypersim(hypersim_root, None)[0]
    assert item.key == "ai_001_001/cam_00"
    assert prepare_hypersim(item, tmp_path, TURNING) == []
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert [(row["frame_id"], row["remaining_frame_id"]) for row in rows] == [("0", "1"), ("0", "3"), ("1", "3")]
    assert {(row["scene"], row["camera"]) for row in rows} == {("ai_001_001", "cam_00")}
    for pose, number in zip(box_poses(len(NUMBERS)), NUMBERS, strict=True):
        written = cv2.imread(str(tmp_path / f"depth/frame.{number:04d}.png"), cv2.IMREAD_UNCHANGED)
        exact_mm = box_depth(SMALL, pose) * 1000
        assert (written[:4, :4] == 0).all()
        assert np.abs(written.astype(float) - exact_mm)[4:].max() < 2.0  # stored as float16


def test_hypersim_depth_in_metres_or_none(hypersim_root: Path, tmp_path: Path) -> None:
    item = find_hypersim(hypersim_root, None)[1]
    for form in ("npz", "none"):
        (tmp_path / form).mkdir()
        prepare_hypersim(item, tmp_path / form, HypersimSettings(depth=form, image_width=32))
    depth = np.load(tmp_path / "npz/depth/frame.0003.npz")["depth"]
    assert (depth.dtype, depth.shape) == (np.float32, (48, 64))
    assert np.isnan(depth[0, 0])
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["pairs.csv"]


def test_shifted_lenses_are_reported_and_give_no_pairs(hypersim_root: Path, tmp_path: Path) -> None:
    item = next(item for item in find_hypersim(hypersim_root, None) if item.key.startswith("ai_002"))
    (tmp_path / "no").mkdir()
    skipped = prepare_hypersim(item, tmp_path / "no", TURNING)
    assert skipped == ["all frames: the lens is tilted or shifted (take it with --any-projection)"]
    assert (tmp_path / "no/pairs.csv").read_text().count("\n") == 1
    (tmp_path / "yes").mkdir()
    assert prepare_hypersim(item, tmp_path / "yes", replace(TURNING, any_projection=True)) == []
    assert (tmp_path / "yes/pairs.csv").read_text().count("\n") > 1


def test_hypersim_through_the_runner(hypersim_root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        summary = prepare(RECIPE, hypersim_root, tmp_path / name, TURNING, executor="processes")
        assert (summary.is_complete, summary.left_out, summary.combined) == (True, 1, ("pairs.csv",))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    rows = (tmp_path / "a/pairs.csv").read_text().splitlines()
    assert [row.rpartition(",")[0] for row in rows] == [
        "scene,camera,frame_id,remaining_frame_id",
        *(f"ai_001_001,{camera},{a},{b}" for camera in ("cam_00", "cam_01") for a, b in ((0, 1), (0, 3), (1, 3))),
    ]


def test_benchmark_scenes_are_the_first_hundred_without_physical_cameras(tmp_path: Path) -> None:
    path = tmp_path / "metadata_camera_parameters.csv"
    rows = [(f"ai_{number:03d}_001", "TRUE" if number % 10 == 3 else "False") for number in range(120)]
    write_csv(path, [("scene_name", "use_camera_physical"), *rows])
    wanted = benchmark_scenes(path)
    assert wanted == {f"ai_{number:03d}_001" for number in range(100) if number % 10 != 3}


def test_benchmark_split_without_its_table(hypersim_root: Path) -> None:
    with pytest.raises(DatasetError, match="has no column use_camera_physical"):
        find_hypersim(hypersim_root, "benchmark")
    with pytest.raises(DatasetError, match="split 'no such' is unknown"):
        find_hypersim(hypersim_root, "no such")


def test_hypersim_that_is_broken(tmp_path: Path) -> None:
    folder = write_hypersim(tmp_path / "root", lens=LENS)
    write_camera_parameters(tmp_path / "root", {"ai_001_001": STANDARD}, SMALL)
    item = find_hypersim(tmp_path / "root", None)[0]
    geometry = folder / "images/scene_cam_00_geometry_hdf5"
    cut = geometry / "frame.0001.depth_meters.hdf5"
    cut.write_bytes(cut.read_bytes()[:300])
    (tmp_path / "one").mkdir()
    skipped = prepare_hypersim(item, tmp_path / "one", TURNING)
    assert len(skipped) == 1
    assert "frame 1: " in skipped[0]
    assert "frame.0001.depth_meters.hdf5" in skipped[0]
    for path in geometry.glob("*depth_meters*"):
        path.write_bytes(b"")
    (tmp_path / "all").mkdir()
    with pytest.raises(DatasetError, match="none of 3 frames can be used"):
        prepare_hypersim(item, tmp_path / "all", TURNING)
