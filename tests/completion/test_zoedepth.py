"""ZoeDepth of five channels: published names, what is refused, what the network sees, and what comes back.

A run of the published code beside this one (timm 0.6.7's BEiT, MiDaS, ZoeDepth with random weights) agreed within
1e-5 of the depth; here the network of ``transformers`` under published names stands in for it.
"""

from __future__ import annotations

import copy
import json
import pickle
import types

import numpy as np
import pytest
import torch

from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.completion.zoedepth_torch import (
    ZoeDepthCompleter,
    load_zoedepth,
    network_size,
    published_name,
    to_published,
)
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError, WeightsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.networks.safetensors_file import write_safetensors

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
CORE = "core.core."
PATCHES = CORE + "pretrained.model.patch_embed.proj.weight"
BLOCKS, POST = CORE + "pretrained.model.blocks.", CORE + "pretrained.act_postprocess"
REASSEMBLE, FUSION = "neck.reassemble_stage.", "neck.fusion_stage.layers."
EACH = [f"{part}.{k}" for part in ("projectors", "attractors") for k in range(4)]
RENAMED = (  # in this order
    ("backbone.beit.embeddings.cls_token", CORE + "pretrained.model.cls_token"),
    ("backbone.beit.embeddings.patch_embeddings.projection", CORE + "pretrained.model.patch_embed.proj"),
    ("backbone.beit.layers.", BLOCKS),
    (".lambda_", ".gamma_"),
    (".attention.o_proj", ".attn.proj"),
    (".attention.q_proj.bias", ".attn.q_bias"),
    (".attention.v_proj.bias", ".attn.v_bias"),
    (".layernorm_before", ".norm1"),
    (".layernorm_after", ".norm2"),
    (".relative_position_bias.relative_position_bias_table", ".attn.relative_position_bias_table"),
    *((f"{REASSEMBLE}layers.{i}.projection", f"{POST}{i + 1}.3") for i in range(4)),
    *((f"{REASSEMBLE}layers.{i}.resize", f"{POST}{i + 1}.4") for i in range(4)),
    *((f"{REASSEMBLE}readout_projects.{i}", f"{POST}{i + 1}.0.project") for i in range(4)),
    *((f"neck.convs.{i}", f"{CORE}scratch.layer{i + 1}_rn") for i in range(4)),
    *((f"{FUSION}{i}", f"{CORE}scratch.refinenet{4 - i}") for i in range(4)),
    (".projection.", ".out_conv."),
    (".residual_layer", ".resConfUnit"),
    (".convolution", ".conv"),
    *((f"relative_head.conv{i + 1}", f"{CORE}scratch.output_conv.{2 * i}") for i in range(3)),
    *(
        (f"{part}.conv{i}", f"{part}._net.{2 * i - 2}")
        for part in ("seed_bin_regressor", "seed_projector", *EACH)
        for i in (1, 2)
    ),
    ("metric_head.", ""),
)


def tiny(channels=5):
    """A small network of ``transformers`` with weights that all count."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.BeitConfig(
        image_size=96, num_hidden_layers=4, hidden_size=32, intermediate_size=64, num_attention_heads=2,
        num_channels=channels, use_relative_position_bias=True, reshape_hidden_states=False, layer_norm_eps=1e-6,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 16, 24, 24], fusion_hidden_size=16, bottleneck_features=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.ZoeDepthForDepthEstimation(config)
        with torch.no_grad():
            for parameter in network.parameters():
                spread = 0.3 if parameter.ndim < 3 else 1.3 / parameter[0].numel() ** 0.5
                parameter.add_(torch.randn_like(parameter) * spread)
    return network.eval()


def published_of(network):
    """Its state dict as ZoeDepth's own code would save it, with the tensors that nothing uses."""
    state, result = network.state_dict(), {}
    for name, tensor in state.items():
        if ".attention.q_proj.weight" in name:
            parts = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name, tensor = name.replace(".attention.q_proj", ".attn.qkv"), torch.cat(parts)
        elif "_proj.weight" in name and "o_proj" not in name:
            continue
        for ours, theirs in RENAMED:
            name = name.replace(ours, theirs)
        result[name] = tensor.clone()
    for block in range(4):
        result[f"{BLOCKS}{block}.attn.relative_position_index"] = torch.zeros(37, 37).long()
    for part in ("fc_norm", "head"):
        result |= {f"{CORE}pretrained.model.{part}.{kind}": torch.ones(32) for kind in ("weight", "bias")}
    for buffer in ("k_idx", "K_minus_1"):
        result[f"conditional_log_binomial.log_binomial_transform.{buffer}"] = torch.zeros(1)
    return result


