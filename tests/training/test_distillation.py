"""Distillation of pointmaps: what is compared, what is not, and that training with a teacher resumes bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_clips import Room
from torch import Tensor

from showroom_ros.errors import InputError, SettingsError, WeightsError
from showroom_ros.networks import plane_sweep
from showroom_ros.networks.fast3r import KIND, Fast3r, Pointmap, build
from showroom_ros.networks.fast3r_settings import Fast3rSettings
from showroom_ros.networks.weights import save_weights
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.distillation import (
    DistillationSettings,
    Teacher,
    check_distillation,
    confidence_loss,
    dense_loss,
    distillation_losses,
    most_confident,
    view_centres,
)
from showroom_ros.training.fast3r import Fast3rTask, Fast3rTaskSettings, ImageSets
from showroom_ros.training.recipe import make_recipe
from showroom_ros.training.scenes import RecordedScene
from showroom_ros.training.stopping import StopRequest
from showroom_ros.training.task import TaskKind
from showroom_ros.training.trainer import LAST, Trainer

SHAPE = Fast3rSettings(
    encoder_width=16, encoder_depth=1, encoder_heads=2, decoder_width=16, decoder_depth=4, decoder_heads=2,
    head_channels=(4, 4, 4, 4), head_width=8, head_last=8, view_ids=64,
)  # fmt: skip
CLIPS = ClipSettings(views=3, width=48, height=32, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)
NOTHING = DistillationSettings(teacher="t", dense=0.0, confidence=0.0, truth=0.0)
SHOWROOM = replace(NOTHING, distance=1.0, angle=2.0, cosine=1.0)


def pointmaps(seed, batch=3, views=2, height=4, width=5):
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(batch, height, width, *shape, generator=generator)

    return [Pointmap(drawn(3), 1 + drawn().exp(), drawn(3), 1 + drawn().exp()) for _ in range(views)]


def changed(maps, change):
    return [Pointmap(*(change(name, value) for name, value in zip(one._fields, one, strict=True))) for one in maps]


def learning(maps):
    return changed(maps, lambda name, value: value.clone().requires_grad_())


class RoomTask(Fast3rTask):
    """Clips of the box room, whatever ``data`` says."""

    def samples(self, validation: bool) -> ImageSets:
        return ImageSets(Clips([RecordedScene(Room())], self.settings.clips, self.seed), self.settings.view_ids)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_weights(path, KIND, SHAPE, build(SHAPE).state_dict(), {})
    return path


def test_centres_are_the_mean_points_of_the_views():
    maps = pointmaps(0, batch=2, views=3)
    found = view_centres(maps)
    assert found.shape == (2, 9)
    for sample in range(2):
        for view in range(3):
            expected = maps[view].points[sample].reshape(-1, 3).mean(0)
            torch.testing.assert_close(found[sample, 3 * view : 3 * view + 3], expected)


def test_showroom_s_loss_sees_the_centres_of_the_global_points_alone():
    student, teacher = learning(pointmaps(0)), pointmaps(1)
    parts = distillation_losses(student, teacher, SHOWROOM)
    assert parts.keys() == {"teacher_distance", "teacher_angle", "teacher_cosine", "distillation"}
    expected = parts["teacher_distance"] + 2 * parts["teacher_angle"] + parts["teacher_cosine"]
    assert float(parts["distillation"].detach()) == pytest.approx(float(expected.detach()))
    parts["distillation"].backward()
    for one in student:
        assert one.points.grad.abs().max() > 0
        assert one.confidence.grad is one.local_points.grad is one.local_confidence.grad is None
    shuffled = changed(student, lambda name, value: value.detach().flip(1, 2))
    again = distillation_losses(shuffled, teacher, SHOWROOM)["distillation"]
    assert float(again) == pytest.approx(float(parts["distillation"].detach()), rel=1e-4)


def test_the_teacher_itself_has_no_loss():
    maps = pointmaps(0)
    everything = replace(SHOWROOM, dense=1.0, confidence=1.0)
    parts = distillation_losses(maps, maps, everything, metric=True)
    assert len(parts) == 6
    assert all(abs(float(value)) < 1e-6 for value in parts.values())


def test_the_dense_part_sees_scale_only_where_it_is_metric():
    teacher = pointmaps(0)
    larger = changed(teacher, lambda name, value: 3 * value if "points" in name else value)
    assert float(dense_loss(larger, teacher, 0.9, metric=False)) == pytest.approx(0, abs=1e-9)
    assert float(dense_loss(larger, teacher, 0.9, metric=True)) > 0.1


def test_the_dense_part_equals_its_loops():
    student, teacher = pointmaps(0, 2), pointmaps(1, 2)
    heads = []
    for points, confidence in (("points", "confidence"), ("local_points", "local_confidence")):
        terms = []
        for sample in range(2):
            rows = []
            for said, told in zip(student, teacher, strict=True):
                order = getattr(told, confidence)[sample].flatten().argsort(descending=True)[:10]  # half of 20 pixels
                rows.append([getattr(one, points)[sample].reshape(-1, 3)[order] for one in (said, told)])
            together = [torch.cat(side) for side in zip(*rows, strict=True)]
            for row in rows:
                scales = [side.norm(dim=1).mean() for side in (together if points == "points" else row)]
                terms.append(torch.nn.functional.smooth_l1_loss(row[0] / scales[0], row[1] / scales[1]))
        heads.append(sum(terms) / len(terms))
    assert float(dense_loss(student, teacher, 0.5, metric=False)) == pytest.approx(float(sum(heads) / 2), rel=1e-5)


def test_points_the_teacher_is_not_sure_of_do_not_count():
    student, teacher = learning(pointmaps(0)), pointmaps(1)
    sure = most_confident(torch.stack([one.confidence for one in teacher], 1), 0.5)
    assert (sure.sum((2, 3)) == 10).all()
    dense_loss(student, teacher, 0.5, metric=False).backward()
    for view, one in enumerate(student):
        moved = one.points.grad.norm(dim=-1) > 0
        assert torch.equal(moved, sure[:, view])
    teacher[0].points[0, 0, 0] = torch.inf
    broken = learning(pointmaps(0))
    loss = dense_loss(broken, teacher, 1.0, metric=True)
    loss.backward()
    assert loss.isfinite()
    assert all(one.points.grad.isfinite().all() for one in broken)


def test_equally_confident_pixels_count_all():
    assert most_confident(torch.full((1, 2, 3, 4), 1.5), 0.1).all()
    assert most_confident(torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(0)), 0.01).sum() == 2


def test_confidence_is_compared_as_its_logarithm():
    teacher = pointmaps(0)
    surer = changed(teacher, lambda name, value: value * 1.5 if "confidence" in name else value)
    expected = 0.5 * torch.tensor(1.5).log() ** 2
    assert float(confidence_loss(surer, teacher)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("student", "teacher", "settings", "expected"),
    [
        (pointmaps(0), pointmaps(0, views=3), SHOWROOM, "expected the same views"),
        (pointmaps(0), pointmaps(0, width=6), SHOWROOM, r"\(3, 4, 5, 3\).*\(3, 4, 6, 3\)"),
        ([], [], SHOWROOM, "expected the same views"),
        (learning(pointmaps(0, 1)), pointmaps(1, 1), SHOWROOM, "a batch of 1: distances and angles .* at least 2"),
    ],
)
def test_what_cannot_be_compared(student, teacher, settings, expected):
    with pytest.raises(InputError, match=expected):
        distillation_losses(student, teacher, settings)


def test_a_single_sample_can_be_validated():
    parts = distillation_losses(pointmaps(0, 1), pointmaps(1, 1), SHOWROOM)
    assert float(parts["teacher_distance"]) == float(parts["teacher_angle"]) == 0
    assert float(parts["distillation"]) == float(parts["teacher_cosine"]) > 0


def test_a_teacher_of_whom_nothing_is_learned_is_refused():
    with pytest.raises(SettingsError, match="teacher is 't' and all weights are 0"):
        Fast3rTask(Fast3rTaskSettings(distillation=NOTHING), "", 0)
    check_distillation(replace(NOTHING, truth=1.0))
    check_distillation(replace(NOTHING, teacher=""))


def test_the_teacher_is_read_when_it_is_asked(tmp_path, teacher_file):
    other = tmp_path / "other.safetensors"
    shape = plane_sweep.PRESETS["tiny"]
    save_weights(other, plane_sweep.KIND, shape, plane_sweep.KIND.build(shape).state_dict(), {})
    images, ids = torch.rand(1, 2, 3, 32, 32), torch.tensor([[0, 7]])
    for path, expected in ((other, "weights are of the network 'plane_sweep', expected 'fast3r'"),
                           (tmp_path / "none.safetensors", "none.safetensors")):  # fmt: skip
        teacher = Teacher(str(path))
        with pytest.raises(WeightsError, match=expected):
            teacher(images, ids)
    state = torch.get_rng_state()
    teacher = Teacher(str(teacher_file))
    first, second = teacher(images, ids)[1], teacher(images, ids)[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.points, second.points)
    assert not first.points.requires_grad
    assert not torch.equal(first.points, teacher(images, torch.tensor([[0, 8]]))[1].points)


class Listening(Fast3r):
    """Remembers what it was asked."""

    def forward(self, images, view_ids=None, **more):
        self.asked = view_ids
        return super().forward(images, view_ids, **more)


def test_teacher_and_student_get_the_same_ids(teacher_file):
    settings = Fast3rTaskSettings(clips=CLIPS, distillation=DistillationSettings(teacher=str(teacher_file)))
    task = RoomTask(settings, "", 0)
    batch = task.collate([task.samples(False)[number] for number in (0, 1)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = Listening(SHAPE)
    asked: list[Tensor] = []
    teach = task.teacher.__call__
    task.teacher = lambda images, ids, dtype: asked.append(ids) or teach(images, ids, dtype)  # type: ignore
    keys = student.state_dict().keys()
    parts = task.loss(student, batch, 0)
    assert torch.equal(asked[0], student.asked)
    assert student.state_dict().keys() == keys == build(SHAPE).state_dict().keys()
    expected = parts["truth"] + parts["teacher_dense"] + 0.1 * parts["teacher_confidence"]
    assert float(parts["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


class StopAfterTwo(StopRequest):
    """Asks to stop after the second step."""

    asked = 0

    def wanted(self) -> bool:
        self.asked += 1
        self.reason = "enough" if self.asked == 2 else self.reason
        return super().wanted()


def test_a_distilled_training_resumes_bit_for_bit(tmp_path: Path, teacher_file: Path) -> None:
    kind = TaskKind(replace(KIND, presets={"small": SHAPE}), Fast3rTaskSettings, RoomTask)
    values = {
        "steps": 4, "batch": 2, "learning_rate": 1e-3, "validate_every": 2, "validation_batches": 1, "task": {
            "clips": {"views": 3, "width": 48, "height": 32, "max_turn_deg": 60.0, "max_baseline_m": 2.0,
                      "min_overlap": 0.05},
            "distillation": {"teacher": str(teacher_file), "distance": 1.0, "angle": 2.0},
        },
    }  # fmt: skip
    recipe = make_recipe(kind, {"test": values})
    whole = Trainer(kind, recipe, tmp_path / "whole", device="cpu")
    result = whole.train()
    assert {"teacher_dense", "teacher_distance", "truth", "distillation"} <= result.metrics.keys()
    assert Trainer(kind, recipe, tmp_path / "parts", device="cpu").train(StopAfterTwo()).stopped == "enough"
    rest = Trainer(kind, recipe, tmp_path / "parts", device="cpu")
    assert rest.resume()
    assert rest.step == 2
    again = rest.train()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, rest.network.state_dict()[name]), name
    assert again.metrics == result.metrics
    checkpoint = torch.load(tmp_path / "parts" / LAST, weights_only=True)
    assert checkpoint["network"].keys() == build(SHAPE).state_dict().keys()
