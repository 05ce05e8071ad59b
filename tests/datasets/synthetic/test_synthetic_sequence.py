from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.synthetic.path import RATE_HZ, PathSettings, plan_path
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sequence import T_COLOR_DEPTH, SyntheticSequence
from showroom_ros.datasets.synthetic.splits import settings_of
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose, look_at, rotation_angle_deg
from showroom_ros.scene.view import Sequence


def test_it_is_a_sequence_of_frames_and_views(recording: SyntheticSequence) -> None:
    assert isinstance(recording, Sequence)
    assert recording.name == "synthetic:7"
    assert 20 <= len(recording) / RATE_HZ <= 25
    frame, view = recording.frame(40), recording[40]
    assert frame.depth_camera != frame.color_camera
    np.testing.assert_allclose(frame.T_color_depth, T_COLOR_DEPTH, atol=1e-12)
    assert view.stamp_ns == frame.stamp_ns == 1_000_000_000 + round(40e9 / 30)
    np.testing.assert_allclose(view.T_world_camera, frame.T_world_camera, atol=1e-12)
    np.testing.assert_allclose(frame.T_world_camera, recording.trajectory[40], atol=1e-9)
    assert view.image.shape == (240, 320, 3)


def test_same_seed_same_bytes_in_any_order(recording: SyntheticSequence) -> None:
    again = SyntheticSequence(7, width=320, height=240, frames=60)
    np.testing.assert_array_equal(again.trajectory, recording.trajectory[:60])
    for index in (50, 3, 17):
        one, two = again.frame(index), recording.frame(index)
        assert one.image.tobytes() == two.image.tobytes()
        assert one.depth is not None
        assert two.depth is not None
        assert one.depth.tobytes() == two.depth.tobytes()
    assert recording.frame(3).image.tobytes() != recording.frame(4).image.tobytes()


def test_photos_from_given_poses_stand_still(recording: SyntheticSequence, room: Room) -> None:
    poses = recording.trajectory[[30, 400]]
    photos = SyntheticSequence(7, width=160, height=120, room=room, trajectory=poses, name="photos", registered=True)
    assert (photos.name, len(photos), photos.moving) == ("photos", 2, False)
    np.testing.assert_allclose(photos[1].require_pose(), poses[1], atol=1e-9)
    np.testing.assert_array_equal(photos.pose_at(1, 0.01), photos.trajectory[1])
    assert photos.ground_truth_mesh() is photos.mesh
    sharp = np.abs(np.diff(photos.frame(1).image.astype(int), axis=1)).mean()
    walked = SyntheticSequence.__new__(SyntheticSequence)
    walked.__dict__.update(photos.__dict__, moving=True)  # 12 s of way in 1/30 s
    assert np.abs(np.diff(walked.frame(1).image.astype(int), axis=1)).mean() < sharp


def test_threads_give_the_frames_in_order(recording: SyntheticSequence) -> None:
    short = SyntheticSequence.__new__(SyntheticSequence)
    short.__dict__.update(recording.__dict__, trajectory=recording.trajectory[:7])
    for index, frame in enumerate(short.frames(workers=2)):
        expected = short.frame(index)
        assert frame.image.tobytes() == expected.image.tobytes()
        assert frame.stamp_ns == short.stamp_ns(index)
    assert index == 6


def test_noisy_registered_depth_is_near_the_exact_one(recording: SyntheticSequence) -> None:
    noisy, exact = recording[200].require_depth(), recording.ideal(200).require_depth()
    assert not np.isnan(exact).any()
    measured = ~np.isnan(noisy)
    assert 0.7 < measured.mean() < 0.99
    error = np.abs(noisy - exact)[measured]
    assert np.median(error / (0.0012 + 0.0019 * (exact[measured] - 0.4) ** 2)) < 1.5
    difference = recording[200].image.astype(float) - recording.ideal(200).image
    assert 1 < np.abs(difference).mean() < 12


def test_walk_is_calm_and_keeps_clear(recording: SyntheticSequence, room: Room) -> None:
    poses = recording.trajectory
    for pose in poses[::50]:
        np.testing.assert_allclose(checked_pose(pose), pose, atol=1e-9)
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * RATE_HZ
    turn = np.array([rotation_angle_deg(a, b) for a, b in pairwise(poses)]) * RATE_HZ
    assert speed.max() < 0.9
    assert turn.max() < 70
    assert speed[:8].max() < 0.25
    space = WalkableSpace(room.plan, room.furniture, 0.3)
    assert space.clearance(poses[:, :2, 3]).min() > 0.2
    assert poses[:, 2, 3].min() > 1.2
    assert poses[:, 2, 3].max() < 1.8
    eyes = torch.as_tensor(poses[::20, :3, 3]).float()
    assert torch.cdist(eyes, torch.as_tensor(room.vertices)).min() > 0.2


def test_walk_is_shaky_unless_told_otherwise(room: Room) -> None:
    shaky, steady = plan_path(room), plan_path(room, PathSettings(jitter_m=0, jitter_deg=0))
    tremor, calm = (np.diff(poses[:, 2, 3], n=2).std() for poses in (shaky, steady))
    assert 0.0001 < tremor < 0.01
    assert calm < 0.3 * tremor


