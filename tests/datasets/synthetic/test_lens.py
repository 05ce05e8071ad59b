from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from showroom_ros.datasets.synthetic.lens import Lens
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sensor import ColorSensor
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.datasets.synthetic.shutter import SMEAR_MARGIN_PX, rolled, row_times_s
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import rotation_angle_deg
from showroom_ros.scene.rectification import rectify

BARREL = Camera(160, 120, 131.0, 132.0, 80.2, 58.9, "plumb_bob", (-0.18, 0.05, 0.001, -0.0012, 0.0))
PILLOW = replace(BARREL, distortion=(0.2, -0.03, 0.0, 0.001, 0.0))
FISHEYE = Camera(160, 120, 100.0, 100.0, 79.5, 59.5, "equidistant", (-0.02, 0.004, -0.001, 0.0))
LENSES = {"barrel": BARREL, "pillow": PILLOW, "fisheye": FISHEYE}


@pytest.mark.parametrize("lens", LENSES)
def test_rectified_frames_agree_with_the_ideal_view(room: Room, recording: SyntheticSequence, lens: str) -> None:
    camera = LENSES[lens]
    poses = recording.trajectory[[100, 420]]
    bent = SyntheticSequence(
        7, width=160, height=120, room=room, trajectory=poses, color_camera=camera, noisy=False, registered=True
    )
    for index in range(2):
        frame, ideal = bent.frame(index), bent[index]
        assert frame.color_camera == camera
        assert ideal.camera == camera.without_distortion()
        view = rectify(frame)
        seen = (view.image.sum(-1) > 0) & ~np.isnan(view.require_depth())
        assert seen.mean() > 0.7
        difference = np.abs(view.image.astype(float) - ideal.image)[seen]
        assert np.median(difference) <= 3
        assert np.abs(frame.image.astype(float) - ideal.image).mean() > 1.5 * difference.mean()
        error = np.abs(view.require_depth() - ideal.require_depth())[seen] / ideal.require_depth()[seen]
        assert np.mean(error < 0.02) > 0.95
        assert np.median(error) < 0.004


def test_each_bent_pixel_is_what_its_ray_meets(room: Room, recording: SyntheticSequence) -> None:
    """Against the obvious: one ideal camera per pixel, turned along the pixel's own ray."""
    pose = recording.trajectory[250]
    renderer, lens = Renderer(room), Lens(BARREL, torch.device("cpu"))
    depth = lens.pick(renderer.render(lens.ideal, pose).depth).numpy()
    rays, near = BARREL.rays(), []
    for v, u in [(3, 5), (60, 80), (118, 150), (10, 120), (90, 20), (64, 31)]:
        ray = rays[v, u]
        one = Camera(1, 1, 131.0, 132.0, -131.0 * ray[0], -132.0 * ray[1])
        near.append(abs(float(renderer.render(one, pose, shaded=False).depth[0, 0]) - depth[v, u]) < 0.03)
    assert sum(near) >= 5


def test_noisy_frames_of_a_lens_undistort_to_the_same_room(room: Room, recording: SyntheticSequence) -> None:
    poses = recording.trajectory[[300]]
    bent = SyntheticSequence(7, width=160, height=120, room=room, trajectory=poses, color_camera=BARREL)
    view, exact = bent[0], bent.ideal(0)
    assert not view.camera.is_distorted
    measured = ~np.isnan(view.require_depth())
    assert measured.mean() > 0.6
    error = np.abs(view.require_depth() - exact.require_depth())[measured] / exact.require_depth()[measured]
    assert np.median(error) < 0.01


def test_a_lens_without_distortion_changes_nothing() -> None:
    camera = BARREL.without_distortion()
    lens, plane = Lens(camera, torch.device("cpu")), torch.rand(120, 160)
    assert lens.ideal == camera
    assert torch.equal(lens.pick(plane), plane)
    spare = Lens(camera, torch.device("cpu"), margin_px=3)
    assert (spare.ideal.height, spare.ideal.cy) == (126, camera.cy + 3)
    assert torch.equal(spare.bend(torch.rand(126, 160, 3)).shape[:2] == (120, 160) and plane, plane)


