from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from showroom_ros.datasets.synthetic.sensor import ColorSensor, DepthSensor, axial_sigma_m, develop, projector_shadow
from showroom_ros.errors import InputError

QUIET = DepthSensor(axial=False, lateral_px=0, baseline_m=0, disparity_step_px=0, edge_loss=0, dropout=0)
FX = 571.0


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def flat(depth_m: float, height: int = 200, width: int = 240) -> tuple[Tensor, Tensor]:
    return torch.full((height, width), depth_m), torch.ones(height, width)


def test_a_quiet_sensor_reports_the_truth() -> None:
    depth, cosine = flat(2.0)
    assert torch.equal(QUIET.measure(depth, cosine, FX, generator()), depth)


@pytest.mark.parametrize("depth_m", [0.6, 1.0, 2.0, 3.0, 4.0])
def test_axial_noise_has_the_deviation_of_the_kinect_model(depth_m: float) -> None:
    depth, cosine = flat(depth_m)
    error = replace(QUIET, axial=True).measure(depth, cosine, FX, generator()) - depth
    expected = 0.0012 + 0.0019 * (depth_m - 0.4) ** 2
    assert float(error.std()) == pytest.approx(expected, rel=0.05)
    assert abs(float(error.mean())) < expected / 30


def test_turned_surface_is_noisier() -> None:
    depth = torch.tensor(2.0)
    values = [float(axial_sigma_m(depth, torch.tensor(math.cos(math.radians(a))))) for a in (0, 40, 60, 75, 79)]
    assert values == sorted(values)
    theta = math.radians(75)
    turned = 0.0001 / math.sqrt(2) * theta**2 / (math.pi / 2 - theta) ** 2
    assert values[3] == pytest.approx(0.0012 + 0.0019 * 1.6**2 + turned, rel=1e-3)


def test_quantised_depth_lies_on_the_disparity_grid() -> None:
    sensor = replace(QUIET, axial=True, baseline_m=0.075, disparity_step_px=0.125)
    depth, cosine = flat(2.5)
    measured = sensor.measure(depth, cosine, FX, generator())
    steps = FX * 0.075 / measured[~measured.isnan()] / 0.125
    assert float((steps - steps.round()).abs().max()) < 1e-2
    assert len(measured.unique()) < 40


def test_nothing_is_measured_out_of_range_or_edge_on() -> None:
    for depth_m in (0.2, 6.0):
        assert QUIET.measure(*flat(depth_m), FX, generator()).isnan().all()
    depth, _ = flat(2.0)
    grazing = torch.full_like(depth, math.cos(math.radians(89)))
    assert QUIET.measure(depth, grazing, FX, generator()).isnan().all()
    assert QUIET.measure(torch.full_like(depth, torch.nan), torch.ones_like(depth), FX, generator()).isnan().all()


def test_holes_follow_discontinuities_and_specks_their_fraction() -> None:
    depth, cosine = flat(3.0)
    depth[:, 100:] = 1.5
    holes = replace(QUIET, edge_loss=0.7).measure(depth, cosine, FX, generator()).isnan()
    assert 0.6 < float(holes[:, 99:101].float().mean()) < 0.8
    assert not holes[:, :98].any()
    assert not holes[:, 103:].any()
    specks = replace(QUIET, dropout=0.05).measure(*flat(2.0, 600, 600), FX, generator()).isnan()
    assert float(specks.float().mean()) == pytest.approx(0.05, rel=0.15)


def test_projector_shadow_equals_the_obvious_loop() -> None:
    depth = 1 + 2 * torch.rand((3, 90), generator=generator(3))
    depth[:, 30:50] = 0.7
    depth[1, 70] = torch.nan
    found = projector_shadow(depth, 20.0)
    for row in range(3):
        for u in range(90):
            own = u - 20.0 / float(depth[row, u])
            behind = any(v - 20.0 / float(depth[row, v]) <= own - 0.5 for v in range(u + 1, 90))
            assert bool(found[row, u]) == ((behind and not math.isnan(own)) or (math.isnan(own) and u < 89)), (row, u)


def test_foreground_throws_a_shadow_as_wide_as_the_disparity_gap() -> None:
    depth, _ = flat(3.0, 4, 300)
    depth[:, 150:200] = 1.0
    shadow = projector_shadow(depth, FX * 0.075)
    width = int(shadow[0].sum())
    assert width == pytest.approx(FX * 0.075 * (1 - 1 / 3), abs=2)
    assert shadow[0, 150 - width + 1 : 150].all()