def test_path_sees_nearly_everything_from_near(recording: SyntheticSequence, room: Room) -> None:
    """Of the surface visible from anywhere in the room nearly all is seen from less than 3.5 m."""
    renderer, camera = Renderer(room), Camera(120, 90, 98.0, 98.0, 59.5, 44.5)
    area = np.linalg.norm(
        np.cross(*(room.vertices[room.triangles[:, i]] - room.vertices[room.triangles[:, 0]] for i in (1, 2))), axis=1
    )

    def seen_from(poses: np.ndarray, reach_m: float) -> np.ndarray:
        seen = np.zeros(len(room.triangles), bool)
        for pose in poses:
            view = renderer.render(camera, pose, shaded=False)
            seen[view.triangle.numpy()[view.depth.numpy() < reach_m]] = True
        return seen

    places = WalkableSpace(room.plan, room.furniture, 0.32).spread(10)
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    everywhere = [
        look_at((*p, 1.5), (p[0] + dx, p[1] + dy, 1.5 + dz))
        for p in places
        for dx, dy in directions
        for dz in (-0.7, 0, 0.6)
    ]
    could, did = seen_from(np.array(everywhere), 10.0), seen_from(recording.trajectory[::5], 3.5)
    assert area[could & did].sum() > 0.9 * area[could].sum()


def test_colors_of_the_mesh_are_those_of_the_images(recording: SyntheticSequence) -> None:
    view = recording.ideal(300)
    points, depth = recording.color_camera.project(
        (recording.mesh.vertices.astype(float) - view.require_pose()[:3, 3]) @ view.require_pose()[:3, :3]
    )
    u, v = np.round(np.nan_to_num(points, nan=-1)).astype(int).T
    inside = (u > 2) & (v > 2) & (u < 317) & (v < 237) & (depth > 0)
    inside[inside] = np.abs(view.require_depth()[v[inside], u[inside]] - depth[inside]) < 0.005
    difference = view.image[v[inside], u[inside]].astype(float) - recording.mesh.colors[inside]
    assert inside.sum() > 2000
    assert np.median(np.abs(difference)) < 6


def test_rooms_of_a_split_open_by_name() -> None:
    found = open_sequence("synthetic:val/2")
    assert isinstance(found, SyntheticSequence)
    assert (found.name, found.seed) == ("synthetic:val/2", 1002)
    assert len(found.room.plan.rooms) == settings_of(1002).rooms


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic:seven", "synthetic:seven: expected a seed, a whole number such as synthetic:7, or a room"),
        ("synthetic:-1", "synthetic:-1: expected a seed"),
        ("synthetic:dev/3", "synthetic:dev/3: split 'dev' is unknown, expected one of test, val, train"),
        ("synthetic:test/1000", "room 1000 of split 'test' does not exist, expected 0 to 999"),
        ("synthetic:test/", "synthetic:test/: expected a seed"),
    ],
)
def test_bad_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_sequence(name)


_BARE = """
import pkgutil, sys
blocked = {"numba", "cv2", "scipy", "open3d", "yaml", "rclpy", "rosbags"}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(name)
sys.meta_path.insert(0, Finder())
import importlib, torch
import showroom_ros.datasets.synthetic as package
names = {m.name for m in pkgutil.iter_modules(package.__path__)} - {"kernels_numba"}
for name in sorted(names):
    importlib.import_module(f"{package.__name__}.{name}")
from showroom_ros.datasets.synthetic.backends import numba_kernels
assert numba_kernels("auto", torch.device("cpu")) is None
assert not blocked & set(sys.modules), blocked & set(sys.modules)
print(len(names))
"""


def test_needs_torch_and_numpy_only() -> None:
    found = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) >= 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "image size is 0x480"),
        ({"height": -5}, "image size is 640x-5"),
        ({"frames": 0}, "frames is 0"),
        ({"seed": -3}, "seed is -3"),
        ({"device": "toaster"}, "device 'toaster'"),
        ({"trajectory": np.eye(4)}, r"trajectory has shape \(4, 4\)"),
        ({"trajectory": [np.eye(4), np.zeros((4, 4))]}, "trajectory 1 has last row"),
        ({"trajectory": [np.eye(4)], "frames": 2}, "frames is 2, the path of synthetic:1 has 1$"),
    ],
)
def test_bad_sequences_are_refused(room: Room, arguments: dict, message: str) -> None:
    given = {} if "seed" in arguments else {"room": room}
    with pytest.raises(InputError, match=message):
        SyntheticSequence(**{"seed": 1, **given, **arguments})


def test_bad_indices_and_paths_are_refused(recording: SyntheticSequence, room: Room) -> None:
    for index in (len(recording), -len(recording) - 1):
        with pytest.raises(IndexError, match=r"frame -?\d+ of synthetic:7"):
            recording.frame(index)
    with pytest.raises(InputError, match="duration_s is 0"):
        PathSettings(duration_s=0)
    with pytest.raises(InputError, match="jitter_m is -1"):
        PathSettings(jitter_m=-1)
    with pytest.raises(InputError, match="no free floor with 9 m"):
        plan_path(room, PathSettings(clearance_m=9))