def test_lenses_that_see_too_wide_are_refused() -> None:
    wide = Camera(160, 120, 52.0, 52.0, 79.5, 59.5, "equidistant", (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="needs an ideal image of"):
        Lens(wide, torch.device("cpu"))


def test_rows_are_exposed_one_after_another() -> None:
    times = row_times_s(5, 0.02)
    np.testing.assert_allclose(times, [-0.008, -0.004, 0, 0.004, 0.008], atol=1e-12)


@pytest.mark.parametrize("lens", [None, "barrel"])
def test_rolling_shutter_in_bands_equals_row_by_row(room: Room, recording: SyntheticSequence, lens: str | None) -> None:
    camera = Camera(160, 120, 131.0, 131.0, 79.5, 59.5) if lens is None else BARREL
    turns = [rotation_angle_deg(recording.trajectory[i], recording.trajectory[i + 1]) for i in range(699)]
    index, readout_s = int(np.argmax(turns)), 0.03
    sharp = ColorSensor(exposure_s=0, readout_s=readout_s)
    quick = SyntheticSequence.__new__(SyntheticSequence)
    quick.__dict__.update(recording.__dict__, color_sensor=sharp)

    def image(rows_per_band: int | None) -> torch.Tensor:
        return rolled(
            quick.renderer,
            camera,
            lambda after_s: quick.pose_at(index, after_s),
            readout_s,
            lambda band, _: band.radiance if band.radiance is not None else torch.empty(0),
            1.0,
            rows_per_band,
        )

    bands, rows, still = image(None), image(1), image(120)
    assert bands.shape == (120, 160, 3)
    error, effect = (bands - rows).abs().mean(), (still - rows).abs().mean()
    assert error < 0.35 * effect
    middle = Lens(camera, quick.renderer.device).bend(
        quick.renderer.render(Lens(camera, quick.renderer.device).ideal, quick.pose_at(index)).radiance  # type: ignore[arg-type]
    )
    assert (rows[59:61] - middle[59:61]).abs().mean() < 0.3 * (rows - middle)[[0, 119]].abs().mean()
    assert SMEAR_MARGIN_PX >= 8


def test_rolling_shutter_frames_are_repeatable_and_skewed(room: Room, recording: SyntheticSequence) -> None:
    sensor = ColorSensor(readout_s=0.03, read_noise=0, shot_noise=0)
    made = [
        SyntheticSequence(7, frames=40, width=80, height=60, room=room, color_sensor=s, registered=True)
        for s in (sensor, sensor, replace(sensor, readout_s=0))
    ]
    one, again, still = (sequence.frame(30) for sequence in made)
    assert one.image.tobytes() == again.image.tobytes()
    assert one.depth is not None
    assert still.depth is not None
    assert one.depth.shape == still.depth.shape
    assert one.image.tobytes() != still.image.tobytes()


def test_pose_between_frames(recording: SyntheticSequence) -> None:
    half = recording.pose_at(100, 0.5 / 30)
    middle = (recording.trajectory[100, :3, 3] + recording.trajectory[101, :3, 3]) / 2
    np.testing.assert_allclose(half[:3, 3], middle, atol=1e-9)
    np.testing.assert_allclose(recording.pose_at(101, -1 / 30)[:3, 3], recording.trajectory[100, :3, 3], atol=1e-9)
    last = len(recording) - 1
    beyond = 2 * recording.trajectory[last, :3, 3] - recording.trajectory[last - 1, :3, 3]
    np.testing.assert_allclose(recording.pose_at(last, 1 / 30)[:3, 3], beyond, atol=1e-6)


def test_bad_shutters_are_refused(recording: SyntheticSequence) -> None:
    with pytest.raises(InputError, match="readout_s is -1"):
        ColorSensor(readout_s=-1)
    with pytest.raises(InputError, match="readout_s is 0"):
        rolled(recording.renderer, BARREL, lambda _: np.eye(4), 0.0, lambda r, _: r.depth, 1.0)
