"""The adapter of Depth Anything 3: geometry by a stand-in that knows the cameras, files by its own class."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from showroom_ros.errors import MissingDependencyError, WeightsError
from showroom_ros.geometry.pointmap import fitted_focal
from showroom_ros.reconstruction.depth_anything_torch import NAMES, DepthAnything3Pointmaps, empty_network
from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network

FOCAL, SHIFT = 50.0, 0.3


class Wall(nn.Module):
    """Sees a wall at 2 m; its second camera stands ``SHIFT`` to the right of the first; notes what it gets."""

    def forward(self, batch):
        self.batch = batch
        _, views, _, height, width = batch.shape
        T_camera_world = torch.eye(4).repeat(1, views, 1, 1)
        turned = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # of the world: nothing may depend on it
        T_camera_world[..., :3, :3] = turned
        T_camera_world[0, 1, 0, 3] = -SHIFT
        K = torch.tensor([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1]]).repeat(1, views, 1, 1)
        depth = torch.full((1, views, height, width), 2.0)
        confidence = torch.full_like(depth, 1.5)
        return {"depth": depth, "depth_conf": confidence, "extrinsics": T_camera_world[..., :3, :], "intrinsics": K}


def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((56, 70), (42, 84))]


def test_points_are_in_the_frame_of_the_first_camera_whatever_the_sizes() -> None:
    network = Wall()
    said = DepthAnything3Pointmaps(network, name="wall").pointmaps(images())
    assert network.batch.shape == (1, 2, 3, 56, 84)
    for pointmap, image, shift in zip(said, images(), (0.0, SHIFT), strict=True):
        height, width = image.shape[:2]
        u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
        local = np.stack([u / FOCAL * 2, v / FOCAL * 2, np.full_like(u, 2.0)], -1)
        np.testing.assert_allclose(pointmap.local_points, local, atol=1e-5)
        np.testing.assert_allclose(pointmap.points, local + np.array([shift, 0, 0]), atol=1e-5)
        assert (pointmap.confidence == 1.5).all()
        assert fitted_focal(pointmap.local_points, pointmap.local_confidence) == pytest.approx(FOCAL, rel=1e-3)
    inner = network.batch[0, 0, :, :, 7:77] * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    colours = (inner + torch.tensor([0.485, 0.456, 0.406])[:, None, None]) * 255
    np.testing.assert_allclose(colours.movedim(0, -1), images()[0], atol=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of the real class with random weights, laid out as on the hub."""
    pytest.importorskip("depth_anything_3")
    folder = tmp_path_factory.mktemp("DA3-SMALL")
    torch.manual_seed(0)
    network = empty_network("da3-small")
    nn.init.constant_(network.cam_dec.fc_fov[0].bias, 1.0)
    save_model(nn.ModuleDict({"model": network}), str(folder / "model.safetensors"))  # as the hub's mixin does
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    return folder


def test_its_own_class_is_loaded_and_asked(folder) -> None:
    network = load_pointmap_network(str(folder))
    assert isinstance(network, DepthAnything3Pointmaps)
    assert not network.metric
    first, second = network.pointmaps(images())
    assert first.points.shape == (56, 70, 3)
    assert second.points.shape == (42, 84, 3)
    np.testing.assert_allclose(first.points, first.local_points, atol=1e-5)
    assert first.confidence.min() >= 1
    fov = 2 * np.arctan(84 / 2 / fitted_focal(second.local_points, second.local_confidence))
    assert 0.5 < fov < 2.0  # rad: about the bias
    again = load_pointmap_network(str(folder)).pointmaps(images())
    np.testing.assert_array_equal(again[1].points, second.points)


def test_broken_checkpoints_are_refused(folder, tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    save_file({"model.head.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="lacks"):
        load_pointmap_network(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3metric-large"}))
    with pytest.raises(WeightsError, match=r"da3metric-large.*expected one of da3-small"):
        load_pointmap_network(str(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_without_the_package_its_name_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "depth_anything_3", None)
    monkeypatch.setitem(sys.modules, "depth_anything_3.cfg", None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps depth-anything-3"):
        empty_network(name)
