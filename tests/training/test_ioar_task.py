"""Training of the volumetric network: every example counts, phases follow the step, two steps lower the loss."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from volume_scene import CAMERA, RoomScene

from showroom_ros.errors import DatasetError, SettingsError, WeightsError
from showroom_ros.networks.ioar import PRESETS, IoarNet, LevelOutput, dense_coordinates
from showroom_ros.networks.mnasnet import MnasNetTrunk
from showroom_ros.training.ioar import (
    TASK,
    IoarTask,
    IoarTaskSettings,
    depth_at,
    log_transformed,
    losses,
    projective_occupancy_loss,
    slices,
    tsdf_loss,
)

SETTINGS = IoarTaskSettings(
    (48, 48, 24), 4, 0, 0, anchor_margin=0.3, weigh_views=True, projective_occupancy_from=1, true_surface_until=100
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scenes() -> list[RoomScene]:
    first = RoomScene("a")
    others = [RoomScene(name) for name in "bcd"]
    for scene in others:
        scene._layer = first.tsdf_layer(0)
    return [first, *others]


@pytest.fixture(scope="module")
def batch(scenes: list[RoomScene]) -> dict[str, torch.Tensor]:
    """Two boxes."""
    task = IoarTask(SETTINGS, scenes, 0)
    samples = task.samples(False)
    return task.collate([samples[0], samples[1]])


def write_prepared(path: Path, distances: bool = True) -> None:
    """The room as ``showroom prepare`` writes a scene."""
    scene, entries = RoomScene(path.name, 6), []
    for folder in ("color", "depth"):
        (path / folder).mkdir(parents=True)
    for index in range(len(scene)):
        frame = scene.frame(index)
        names = {kind: f"{kind}/{index:05d}.png" for kind in ("color", "depth")}
        Image.fromarray(frame.image).save(path / names["color"])
        Image.fromarray(np.rint(1000 * frame.depth).astype(np.uint16)).save(path / names["depth"])
        files = {f"filename_{kind}": name for kind, name in names.items()}
        entries.append({**files, "pose": frame.T_world_camera.tolist(), "stamp_ns": index})
    info = {"scene": path.name, "width": 160, "height": 120, "intrinsics": CAMERA.matrix.tolist(), "frames": entries}
    (path / "info.json").write_text(json.dumps(info))
    if distances:
        layer, grid = scene.tsdf_layer(0)
        np.savez_compressed(path / "full_tsdf_layer0.npz", arr_0=layer)
        about = {"vol_origin": grid.origin.tolist(), "voxel_sizes_m": [0.04, 0.08, 0.16]}
        (path / "tsdf_info.json").write_text(json.dumps(about))


def trained(net: IoarNet, task: IoarTask, batch: dict[str, torch.Tensor], steps: int, rate: float) -> list[float]:
    """Losses of steps on one batch, all in the second phase so that they can be compared."""
    optimiser, found = torch.optim.Adam(net.parameters(), rate), []
    for step in range(1, steps + 1):
        task.prepare(net, step)
        parts = task.loss(net, batch, step)
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        found.append(float(parts["loss"].detach()))
    return found


def test_two_steps_lower_the_loss_of_one_batch(scenes: list[RoomScene]) -> None:
    torch.manual_seed(0)
    task = IoarTask(replace(SETTINGS, crop=(32, 32, 16)), scenes, 0)
    batch = task.collate([task.samples(False)[0]])
    net = IoarNet(PRESETS["small"]).train()
    found = trained(net, task, batch, 3, 2e-3)
    assert found[2] < found[1] < found[0]


def test_the_full_network_trains_on_one_box(scenes: list[RoomScene]) -> None:
    """11.9 M parameters in its U-Nets; every one of them moves but those nothing uses, which have no gradient."""
    torch.manual_seed(0)
    task = IoarTask(SETTINGS, scenes, 0)
    batch = task.collate([task.samples(False)[0]])
    net = IoarNet(PRESETS["full"]).train()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    (loss,) = trained(net, task, batch, 1, 1e-3)
    assert math.isfinite(loss)
    for name, parameter in net.named_parameters():
        unused = name.startswith(("class_nets.2.", "class_heads.2."))
        assert torch.equal(parameter.detach(), before[name]) == unused, name


def outputs_of(batch: dict[str, torch.Tensor]) -> list[LevelOutput]:
    torch.manual_seed(0)
    net = IoarNet(PRESETS["small"]).train()
    outputs: list[LevelOutput] = net(batch, keep_true_surface=True)
    return outputs


def test_every_example_of_a_batch_is_supervised(batch: dict[str, torch.Tensor]) -> None:
    outputs = outputs_of(batch)
    found = losses(outputs, batch)
    for level, output in enumerate(outputs):
        name = ("coarse", "medium", "fine")[level]
        for tensor, part in (
            (output.projective_occupancy, f"occupancy_{name}"),
            (output.class_logits, f"classes_{name}"),
            (output.tsdf_logit, "tsdf"),
        ):
            if tensor is None or (part == "tsdf" and level < 2):
                continue
            (gradient,) = torch.autograd.grad(found[part], tensor, retain_graph=True)
            for item in range(2):
                assert gradient[output.coordinates[:, 0] == item].abs().sum() > 0, (part, item)


def test_loss_is_the_plain_sum_of_its_six_parts(batch: dict[str, torch.Tensor]) -> None:
    found = losses(outputs_of(batch), batch)
    parts = ["tsdf", "classes_coarse", "classes_medium", "occupancy_coarse", "occupancy_medium", "occupancy_fine"]
    assert float(found["loss"].detach()) == pytest.approx(sum(float(found[part].detach()) for part in parts), rel=1e-5)
    assert all(value.ndim == 0 for value in found.values())
    assert 0 <= float(found["recall_coarse"]) <= 1


def perfect(batch: dict[str, torch.Tensor]) -> list[LevelOutput]:
    """What a network that knows the truth says, everywhere."""
    outputs = []
    for level, (name, size) in enumerate((("coarse", 0.16), ("medium", 0.08), ("fine", 0.04))):
        classes = batch[f"classes_{name}"]
        coordinates = dense_coordinates(classes.shape)
        distance = batch["tsdf"][:, :: 4 >> level, :: 4 >> level, :: 4 >> level].flatten()
        occupancy = []
        for item in range(len(classes)):
            points = batch["origin_m"][item] + size * coordinates[coordinates[:, 0] == item][:, 1:]
            measured, z = depth_at(points, batch["depth"][item], batch["K"][item], batch["T_world_camera"][item])
            occupancy.append(((z - measured).abs() < 3 * size).float() * 40 - 20)
        logits = torch.nn.functional.one_hot(classes.flatten(), 3).float() * 40
        total = torch.cat(occupancy)
        outputs.append(
            LevelOutput(coordinates, torch.atanh(distance / 1.05), logits, torch.ones_like(total).bool(), total)
        )
    return outputs


def test_the_truth_has_no_loss(batch: dict[str, torch.Tensor]) -> None:
    found = losses(perfect(batch), batch)
    assert float(found["loss"]) < 1e-4
    for measure in ("recall_coarse", "precision_coarse", "recall_medium", "precision_medium"):
        assert float(found[measure]) == 1
    wrong = [output._replace(tsdf_logit=-output.tsdf_logit) for output in perfect(batch)]
    assert float(losses(wrong, batch)["tsdf"]) > 0.5


def test_distances_count_where_they_are_supervised_only(batch: dict[str, torch.Tensor]) -> None:
    output = perfect(batch)[2]
    unsupervised = ~batch["supervised"].flatten()
    assert unsupervised.any()
    ignored = output._replace(tsdf_logit=torch.where(unsupervised, -output.tsdf_logit, output.tsdf_logit))
    assert float(tsdf_loss(ignored, batch)) < 1e-5
    assert log_transformed(torch.tensor([-1.0, 0.0, 0.5])).tolist() == pytest.approx([-math.log(2), 0, math.log(1.5)])


def test_projective_occupancy_equals_its_slow_reference(batch: dict[str, torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    coordinates = dense_coordinates(batch["classes_coarse"].shape)[::31]
    logits = torch.randn(len(coordinates), 4, generator=generator)
    valid = torch.rand(len(coordinates), 4, generator=generator) < 0.7
    output = LevelOutput(coordinates, logits[:, 0], None, valid, logits)
    terms = []
    for row, (item, *place) in enumerate(coordinates.tolist()):
        point = batch["origin_m"][item].numpy() + 0.16 * np.array(place)
        for view in range(4):
            K, pose = (batch[name][item, view].double().numpy() for name in ("K", "T_world_camera"))
            x, y, z = K @ (np.linalg.inv(pose) @ [*point, 1.0])[:3]
            if z <= 0 or not valid[row, view]:
                continue
            u, v = round(x / z), round(y / z)
            if not (0 <= u < 160 and 0 <= v < 120) or batch["depth"][item, view, v, u] <= 0:
                continue
            target = abs(z - float(batch["depth"][item, view, v, u])) < 0.48
            probability = 1 / (1 + math.exp(-float(logits[row, view])))
            terms.append(-math.log(probability if target else 1 - probability))
    assert len(terms) > 20
    assert float(projective_occupancy_loss(output, batch, 0.16)) == pytest.approx(np.mean(terms), rel=1e-4)


def test_boxes_no_view_sees_train_without_harm(batch: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    net = IoarNet(PRESETS["small"]).train()
    away = {**batch, "origin_m": batch["origin_m"] + 1000.0}
    parts = losses(net(away), away)
    assert float(parts["occupancy_fine"].detach()) == 0
    parts["loss"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


class Recorder(torch.nn.Module):
    """Stands for a network; notes what it is asked."""

    def __init__(self, outputs: list[LevelOutput]) -> None:
        super().__init__()
        self.outputs, self.asked = outputs, {}

    def forward(self, batch: dict[str, torch.Tensor], **asked: object) -> list[LevelOutput]:
        self.asked = asked
        return self.outputs


def test_phases_follow_the_step(scenes: list[RoomScene], batch: dict[str, torch.Tensor]) -> None:
    settings = IoarTaskSettings((48, 48, 24), 4, 0, 0, projective_occupancy_from=30, true_surface_until=20)
    task, network = IoarTask(settings, scenes, 5), Recorder(perfect(batch))
    asked = {}
    for step in (0, 19, 20, 29, 30):
        task.loss(network, batch, step)
        asked[step] = network.asked
    assert [asked[step]["use_projective_occupancy"] for step in asked] == [False, False, False, False, True]
    assert [asked[step]["keep_true_surface"] for step in asked] == [True, True, False, False, False]
    assert len({asked[step]["seed"] for step in asked}) == 5


def test_a_pretrained_backbone_is_frozen_in_the_first_phase(
    scenes: list[RoomScene], batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    pretrained = MnasNetTrunk()
    torch.save(pretrained.state_dict(), tmp_path / "mnasnet1_0.pt")
    settings = IoarTaskSettings(
        (16, 16, 16), 1, 32, 32, projective_occupancy_from=2, backbone_weights=str(tmp_path / "mnasnet1_0.pt")
    )
    net = IoarNet(PRESETS["full"]).train()
    task, trunk = IoarTask(settings, scenes, 0), net.pyramid.backbone
    optimiser, images = torch.optim.Adam(net.pyramid.parameters(), 1e-2), torch.rand(2, 3, 64, 64) * 255
    changed = []
    task.begin(net)
    for step in range(3):
        task.prepare(net, step)
        optimiser.zero_grad()
        sum(level.square().mean() for level in net.pyramid(images)).backward()
        assert all(parameter.grad is not None for parameter in net.pyramid.parameters())
        optimiser.step()
        state = trunk.state_dict()
        changed.append(any(not torch.equal(state[name], value) for name, value in pretrained.state_dict().items()))
    assert changed == [False, False, True]
    net.eval()
    net.train()
    task.prepare(net, 1)
    assert not trunk.training
    assert net.train().pyramid.backbone.training is False


def test_bad_backbones(scenes: list[RoomScene], tmp_path: Path) -> None:
    def task(path: Path) -> IoarTask:
        return IoarTask(IoarTaskSettings(backbone_weights=str(path)), scenes, 0)

    full = IoarNet(PRESETS["full"])
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        task(tmp_path / "missing.pt").begin(full)
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="holds a list"):
        task(tmp_path / "list.pt").begin(full)
    with pytest.raises(SettingsError, match="backbone is not mnasnet"):
        task(tmp_path / "list.pt").begin(IoarNet(PRESETS["small"]))


def test_validation_scenes_are_the_last_twentieth_by_name(scenes: list[RoomScene]) -> None:
    task = IoarTask(SETTINGS, scenes, 0)
    train, validation = task.samples(False), task.samples(True)
    assert [scene.name for scene in train.scenes] == ["a", "b", "c"]
    assert [scene.name for scene in validation.scenes] == ["d"]
    assert train.data_id != validation.data_id
    with pytest.raises(DatasetError, match="1 scene"):
        IoarTask(SETTINGS, scenes[:1], 0)
    both = IoarTask(SETTINGS, scenes, 0, keeps_all=True)
    assert [len(both.samples(validation).scenes) for validation in (False, True)] == [4, 4]


def test_data_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="synthetic:train: no such folder"):
        TASK.make(SETTINGS, "synthetic:train", 0)
    with pytest.raises(DatasetError, match="no prepared scene"):
        TASK.make(SETTINGS, str(tmp_path), 0)
    write_prepared(tmp_path / "one", distances=False)
    with pytest.raises(DatasetError, match="none of its 1 prepared scenes has signed distances"):
        TASK.make(SETTINGS, str(tmp_path), 0)
    write_prepared(tmp_path / "two")
    with pytest.raises(DatasetError, match="1 scene"):
        TASK.make(SETTINGS, str(tmp_path), 0)


def test_prepared_scenes_are_trained_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_prepared(tmp_path / name)
    task = TASK.make(replace(SETTINGS, crop=(16, 16, 16)), str(tmp_path), 0)
    sample = task.samples(False)[0]
    assert [scene.name for scene in task.samples(True).scenes] == ["two"]
    assert sample["images"].shape == (4, 3, 120, 160)
    assert (sample["classes_fine"] == 1).any()
    assert float(losses(perfect(task.collate([sample])), task.collate([sample]))["loss"]) < 1e-4


def test_picture_shows_truth_as_it_is(scenes: list[RoomScene], batch: dict[str, torch.Tensor]) -> None:
    picture = slices(perfect(batch), batch)
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * 48 * 4, 3 * 48 * 4, 3)
    upper, lower = np.split(picture, 2)
    assert np.array_equal(upper[:, 192:], lower[:, 192:])
    assert np.abs(upper.astype(int) - lower).max() <= 1
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5
    net = IoarNet(PRESETS["small"]).train()
    drawn = IoarTask(SETTINGS, scenes, 0).picture(net, batch)
    assert drawn.shape == picture.shape
    assert net.training
