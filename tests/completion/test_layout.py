"""Room layouts: their classes, what is a front view, and the network behind the protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from showroom_ros.completion.layout import LEAST_SHARE, LayoutClass, is_front_view, wall_areas
from showroom_ros.errors import InputError, WeightsError


def box(height: int = 96, width: int = 128, x: float = 0.5, y: float = 0.5, reach: float = 0.25) -> NDArray[np.uint8]:
    """Layout of a box room whose front wall reaches so far from a middle, in parts of width and height."""
    v, u = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    du, dv = u - x, v - y
    around = np.where(np.abs(du) > np.abs(dv), np.where(du < 0, 2, 3), np.where(dv < 0, 5, 4))
    return np.where(np.maximum(np.abs(du), np.abs(dv)) <= reach, 1, around).astype(np.uint8)


def changed(layout: NDArray[np.uint8], change: dict[int, int]) -> NDArray[np.uint8]:
    return np.array([change.get(number, number) for number in range(6)], np.uint8)[layout]


def strip(share: float) -> NDArray[np.uint8]:
    """A room whose ceiling has a share of the pixels."""
    layout = changed(box(400, 400), {5: 1})
    layout.reshape(-1)[: round(share * 160000)] = 5
    return layout


def with_speck() -> NDArray[np.uint8]:
    """A front wall in the middle, and a few pixels of front wall in a corner."""
    layout = box()
    layout[:3, :3] = 1
    return layout


@pytest.mark.parametrize(
    ("layout", "front"),
    [
        (box(), True),
        (box(x=0.68, y=0.32), True),
        (box(x=0.78), False),
        (box(y=0.22), False),
        (changed(box(), {1: 0}), False),
        (changed(box(), {5: 1}), False),
        (changed(box(), {2: 0}), False),
        (strip(LEAST_SHARE), True),
        (strip(LEAST_SHARE - 1e-4), False),
        (with_speck(), True),
    ],
)
def test_front_views(layout: NDArray[np.uint8], front: bool) -> None:
    assert is_front_view(layout) is front


def test_areas_of_walls_are_shares() -> None:
    areas = wall_areas(box(x=0.6))
    assert areas.left == pytest.approx((box(x=0.6) == 2).sum() / (96 * 128))
    assert areas.left > areas.right > 0
    assert wall_areas(box(x=0.6)[:, ::-1].copy()).left == pytest.approx(areas.left)


def test_classes_are_those_of_the_made_up_rooms() -> None:
    pytest.importorskip("torch")
    from showroom_ros.datasets.synthetic.room_layout import LayoutClass as Labels

    assert {kind.name: int(kind) for kind in LayoutClass} == {kind.name: int(kind) for kind in Labels}


def test_the_network_gives_the_classes_of_places(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from showroom_ros.completion.layout_torch import RoomLayout
    from showroom_ros.networks.room_layout import KIND, PRESETS, RoomLayoutNet
    from showroom_ros.networks.weights import save_weights

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RoomLayoutNet(PRESETS["tiny"])
    path = tmp_path / "fresh.safetensors"
    save_weights(path, KIND, PRESETS["tiny"], network.state_dict(), {})
    layout = RoomLayout(path)
    assert layout.name == "room_layout of fresh.safetensors"
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    found = layout.classes(image)
    assert found.dtype == np.uint8
    assert found.shape == (96, 128)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(image).movedim(-1, 0)[None] / 255).logits
    expected = torch.nn.functional.interpolate(logits, (96, 128), mode="bilinear").argmax(1)[0].numpy() + 1
    assert (found == expected).mean() > 0.98  # weights in the file are halves
    assert (RoomLayout(network).classes(image) == expected).all()
    for bad, message in ((image[..., 0], r"\(96, 128\)"), (image.astype(float), "float64")):
        with pytest.raises(InputError, match=message):
            layout.classes(bad)
    with pytest.raises(WeightsError, match="nowhere"):
        RoomLayout(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("use", [is_front_view, wall_areas])
@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\)"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
        (np.full((4, 4), 6, np.uint8), "class 6"),
    ],
)
def test_bad_input(use: Callable[[NDArray], object], layout: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        use(layout)
