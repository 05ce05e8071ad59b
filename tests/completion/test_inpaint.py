"""Inpainting by name: every backend fills holes, keeps what is known, and says what it lacks."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from showroom_ros.completion.inpaint import make_inpainter
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError, WeightsError
from showroom_ros.networks.inpainting import KIND, PRESETS, InpaintingNet
from showroom_ros.networks.weights import save_weights


class StandIn(nn.Module):
    """Takes image and mask as LaMa does: the mean of what is known, all over."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        if image.size(2) % 8 != 0 or mask.size(3) % 8 != 0 or mask.size(1) != 1:
            raise RuntimeError("sides")
        mean = (image * (1 - mask)).sum(dim=(2, 3), keepdim=True) / (1 - mask).sum().clamp(min=1.0)
        return mean.expand(image.size(0), image.size(1), image.size(2), image.size(3))


class OtherModel(nn.Module):
    """A model of another kind."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return mask


class StandInPipeline:
    """A pipeline of diffusers: the hole gets noise of the generator, the rest is lost in its autoencoder."""

    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []

    @classmethod
    def from_pretrained(cls, model, torch_dtype, local_files_only):
        assert local_files_only  # nothing is downloaded
        if model != "made/up":
            raise OSError(f"{model} is not a local folder\nand more")
        return PIPELINE

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable):
        assert disable

    def __call__(self, **given):
        self.calls.append(given)
        image, mask = given["image"], given["mask_image"]
        assert image.shape[2] % 8 == image.shape[3] % 8 == 0
        assert mask.shape == (1, 1, *image.shape[2:]) == (1, 1, given["height"], given["width"])
        noise = torch.rand(image.shape, generator=given["generator"])
        return SimpleNamespace(images=torch.where(mask > 0.5, noise, 0.5 * image))


PIPELINE = StandInPipeline()


@pytest.fixture
def backends(tmp_path, monkeypatch):
    """Name -> arguments of every backend, with models made for the test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InpaintingNet(PRESETS["tiny"])
    nn.init.normal_(network.leave.weight, std=0.1)
    save_weights(tmp_path / "tiny.safetensors", KIND, PRESETS["tiny"], network.state_dict(), {})
    torch.jit.script(StandIn()).save(str(tmp_path / "lama.pt"))
    module = ModuleType("diffusers")
    module.AutoPipelineForInpainting = StandInPipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", module)
    PIPELINE.calls.clear()
    return {
        "small": {"model_file": str(tmp_path / "tiny.safetensors")},
        "telea": {},
        "lama": {"model_file": str(tmp_path / "lama.pt")},
        "diffusers:made/up": {},
    }


