"""Depth completers: what they keep, what they make of planes, how they align, and what they refuse."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from showroom_ros.completion.depth import AlignedCompleter, aligned, make_depth_completer
from showroom_ros.completion.depth_fill import harmonic_fill, nearest_of
from showroom_ros.completion.depth_torch import NetworkCompleter
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError, WeightsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.networks.depth_completion import KIND, PRESETS, DepthCompletionNet
from showroom_ros.networks.weights import save_weights

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
FILLS = ("nearest", "diffusion", "opencv", "opencv_ns", "opencv_telea", "planes")


def room(camera=CAMERA):
    """Depth float32 [H, W] of two walls that meet, a floor, and a box in front."""
    x, y = np.moveaxis(camera.rays()[..., :2], -1, 0)
    inverse = np.max([0.4 + 0.3 * x, 0.45 - 0.35 * x, 0.9 * y, np.full_like(x, 0.1)], axis=0)
    inverse[(abs(x + 0.2) < 0.08) & (abs(y) < 0.15)] = 0.9
    return (1 / inverse).astype(np.float32)


def half_known(depth):
    known = depth.copy()
    known[:, int(0.65 * depth.shape[1]) :] = np.nan
    known[10:14, 20:26] = np.nan
    return known


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthCompletionNet(PRESETS["tiny"])
        torch.nn.init.normal_(network.leave.weight, std=0.02)
    save_weights(path, KIND, PRESETS["tiny"], network.state_dict(), {}, half=False)
    return str(path)


def completer(name, weights):
    return make_depth_completer(name, model_file=weights if name in ("small", "monocular_aligned") else "")


@pytest.mark.parametrize("name", [*FILLS, "small", "monocular_aligned"])
def test_known_pixels_stay_bit_for_bit_and_the_others_are_filled(name, weights):
    method, known = completer(name, weights), half_known(room())
    before = known.copy()
    filled = method.complete(IMAGE, known, CAMERA)
    assert method.name == name
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[np.isfinite(known)], known[np.isfinite(known)])
    np.testing.assert_array_equal(known, before)
    assert np.isfinite(filled).all()
    assert (filled > 0).all()
    whole = method.complete(IMAGE, room(), CAMERA)
    np.testing.assert_array_equal(whole, room())


@pytest.mark.parametrize("name", [*FILLS, "small", "monocular_aligned"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(depth=a["depth"][:-1]), "expected float32"),
        (lambda a: a.update(depth=a["depth"].astype(np.float64)), "expected float32"),
        (lambda a: a.update(image=a["image"][..., :1]), "expected uint8"),
        (lambda a: a.update(depth=np.where(a["depth"] > 2, np.float32(0), a["depth"])), "expected above 0"),
        (lambda a: a.update(camera=Camera(64, 48, 60, 60, 31.5, 23.5, "plumb_bob", (0.1, 0, 0, 0))), "undistorted"),
        (lambda a: a.update(depth=np.full_like(a["depth"], np.nan)), "no pixel has depth"),
    ],
)
def test_bad_input(name, weights, change, message):
    method = completer(name, weights)
    arguments = {"image": IMAGE, "depth": half_known(room()), "camera": CAMERA}
    change(arguments)
    if not method.needs_depth and "no pixel" in message:
        assert np.isfinite(method.complete(**arguments)).all()
        return
    with pytest.raises(InputError, match=message):
        method.complete(**arguments)


@pytest.mark.parametrize(
    ("name", "model_file", "error", "message"),
    [
        ("bilinear", "", SettingsError, "unknown depth completer 'bilinear'"),
        ("transformers:", "", SettingsError, "unknown depth completer"),
        ("small", "/nowhere/weights.safetensors", WeightsError, "weights.safetensors"),
        ("monocular_aligned", "/nowhere/weights.safetensors", WeightsError, "weights.safetensors"),
    ],
)
def test_completers_that_are_not_there(name, model_file, error, message):
    with pytest.raises(error, match=message):
        make_depth_completer(name, model_file=model_file)


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("showroom_ros.completion.depth_torch.find_spec", lambda package: None)
    with pytest.raises(MissingDependencyError, match=r"showroom_ros\[teachers\]"):
        make_depth_completer("transformers:/nowhere")


def test_nearest_equals_asking_every_known_pixel():
    known = half_known(room())
    places = np.argwhere(np.isfinite(known))
    filled = nearest_of(known, np.isfinite(known))
    for row, column in ((0, 63), (30, 50), (12, 23), (47, 60)):
        distance = ((places - (row, column)) ** 2).sum(1)
        best = places[distance == distance.min()]
        assert filled[row, column] in known[best[:, 0], best[:, 1]]


def test_harmonic_fill_is_the_mean_of_its_neighbours():
    values = np.random.default_rng(1).random((12, 15))
    known = np.random.default_rng(2).random((12, 15)) < 0.3
    filled = harmonic_fill(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    for row, column in np.argwhere(~known):
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [filled[r, c] for r, c in around if 0 <= r < 12 and 0 <= c < 15]
        assert filled[row, column] == pytest.approx(np.mean(inside), abs=1e-9)


def test_diffusion_and_planes_close_a_hole_in_a_wall():
    camera = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
    x, y = np.moveaxis(camera.rays()[..., :2], -1, 0)
    wall = (1 / (0.5 + 0.3 * x - 0.2 * y)).astype(np.float32)
    image, known = np.zeros((60, 80, 3), np.uint8), wall.copy()
    known[20:35, 30:50] = np.nan
    for name, tolerance in (("diffusion", 1e-4), ("planes", 1e-4), ("opencv", 0.2)):
        error = np.abs(make_depth_completer(name).complete(image, known, camera) - wall).max()
        assert error < tolerance, name


def test_planes_carry_a_room_on_beyond_the_border():
    camera = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
    image, truth = np.zeros((120, 160, 3), np.uint8), room(camera)
    known = half_known(truth)
    hole = np.isnan(known)
    errors = {
        name: float(np.abs(make_depth_completer(name).complete(image, known, camera) - truth)[hole].mean())
        for name in ("planes", "nearest", "diffusion", "opencv")
    }
    assert errors["planes"] < 0.2 * min(errors["nearest"], errors["diffusion"], errors["opencv"])


def test_opencv_refuses_depth_beyond_its_integers():
    known = half_known(room())
    known[0, 0] = 70.0
    with pytest.raises(InputError, match=r"65\.535"):
        make_depth_completer("opencv").complete(IMAGE, known, CAMERA)


@pytest.mark.parametrize("inverse", [False, True])
def test_alignment_finds_scale_and_offset_among_outliers(inverse):
    truth = room()
    prediction = (1 / truth if inverse else truth) * 3.0 + 0.7
    known = half_known(truth)
    wrong = np.random.default_rng(0).random(truth.shape) < 0.3
    known[wrong] *= 1.8
    np.testing.assert_allclose(aligned(prediction, known, inverse=inverse), truth, rtol=0.01)


def test_alignment_to_the_opposite_or_to_one_depth_keeps_the_scale_alone():
    truth = room()
    flat = np.where(np.arange(64) < 20, np.float32(2.0), np.float32(np.nan)) * np.ones((48, 1), np.float32)
    np.testing.assert_allclose(aligned(np.full((48, 64), 5.0), flat, inverse=False), 2.0, rtol=1e-5)
    opposite = aligned(10 - truth, truth, inverse=False)
    assert opposite.min() > 0
    assert np.median(opposite / truth) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("prediction", "depth", "message"),
    [
        (np.ones((48, 63)), room(), "expected"),
        (np.full((48, 64), np.inf), room(), "not finite"),
        (np.ones((48, 64)), np.full((48, 64), np.nan, np.float32), "no pixel has depth"),
        (-np.ones((48, 64)), room(), "above 0"),
    ],
)
def test_alignment_of_what_cannot_be_aligned(prediction, depth, message):
    with pytest.raises(InputError, match=message):
        aligned(prediction, depth, inverse=False)


def test_a_large_image_is_seen_smaller_and_comes_back_whole(weights):
    camera = CAMERA.scaled(800, 600)
    depth = half_known(room(camera))
    image = np.repeat(np.repeat(IMAGE, 13, 0), 13, 1)[:600, :800]
    filled = NetworkCompleter(weights).complete(image, depth, camera)
    assert filled.shape == (600, 800)
    assert np.isfinite(filled).all()
    small = NetworkCompleter(weights).predict(IMAGE, half_known(room()), CAMERA)
    assert small[0].shape == small[1].shape == (48, 64)


def test_a_network_of_transformers_is_asked_and_aligned(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.DPTForDepthEstimation(config).save_pretrained(tmp_path)
    transformers.DPTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    method, known = make_depth_completer(f"transformers:{tmp_path}"), half_known(room())
    assert isinstance(method, AlignedCompleter)
    filled = method.complete(IMAGE, known, CAMERA)
    np.testing.assert_array_equal(filled[np.isfinite(known)], known[np.isfinite(known)])
    assert np.isfinite(filled).all()
    assert filled[np.isnan(known)].std() > 0  # the network's picture, not one value


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot be loaded"):
        make_depth_completer(f"transformers:{tmp_path}")
    with pytest.raises(WeightsError, match="no such folder"):
        make_depth_completer(f"transformers:{tmp_path / 'nothing'}")


class MadeUpMonocular:
    def __init__(self, *, inverse, is_metric, values):
        self.inverse, self.is_metric, self.values = inverse, is_metric, values

    def predict(self, image, camera):
        return self.values


def test_metric_depth_may_begin_with_nothing_and_relative_depth_may_not():
    camera, image = Camera(8, 6, 8.0, 8.0, 3.5, 2.5), np.zeros((6, 8, 3), np.uint8)
    values = np.linspace(1, 3, 48, dtype=np.float32).reshape(6, 8)
    nothing = np.full((6, 8), np.nan, np.float32)
    metric = AlignedCompleter("metric", MadeUpMonocular(inverse=False, is_metric=True, values=values))
    assert not metric.needs_depth
    np.testing.assert_array_equal(metric.complete(image, nothing, camera), values)
    some = np.where(values < 2, 2 * values, np.float32(np.nan))
    np.testing.assert_allclose(metric.complete(image, some, camera), 2 * values, rtol=1e-3)
    relative = AlignedCompleter("theirs", MadeUpMonocular(inverse=True, is_metric=False, values=1 / values))
    assert relative.needs_depth
    with pytest.raises(InputError, match="depth of 'theirs' is relative"):
        relative.complete(image, nothing, camera)
    np.testing.assert_allclose(relative.complete(image, some, camera), 2 * values, rtol=1e-3)
    bad = AlignedCompleter("bad", MadeUpMonocular(inverse=False, is_metric=True, values=-values))
    with pytest.raises(InputError, match="nowhere positive"):
        bad.complete(image, nothing, camera)