def test_depth_is_never_mixed_across_an_edge() -> None:
    depth, cosine = flat(3.0)
    depth[:, 100:] = 1.5
    measured = replace(QUIET, lateral_px=0.8).measure(depth, cosine, FX, generator())
    assert set(measured.unique().tolist()) == {1.5, 3.0}
    assert (measured[:, 95:105] != depth[:, 95:105]).any()


def test_near_surface_bleeds_over_far_surface_at_edges_alone() -> None:
    depth, cosine = flat(3.0)
    depth[:, 100:] = 1.5
    depth[50, 20] = torch.nan
    measured = replace(QUIET, bleed_px=3).measure(depth, cosine, FX, generator())
    changed = (measured != depth) & ~depth.isnan()
    assert torch.equal(measured[changed].unique(), torch.tensor([1.5]))
    columns = torch.nonzero(changed.any(0))[:, 0]
    assert columns.tolist() == [97, 98, 99]
    assert 0.1 < float(changed[:, 97].float().mean()) < float(changed[:, 99].float().mean()) < 0.95
    assert measured[50, 20].isnan()
    slanted = (2 + 0.002 * torch.arange(240.0)).expand(200, 240).contiguous()
    assert torch.equal(replace(QUIET, bleed_px=3).measure(slanted, cosine, FX, generator()), slanted)


def test_noise_depends_on_the_generator_alone() -> None:
    depth, cosine = flat(2.0)
    one, two, other = (DepthSensor().measure(depth, cosine, FX, generator(s)) for s in (1, 1, 2))
    assert torch.equal(one.nan_to_num(0), two.nan_to_num(0))
    assert not torch.equal(one.nan_to_num(0), other.nan_to_num(0))
    gray = torch.full((50, 60, 3), 0.4)
    images = [ColorSensor().expose(gray, 1.0, 0.5, generator(s)) for s in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_colour_noise_has_the_variance_it_says() -> None:
    sensor = ColorSensor(exposure_drift=0, white_balance_drift=0, read_noise=0.01, shot_noise=0.03, lens_blur=0)
    value = 0.5
    image = sensor.expose(torch.full((300, 300, 3), value), 1.0, 0.0, generator()).double() / 255
    linear = -torch.log1p(-(image**2.2))
    assert float(linear.mean()) == pytest.approx(value, rel=0.01)
    assert float(linear.std()) == pytest.approx(math.sqrt(0.01**2 + 0.03**2 * value), rel=0.05)


def test_exposure_and_white_balance_drift_within_their_bounds() -> None:
    sensor = ColorSensor(exposure_drift=0.1, white_balance_drift=0.05, read_noise=0, shot_noise=0, lens_blur=0)
    gray = torch.full((2, 2, 3), 0.5)
    seen = torch.stack([sensor.expose(gray, 1.0, t, generator())[0, 0] for t in range(20)]).int()
    low = develop(torch.tensor(0.5 * 0.9 * 0.95)).item()
    high = develop(torch.tensor(0.5 * 1.1 * 1.05)).item()
    assert int(seen.min()) >= low
    assert int(seen.max()) <= high
    assert int(seen[:, 1].max()) > int(seen[:, 1].min())
    assert (seen[:, 0] != seen[:, 2]).any()


def test_development_is_monotonic_and_keeps_black_black() -> None:
    values = develop(torch.linspace(0, 8, 500)).int()
    assert int(values[0]) == 0
    assert int(values[-1]) >= 254
    assert (values.diff() >= 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DepthSensor(min_m=-1), "depth range is -1 to"),
        (lambda: DepthSensor(min_m=3, max_m=2), "expected 0 < min_m < max_m"),
        (lambda: DepthSensor(lateral_px=-0.1), "lateral_px is -0.1"),
        (lambda: DepthSensor(bleed_px=-1), "bleed_px is -1"),
        (lambda: DepthSensor(dropout=1.5), "dropout is 1.5, expected 0 to 1"),
        (lambda: ColorSensor(read_noise=-1), "read_noise is -1"),
        (lambda: ColorSensor(lens_blur=0.5), "lens_blur is 0.5"),
    ],
)
def test_bad_sensors_are_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