@pytest.fixture(scope="module")
def network():
    return tiny()


@pytest.fixture(scope="module")
def published(network):
    return published_of(network)


@pytest.fixture(scope="module")
def checkpoint(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("zoedepth") / "five.pt"
    model = {f"module.{name}": tensor for name, tensor in published.items()}
    torch.save({"model": model, "optimizer": None, "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def completer(checkpoint):
    return make_depth_completer(f"zoedepth:{checkpoint}")


def half_known():
    depth = np.random.default_rng(1).uniform(1.0, 4.0, (48, 64)).astype(np.float32)
    depth[:, 32:] = np.nan
    return depth


def depth_of(network):
    seen = torch.rand(1, 5, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(pixel_values=seen).predicted_depth


def test_published_names():
    layer, fusion = "backbone.beit.layers.11.", "neck.fusion_stage.layers.0."
    for ours, theirs, third in (
        ("backbone.beit.embeddings.patch_embeddings.projection.weight", PATCHES, None),
        (layer + "attention.k_proj.weight", BLOCKS + "11.attn.qkv.weight", 1),
        (layer + "attention.q_proj.bias", BLOCKS + "11.attn.q_bias", None),
        (layer + "lambda_2", BLOCKS + "11.gamma_2", None),
        ("neck.reassemble_stage.layers.3.resize.bias", POST + "4.4.bias", None),
        ("neck.reassemble_stage.readout_projects.0.0.bias", POST + "1.0.project.0.bias", None),
        (fusion + "residual_layer2.convolution1.weight", CORE + "scratch.refinenet4.resConfUnit2.conv1.weight", None),
        ("relative_head.conv3.bias", CORE + "scratch.output_conv.4.bias", None),
        ("metric_head.conv2.weight", "conv2.weight", None),
        ("metric_head.attractors.3.conv2.weight", "attractors.3._net.2.weight", None),
    ):
        assert published_name(ours) == (theirs, third)


def test_names_of_another_transformers_are_told():
    with pytest.raises(MissingDependencyError, match=r"'backbone\.encoder\.layer\.0\.lambda_1', expected the names"):
        published_name("backbone.encoder.layer.0.lambda_1")


def test_a_state_dict_goes_to_published_names_and_back(network, published):
    made = to_published(network.state_dict())
    left_over = {name for name in published if name not in made}
    assert len(left_over) == 4 + 4 + 2
    assert set(made) == set(published) - left_over
    assert all(torch.equal(made[name], published[name]) for name in made)


@pytest.mark.parametrize("kind", ["model", "state_dict", "bare", "safetensors"])
def test_a_published_checkpoint_gives_the_same_depth(network, published, checkpoint, tmp_path, kind):
    path = checkpoint
    if kind == "safetensors":
        path = tmp_path / "five.safetensors"
        write_safetensors(path, published, {})
    elif kind != "model":
        path = tmp_path / "five.pth"
        torch.save(published if kind == "bare" else {"state_dict": published}, path)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        before = torch.random.get_rng_state()
        loaded = load_zoedepth(path)
        assert torch.equal(torch.random.get_rng_state(), before)  # nothing is drawn
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert not loaded.training
    assert network_size(loaded.config.backbone_config) == (96, 128)
    depth = depth_of(loaded)
    assert torch.equal(depth, depth_of(network))
    assert float(depth.std()) > 0.01


def test_the_published_size_is_384_by_512():
    assert network_size(types.SimpleNamespace(image_size=384)) == (384, 512)
    assert network_size(types.SimpleNamespace(image_size=[384, 384])) == (384, 512)


def test_a_folder_of_transformers_gives_the_same_depth(network, checkpoint, tmp_path):
    copy.deepcopy(network).half().save_pretrained(tmp_path)
    method = make_depth_completer(f"zoedepth:{tmp_path}")
    expected = ZoeDepthCompleter(checkpoint).complete(IMAGE, half_known(), CAMERA)
    np.testing.assert_allclose(method.complete(IMAGE, half_known(), CAMERA), expected, rtol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv2.bias"), r"lacks 'conv2\.bias'"),
        (lambda s: s.pop(PATCHES), r"lacks 'core\.core\.pretrained\.model\.patch_embed\.proj\.weight'"),
        (lambda s: s.pop(BLOCKS + "1.attn.qkv.weight"), r"lacks '.*blocks\.1\.attn\.qkv\.weight'"),
        (lambda s: s.update({"mlp_classifier.0.weight": torch.ones(1)}), r"holds 'mlp_classifier\.0\.weight'"),
        (lambda s: s.update({PATCHES: s[PATCHES][:, :3]}), "sees 3 channels, expected 5.*'transformers:FOLDER'"),
        (lambda s: s.update({PATCHES: s[PATCHES][:, :4]}), "sees 4 channels, expected 5"),
        (lambda s: s.update({PATCHES: s[PATCHES].flatten()}), "expected 4 axes"),
        (lambda s: s.update({"conv2.bias": torch.ones(15)}), r"'conv2\.bias' is \(15,\), expected \(16,\)"),
        (lambda s: s.update({"conv2.bias": torch.full((16,), torch.nan)}), "not finite"),
        (lambda s: s.update({"attractors.3._net.2.weight": torch.ones(2, 128, 1, 1)}), r"expected \(1, 128, 1, 1\)"),
        (
            lambda s: s.update({BLOCKS + "0.attn.relative_position_bias_table": torch.ones(9, 2)}),
            "4 blocks of 9 relative positions",
        ),
        (lambda s: s.update({BLOCKS + "4.gamma_1": torch.ones(32)}), "5 blocks"),
        (lambda s: s.update({"epoch": 3}), "holds no state dict"),
        (lambda s: s.clear(), "holds no state dict"),
    ],
)  # fmt: skip
def test_tensors_of_other_networks_are_refused(published, tmp_path, change, message):
    path = tmp_path / "other.pt"
    state = dict(published)
    change(state)
    torch.save(state, path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_zoedepth(path)
    assert str(path) in str(caught.value)


class Unsafe:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_files_that_are_no_checkpoints_are_refused(published, tmp_path):
    pytest.importorskip("transformers")
    ran = tmp_path / "ran"
    torch.save({"model": published, "extra": Unsafe(str(ran))}, tmp_path / "unsafe.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Unsafe(str(ran)), protocol=2))
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "text.safetensors").write_text("no checkpoint")
    torch.save(published, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:20_000])
    for name in ("unsafe.pt", "pickle.pt", "empty.pt", "text.pt", "cut.pt"):
        with pytest.raises(WeightsError, match="cannot be read as weights only"):
            load_zoedepth(tmp_path / name)
    assert not ran.exists()
    with pytest.raises(WeightsError, match="broken or cut short"):
        load_zoedepth(tmp_path / "text.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        load_zoedepth(tmp_path / "nothing.pt")


def test_folders_of_other_networks_are_refused(network, tmp_path):
    tiny(3).save_pretrained(tmp_path / "three")
    with pytest.raises(WeightsError, match=r"sees 3 channels, expected 5.*'transformers:FOLDER'"):
        load_zoedepth(tmp_path / "three")
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_zoedepth(tmp_path / "none")
    network.save_pretrained(tmp_path / "five")
    config = tmp_path / "five" / "config.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps({**whole, "model_type": "dpt"}))
    with pytest.raises(WeightsError, match="holds a 'dpt'"):
        load_zoedepth(tmp_path / "five")
    config.write_text(json.dumps({**whole, "add_projection": True}))
    with pytest.raises(WeightsError, match=r"lacks 'relative_head\.projection\.bias'"):
        load_zoedepth(tmp_path / "five")
    config.write_text(json.dumps({**whole, "fusion_hidden_size": 24}))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_zoedepth(tmp_path / "five")
    config.write_text(json.dumps(whole))
    (tmp_path / "five" / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_zoedepth(tmp_path / "five")


def test_known_pixels_stay_bit_for_bit_and_the_others_are_filled(completer, checkpoint):
    assert completer.name == f"zoedepth:{checkpoint.name}"
    assert not completer.needs_depth
    known = half_known()
    before = known.copy()
    filled = completer.complete(IMAGE, known, CAMERA)
    np.testing.assert_array_equal(known, before)
    np.testing.assert_array_equal(filled[np.isfinite(known)], known[np.isfinite(known)])
    assert filled.dtype == np.float32
    assert (filled > 0).all()
    whole = np.nan_to_num(known, nan=3.0)
    np.testing.assert_array_equal(completer.complete(IMAGE, whole, CAMERA), whole)
    alone = completer.complete(IMAGE, np.full_like(known, np.nan), CAMERA)
    assert (alone > 0).all()
    assert not np.array_equal(alone[np.isnan(known)], filled[np.isnan(known)])  # known depth is seen


def test_the_scale_comes_from_the_depth_that_is_known(completer, checkpoint):
    known = half_known()
    halved = ZoeDepthCompleter(checkpoint, scaling=0.5)
    np.testing.assert_allclose(halved.predict(IMAGE, known / 2), completer.predict(IMAGE, known) / 2, rtol=1e-5)
    far = known * np.float32(10 / np.nanmax(known))  # up to 10 m, the farthest the network was trained on
    np.testing.assert_allclose(completer.predict(IMAGE, far * 2), completer.predict(IMAGE, far) * 2, rtol=1e-4)


class Recorder:
    """Says 2 everywhere and keeps what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, pixel_values):
        self.seen.append(pixel_values)
        return types.SimpleNamespace(predicted_depth=torch.full_like(pixel_values[:, 0], 2.0))


@pytest.mark.parametrize("padded_and_flipped", [False, True])
def test_what_the_network_sees(checkpoint, padded_and_flipped):
    method = ZoeDepthCompleter(checkpoint, padded_and_flipped=padded_and_flipped)
    recorder = Recorder()
    method._network = recorder
    image = np.zeros((96, 128, 3), np.uint8)
    image[..., 0] = 255
    depth = np.full((96, 128), np.nan, np.float32)
    depth[:, :64] = 5.0
    np.testing.assert_allclose(method.predict(image, depth), 2.0, rtol=1e-6)
    seen = recorder.seen[0][0].numpy()
    assert seen.shape == (5, 96, 128)
    np.testing.assert_allclose(seen[0], 1.0, atol=1e-6)
    np.testing.assert_allclose(seen[1:3], -1.0, atol=1e-6)
    np.testing.assert_allclose(seen[3], seen[4] / 2, atol=1e-6)  # 5 of 10 m
    if not padded_and_flipped:
        assert len(recorder.seen) == 1
        np.testing.assert_array_equal(seen[4], np.isfinite(depth))
        return
    assert len(recorder.seen) == 2
    rows, columns = int((96 / 2) ** 0.5 * 3), int((128 / 2) ** 0.5 * 3)
    known = seen[4] > 0.5
    assert known.sum() == pytest.approx(96 * 128 * (96 * 64) / ((96 + 2 * rows) * (128 + 2 * columns)), rel=0.05)
    assert not known[:10].any()
    np.testing.assert_allclose(recorder.seen[1][0].numpy(), seen[..., ::-1], atol=1e-4)


def test_a_mirrored_image_has_mirrored_depth(completer):
    known = half_known()
    mirrored = completer.predict(np.ascontiguousarray(IMAGE[:, ::-1]), np.ascontiguousarray(known[:, ::-1]))
    np.testing.assert_allclose(mirrored[:, ::-1], completer.predict(IMAGE, known), rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 3), (5, 2), (300, 900)])
def test_images_of_any_size_come_back_whole(completer, height, width):
    camera = Camera(width, height, 60.0, 60.0, width / 2 - 0.5, height / 2 - 0.5)
    depth = np.full((height, width), np.nan, np.float32)
    depth[:, 0] = 2.0
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    filled = completer.complete(image, depth, camera)
    assert filled.shape == (height, width)
    assert (filled > 0).all()
    assert (filled[:, 0] == 2.0).all()


def test_bad_input(completer, checkpoint):
    known = half_known()
    for depth, message in (
        (known[:-1], "expected float32"),
        (known.astype(np.float64), "expected float32"),
        (np.where(known > 2, np.float32(0), known), "expected above 0"),
    ):
        with pytest.raises(InputError, match=message):
            completer.complete(IMAGE, depth, CAMERA)
    method = ZoeDepthCompleter(checkpoint)
    method._network = lambda pixel_values: types.SimpleNamespace(predicted_depth=pixel_values[:, 0] * torch.nan)
    with pytest.raises(InputError, match=r"zoedepth:five\.pt: the network's depth of a 64x48 image is not finite"):
        method.complete(IMAGE, known, CAMERA)
    for scaling in (0.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="expected above 0"):
            ZoeDepthCompleter(checkpoint, scaling=scaling)
    for device in ("nowhere", "cuda:97"):
        with pytest.raises(SettingsError, match=f"device '{device}'"):
            ZoeDepthCompleter(checkpoint, device)


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("showroom_ros.completion.zoedepth_torch.find_spec", lambda package: None)
    with pytest.raises(MissingDependencyError, match=r"showroom_ros\[teachers\]"):
        make_depth_completer("zoedepth:/nowhere.pt")
    with pytest.raises(SettingsError, match="unknown depth completer 'zoedepth:'"):
        make_depth_completer("zoedepth:")