NAMES = ["small", "telea", "lama", "diffusers:made/up"]


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(100, 140, (height, width, 3), np.uint8)
    known = np.ones((height, width), bool)
    known[height // 3 :, width // 2 :] = False
    return image, known


@pytest.mark.parametrize("size", [(40, 56), (37, 51), (2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_stays_and_what_is_not_depends_on_nothing_else(backends, name, size):
    inpainter = make_inpainter(name, **backends[name])
    assert inpainter.name == name
    image, known = picture(*size)
    before = image.copy()
    filled = inpainter.inpaint(image, known, seed=3)
    assert filled.dtype == np.uint8
    assert filled.shape == image.shape
    assert np.array_equal(filled[known], image[known])
    assert np.array_equal(image, before)
    garbage = np.where(known[..., None], image, np.uint8(255))
    assert np.array_equal(inpainter.inpaint(garbage, known, seed=3), filled)
    transposed = np.ascontiguousarray(image.swapaxes(0, 1)).swapaxes(0, 1)  # strides of another order
    assert np.array_equal(inpainter.inpaint(transposed, known, seed=3), filled)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_holes_is_copied(backends, name):
    image, known = picture(16, 16)
    known[:] = True
    same = make_inpainter(name, **backends[name]).inpaint(image, known)
    assert np.array_equal(same, image)
    assert not np.shares_memory(same, image)


@pytest.mark.parametrize("name", ["small", "telea", "lama"])
def test_a_hole_in_one_colour_gets_that_colour(backends, name):
    image, known = picture(40, 56)
    image[:] = (200, 90, 30)
    image[~known] = 0
    if name == "small":
        backends[name]["model_file"] = backends[name]["model_file"].replace("tiny", "fresh")
        save_weights(
            backends[name]["model_file"], KIND, PRESETS["tiny"], InpaintingNet(PRESETS["tiny"]).state_dict(), {}
        )
    filled = make_inpainter(name, **backends[name]).inpaint(image, known)
    assert np.abs(filled.astype(int) - (200, 90, 30)).max() <= 5  # of OpenCV; the others are within 1


def test_diffusion_is_told_the_prompt_the_seed_and_a_wider_hole(backends):
    inpainter = make_inpainter("diffusers:made/up")
    image, known = picture(37, 51)
    one = inpainter.inpaint(image, known, prompt="a kitchen", seed=1)
    assert np.array_equal(one, inpainter.inpaint(image, known, prompt="a kitchen", seed=1))
    assert not np.array_equal(one, inpainter.inpaint(image, known, prompt="a kitchen", seed=2))
    call = PIPELINE.calls[0]
    assert (call["prompt"], call["num_inference_steps"]) == ("a kitchen", 30)
    for prompt in ("", "eine K\u00fcche, \u53f0\u6240"):
        inpainter.inpaint(image, known, prompt=prompt, seed=1)
        assert PIPELINE.calls[-1]["prompt"] == prompt
    mask = call["mask_image"][0, 0, :37, :51].numpy() > 0.5
    assert mask[10:, 23:].all()
    assert not mask[:, :23].any()
    assert float(call["image"].min()) > 0.3  # no black where nothing is known


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("image", "known", "message"),
    [
        (np.zeros((8, 8), np.uint8), np.ones((8, 8), bool), r"image is uint8 \(8, 8\), expected"),
        (np.zeros((8, 8, 1), np.uint8), np.ones((8, 8), bool), r"image is uint8 \(8, 8, 1\)"),
        (np.zeros((8, 8, 3), np.float32), np.ones((8, 8), bool), "image is float32"),
        (np.zeros((8, 8, 3), np.uint8), np.ones((8, 9), bool), r"mask is bool \(8, 9\)"),
        (np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8), "mask is uint8"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool), "no pixel of the image is known"),
    ],
)
def test_images_and_masks_that_do_not_fit(backends, name, image, known, message):
    with pytest.raises(InputError, match=message):
        make_inpainter(name, **backends[name]).inpaint(image, known)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("big", {}, SettingsError, "inpainter 'big': unknown, expected one of small, telea, lama, diffusers:ID"),
        ("", {}, SettingsError, "inpainter '': unknown"),
        ("telea", {"model_file": "x.pt"}, SettingsError, "'telea': model file 'x.pt', expected none"),
        ("lama", {}, SettingsError, "'lama': no model file"),
        ("lama", {"model_file": "/no/such.pt"}, WeightsError, "/no/such.pt: no such file"),
        ("lama", {"model_file": __file__}, WeightsError, "not a TorchScript file"),
        ("lama", {"model_file": __file__, "device": "tpu"}, SettingsError, "device 'tpu': unknown"),
        ("small", {"model_file": "/no/such.safetensors"}, WeightsError, "no such"),
        ("small", {"model_file": __file__}, WeightsError, "test_inpaint.py"),
        ("diffusers:", {}, SettingsError, "no model, expected diffusers:ID"),
        ("diffusers:made/up", {"model_file": "x.pt"}, SettingsError, "expected none"),
        ("diffusers:not/here", {}, WeightsError, "'not/here': no pipeline for inpainting on this machine"),
    ],
)
def test_what_cannot_be_made(backends, name, arguments, error, message):
    with pytest.raises(error, match=message):
        make_inpainter(name, **arguments)


def test_a_file_of_another_model_is_no_lama(tmp_path):
    torch.jit.script(OtherModel()).save(str(tmp_path / "other.pt"))
    with pytest.raises(WeightsError, match=r"other.pt: gave \(1, 1, 16, 16\), expected \(1, 3, 16, 16\)"):
        make_inpainter("lama", model_file=str(tmp_path / "other.pt")).inpaint(*picture(16, 16))
    torch.jit.script(nn.Conv2d(4, 3, 1)).save(str(tmp_path / "one.pt"))
    with pytest.raises(WeightsError, match=r"one.pt: takes no image and mask"):
        make_inpainter("lama", model_file=str(tmp_path / "one.pt")).inpaint(*picture(16, 16))


def test_without_diffusers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingDependencyError, match=r"showroom_ros\[teachers\]"):
        make_inpainter("diffusers:made/up")
