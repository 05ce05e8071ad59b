"""The network of unposed photos: published sizes and names, and what must not matter to it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from showroom_ros.errors import InputError, WeightsError
from showroom_ros.networks.fast3r import Fast3r, build, points_and_confidence
from showroom_ros.networks.fast3r_checkpoint import is_published, load_published, settings_of
from showroom_ros.networks.fast3r_settings import PRESETS, Fast3rSettings
from showroom_ros.networks.safetensors_file import write_safetensors
from showroom_ros.networks.transformer import Attention, rotary_2d, sine_table

SMALL = Fast3rSettings(
    encoder_width=128,
    encoder_depth=2,
    encoder_heads=2,
    decoder_width=64,
    decoder_depth=4,
    decoder_heads=1,
    head_channels=(8, 12, 16, 20),
    head_width=16,
    head_last=8,
    view_ids=50,
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(SMALL).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def said(network, images, ids=None):
    with torch.inference_mode():
        return network(images, ids)


def test_the_published_size_and_names():
    with torch.device("meta"):
        network = Fast3r(PRESETS["full"])
    counts = [
        sum(parameter.numel() for parameter in part.parameters())
        for part in (network, network.encoder, network.decoder, network.downstream_head, network.downstream_head_local)
    ]
    assert counts == [647_551_368, 303_098_880, 303_361_024, 20_545_732, 20_545_732]
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 712
    expected = {
        "encoder.patch_embed.proj.weight": (1024, 3, 16, 16),
        "encoder.enc_blocks.23.attn.qkv.weight": (3072, 1024),
        "encoder.enc_blocks.0.mlp.fc1.weight": (4096, 1024),
        "encoder.enc_norm.bias": (1024,),
        "decoder.decoder_embed.weight": (1024, 1024),
        "decoder.dec_blocks.23.norm2.weight": (1024,),
        "decoder.dec_norm.weight": (1024,),
        "downstream_head.dpt.act_postprocess.0.1.weight": (96, 96, 4, 4),
        "downstream_head.dpt.act_postprocess.1.1.weight": (192, 192, 2, 2),
        "downstream_head.dpt.act_postprocess.2.0.weight": (384, 1024, 1, 1),
        "downstream_head.dpt.act_postprocess.3.1.weight": (768, 768, 3, 3),
        "downstream_head.dpt.scratch.layer4_rn.weight": (256, 768, 3, 3),
        "downstream_head.dpt.scratch.refinenet4.resConfUnit1.conv1.weight": (256, 256, 3, 3),
        "downstream_head_local.dpt.scratch.refinenet1.out_conv.bias": (256,),
        "downstream_head_local.dpt.head.0.weight": (128, 256, 3, 3),
        "downstream_head_local.dpt.head.4.weight": (4, 128, 1, 1),
    }
    assert {name: shapes[name] for name in expected} == expected


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_students_can_be_shipped(preset):
    with torch.device("meta"):
        network = Fast3r(PRESETS[preset])
    assert sum(parameter.numel() for parameter in network.parameters()) < 8e6


def test_the_student_of_showroom_is_hardly_smaller():
    with torch.device("meta"):
        network = Fast3r(PRESETS["showroom"])
    assert sum(p.numel() for p in network.downstream_head.parameters()) == 13_945_828
    assert sum(p.numel() for p in network.parameters()) == 634_351_560


def test_shapes_and_ranges(network, images):
    views = said(network, images)
    assert len(views) == 4
    for view in views:
        assert view.points.shape == view.local_points.shape == (2, 32, 48, 3)
        assert view.confidence.shape == view.local_confidence.shape == (2, 32, 48)
        assert (view.confidence > 1).all()
        assert (view.local_confidence > 1).all()


def test_the_same_ids_give_the_same_points_and_others_do_not(network, images):
    ids = torch.tensor([0, 7, 3, 9])
    one, same, other = (said(network, images, i) for i in (ids, ids.clone(), torch.tensor([0, 8, 3, 9])))
    assert torch.equal(one[1].points, same[1].points)
    assert not torch.allclose(one[1].points, other[1].points)


def test_the_order_of_the_other_views_does_not_matter(network, images):
    order = [0, 2, 3, 1]
    ids = torch.tensor([0, 7, 3, 9])
    plain, permuted = said(network, images, ids), said(network, images[:, order], ids[order])
    for place, number in enumerate(order):
        for a, b in zip(plain[number], permuted[place], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_chunks_lists_and_batches_change_nothing(network, images):
    whole = said(network, images)
    with torch.inference_mode():
        chunked = network(list(images.unbind(1)), chunk=1)
        alone = network(images[1:])
    for a, b, c in zip(whole, chunked, alone, strict=True):
        torch.testing.assert_close(a.points, b.points, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.local_points[1:], c.local_points, rtol=1e-4, atol=1e-5)


def test_views_of_different_sizes_stay_in_their_places(network):
    generator = torch.Generator().manual_seed(2)
    sizes = [(32, 48), (48, 32), (32, 48), (16, 64)]
    images = [torch.rand(1, 3, *size, generator=generator) for size in sizes]
    views = said(network, images)
    assert [tuple(view.points.shape[1:3]) for view in views] == sizes


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(3)
    attention = Attention(16, 4)
    x = torch.randn(2, 5, 16)
    q, k, v = attention.qkv(x).chunk(3, -1)
    rows = []
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) / 2).softmax(-1)
        rows.append(weights @ v[..., part])
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(rows, -1)))


def test_rotary_positions_equal_a_slow_turn_and_only_differences_count():
    rows, columns, width = 3, 4, 16
    turn = rotary_2d(rows, columns, width, torch.device("cpu"))
    x = torch.randn(1, 1, rows * columns, width, generator=torch.Generator().manual_seed(4))
    slow = torch.empty_like(x)
    for token in range(rows * columns):
        for half, place in enumerate(divmod(token, columns)):
            for i in range(4):
                angle = torch.tensor(place * 100.0 ** (-2 * i / 8))
                a, b = x[0, 0, token, 8 * half + i], x[0, 0, token, 8 * half + i + 4]
                slow[0, 0, token, 8 * half + i] = a * angle.cos() - b * angle.sin()
                slow[0, 0, token, 8 * half + i + 4] = b * angle.cos() + a * angle.sin()
    torch.testing.assert_close(turn(x), slow, rtol=1e-4, atol=1e-5)
    same = turn(x[:, :, :1].expand(-1, -1, rows * columns, -1))[0, 0]
    torch.testing.assert_close(same[0] @ same[columns + 1], same[columns] @ same[2 * columns + 1])


def test_ids_are_sines_and_cosines():
    table = sine_table(20, 8)
    assert table[3, 1].item() == pytest.approx(float(torch.sin(torch.tensor(3 / 10000 ** (1 / 4)))), abs=1e-6)
    assert table[3, 5].item() == pytest.approx(float(torch.cos(torch.tensor(3 / 10000 ** (1 / 4)))), abs=1e-6)


def test_points_grow_exponentially_along_their_ray():
    values = torch.tensor([0.3, -0.4, 1.2, 0.5]).view(1, 4, 1, 1)
    points, confidence = points_and_confidence(values)
    length = 1.3
    expected = torch.tensor([0.3, -0.4, 1.2]) / length * (torch.tensor(length).exp() - 1)
    torch.testing.assert_close(points[0, 0, 0], expected)
    assert confidence.item() == pytest.approx(1 + float(torch.tensor(0.5).exp()))


def test_more_than_a_thousand_views_need_a_longer_table_only():
    torch.manual_seed(0)
    network = build(dataclasses.replace(SMALL, view_ids=1500)).eval()
    few = said(network, torch.rand(1, 2, 3, 16, 16), torch.tensor([0, 1400]))
    assert few[1].points.isfinite().all()


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        (torch.rand(1, 2, 3, 30, 48), None, "image 0 is 48x30.*multiples of 16"),
        (torch.rand(1, 2, 4, 32, 48), None, r"image 0 is \(1, 4, 32, 48\)"),
        ([], None, "no image"),
        (torch.rand(1, 60, 3, 16, 16), None, "60 views, expected at most 50"),
        (torch.rand(1, 2, 3, 16, 16), torch.tensor([0, 0]), "no id twice"),
        (torch.rand(1, 2, 3, 16, 16), torch.tensor([1, 2]), "expected 0 and then"),
        (torch.rand(1, 2, 3, 16, 16), torch.tensor([0, 50]), "below 50"),
        (torch.rand(1, 2, 3, 16, 16), torch.tensor([0, 1, 2]), r"view_ids are \(3,\), expected \(2,\)"),
    ],
)
def test_bad_images_and_ids_are_refused(network, images, ids, message):
    with pytest.raises(InputError, match=message):
        said(network, images, ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_width": 100}, "encoder_width is 100"),
        ({"decoder_heads": 5}, "decoder_width is 64"),
        ({"decoder_depth": 6}, "decoder_depth is 6"),
        ({"patch": 14}, "patch is 14"),
        ({"stem": "tree"}, "stem is 'tree'"),
        ({"stem": "conv", "patch": 24}, "expected 16 for a stem"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Fast3r(dataclasses.replace(SMALL, **change))


# ---- published checkpoints


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def with_aliases(state):
    named = dict(state)
    for head in ("downstream_head", "downstream_head_local"):
        for number in range(4):
            named[f"{head}.dpt.scratch.layer_rn.{number}.weight"] = state[
                f"{head}.dpt.scratch.layer{number + 1}_rn.weight"
            ]
    return named


def saved(path, state):
    write_safetensors(path, state, {})
    return path


def test_checkpoints_of_all_layouts_give_the_same_network(network, images, tmp_path):
    state = state_of(network)
    folder = tmp_path / "hub"
    folder.mkdir()
    counters = {"epoch_fraction": torch.zeros(1), "train_total_samples": torch.zeros(1)}
    torch.save(
        {"state_dict": {**{f"net.{n}": t for n, t in with_aliases(state).items()}, **counters}}, tmp_path / "l.ckpt"
    )
    saved(folder / "model.safetensors", state)
    paths = [saved(tmp_path / "a.safetensors", state), saved(tmp_path / "b.safetensors", with_aliases(state)), folder]
    expected = said(network, images)
    for path in [*paths, tmp_path / "l.ckpt"]:
        assert is_published(path)
        loaded = load_published(path)
        assert dataclasses.replace(loaded.settings, view_ids=50) == SMALL
        for a, b in zip(expected, said(loaded, images), strict=True):
            torch.testing.assert_close(a.points, b.points)
    assert settings_of(state, "it").head_channels == SMALL.head_channels


def _without(name):
    return lambda state: state.pop(name)


def _other_alias(state):
    state["downstream_head.dpt.scratch.layer_rn.0.weight"] = state["downstream_head.dpt.scratch.layer1_rn.weight"] + 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("decoder.dec_norm.bias"), "lacks 'decoder.dec_norm.bias'"),
        (_without("encoder.patch_embed.proj.weight"), "lacks 'encoder.patch_embed.proj.weight'"),
        (lambda s: s.update(surprise=torch.zeros(1)), "holds 'surprise'"),
        (lambda s: s.update({"decoder.dec_norm.bias": torch.zeros(3)}), r"'decoder.dec_norm.bias' is \(3,\)"),
        (_other_alias, "second name hold different"),
    ],
)
def test_wrong_keys_are_named(network, tmp_path, spoil, message):
    state = state_of(network)
    spoil(state)
    with pytest.raises(WeightsError, match=message):
        load_published(saved(tmp_path / "x.safetensors", state))


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    torch.save({"state_dict": {"net.x": Evil()}}, tmp_path / "evil.ckpt")
    with pytest.raises(WeightsError, match="cannot be read as weights only"):
        load_published(tmp_path / "evil.ckpt")


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_published(tmp_path / "none.ckpt")
    (tmp_path / "b.ckpt").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"b.ckpt"):
        load_published(tmp_path / "b.ckpt")
    torch.save([1, 2], tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="holds no state_dict"):
        load_published(tmp_path / "c.pth")
