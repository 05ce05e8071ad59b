"""The trainer: learns, resumes bit for bit, stops where it must, tells what went wrong."""

from __future__ import annotations

import itertools
import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_task
import torch
from tiny_task import TASK, tiny_recipe
from torch import Tensor

from showroom_ros.errors import DatasetError, SettingsError, ShowroomError, WeightsError
from showroom_ros.networks.weights import load_weights
from showroom_ros.training.checkpoint import load_checkpoint
from showroom_ros.training.ema import AveragedWeights
from showroom_ros.training.progress import read_metrics
from showroom_ros.training.recipe import Recipe, make_recipe, read_recipe
from showroom_ros.training.sanity import overfit
from showroom_ros.training.schedule import sample_numbers
from showroom_ros.training.stopping import StopRequest
from showroom_ros.training.trainer import Trainer


class StopAfter(StopRequest):
    """Asks to stop once it was asked so often."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def wanted(self) -> bool:
        self.left -= 1
        self.reason = "enough" if self.left == 0 else self.reason
        return super().wanted()


def trainer_of(recipe: Recipe, out: Path) -> Trainer:
    return Trainer(TASK, recipe, out, device="cpu")


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_learns_and_leaves_everything_behind(tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=150, preset="plain", picture_every=150, validate_every=50, learning_rate=0.03)
    trainer = trainer_of(recipe, tmp_path)
    result = trainer.train()
    assert (result.steps, result.stopped) == (150, "")
    lines = read_metrics(tmp_path / "metrics.jsonl")
    validated = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in validated] == [50, 100, 150]
    assert validated[-1]["loss"] < 0.3 * validated[0]["loss"]
    assert result.metrics == {"loss": validated[-1]["loss"], "absolute": validated[-1]["absolute"]}
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(2, 151, 2))
    assert (tmp_path / "pictures" / "0000150.png").stat().st_size > 50
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data_id"] == "numbers, seed 0"
    assert (card["network"], card["preset"], card["steps"], card["seed"]) == ("tiny", "plain", 150, 0)
    assert card["parameters"] == 3 * 8 + 8 + 8 + 1 + 2
    assert card["recipe"]["learning_rate"] == 0.03
    assert card["hardware"]["cores"] >= 1
    loaded = load_weights(tmp_path / "weights.safetensors", TASK.network)
    assert loaded.settings == TASK.network.presets["plain"]
    sample = trainer.task.samples(True)[0]
    expected = trainer.network.eval()(sample["values"][None])
    torch.testing.assert_close(loaded.network(sample["values"][None]), expected, atol=0.02, rtol=0.01)
    again = make_recipe(TASK, {"recipe.json": read_recipe(tmp_path / "recipe.json")})
    assert again == recipe


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop_at", [3, 8])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, stop_at: int, workers: int) -> None:
    recipe = tiny_recipe(
        steps=7, second__steps=5, second__batch=2, ema_decay=0.9, accumulate=2, warmup_steps=3, schedule="cosine",
        weight_decay=0.1, clip_norm=0.5, workers=workers,
    )  # fmt: skip
    whole = trainer_of(replace(recipe, workers=0), tmp_path / "whole")
    whole.train()
    first = trainer_of(recipe, tmp_path / "parts")
    assert not first.resume()
    assert first.train(StopAfter(stop_at)).stopped == "enough"
    torch.manual_seed(5)  # whatever else happened in between
    second = trainer_of(recipe, tmp_path / "parts")
    assert second.resume()
    assert second.step == stop_at
    assert second.train().steps == 12
    assert_equal(whole.network.state_dict(), second.network.state_dict())
    assert whole.averaged is not None
    assert second.averaged is not None
    assert_equal(whole.averaged.state_dict(), second.averaged.state_dict())
    assert whole.best_loss == second.best_loss
    assert (tmp_path / "whole" / "weights.safetensors").is_file()
    values = [
        [{k: v for k, v in line.items() if k != "minutes"} for line in read_metrics(tmp_path / out / "metrics.jsonl")]
        for out in ("whole", "parts")
    ]
    assert values[0] == values[1]


def test_noise_is_drawn_and_depends_on_the_seed(tmp_path: Path) -> None:
    """Else the test above could not fail for noise."""
    weights = []
    for name, recipe in (("a", tiny_recipe()), ("b", tiny_recipe(network_settings__dropout=0.0))):
        trainer = trainer_of(recipe, tmp_path / name)
        trainer.train()
        weights.append(trainer.network.state_dict()["layers.0.weight"])
    assert not torch.equal(*weights)


def test_accumulated_batches_equal_a_large_one(tmp_path: Path) -> None:
    weights = []
    for batch, accumulate in ((8, 1), (2, 4)):
        recipe = tiny_recipe(batch=batch, accumulate=accumulate, preset="plain", steps=3, optimizer="sgd")
        trainer = trainer_of(recipe, tmp_path / str(batch))
        trainer.train()
        weights.append(trainer.network.layers[0].weight)
    torch.testing.assert_close(weights[0], weights[1], atol=1e-6, rtol=0)


def test_each_sample_is_taken_once_and_in_order(tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=3, batch=3, accumulate=2, second__steps=2, second__batch=5, task__count=1000)
    trainer = trainer_of(recipe, tmp_path)
    trainer.train()
    assert trainer.samples.asked == list(range(3 * 6 + 2 * 10))
    assert trainer.task.prepared == [0, 1, 2, 3, 4]
    assert trainer.task.begun == 1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_the_samples_of_a_larger_batch(world: int) -> None:
    recipe = tiny_recipe(steps=3, batch=2, accumulate=2, second__steps=2, second__batch=4)
    alone = replace(recipe, batch=2 * world, second=replace(recipe.second, batch=4 * world))
    for step in range(5):
        for micro in range(2):
            parts = [sample_numbers(recipe, step, micro, rank, world) for rank in range(world)]
            assert list(itertools.chain(*parts)) == sample_numbers(alone, step, micro)


def test_samples_begin_anew_after_the_last(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(steps=3, batch=3, task__count=4), tmp_path)
    trainer.train()
    assert trainer.samples.asked == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("workers", [0, 1])
def test_nan_stops_with_step_and_samples(tmp_path: Path, workers: int) -> None:
    recipe = tiny_recipe(task__trouble__nan_at=4 * 9 + 2, workers=workers)
    trainer = trainer_of(recipe, tmp_path)
    with pytest.raises(ShowroomError, match=r"step 9: loss is nan, samples 36, 37, 38, 39; .*last.pt holds the last"):
        trainer.train()
    kept = load_checkpoint(tmp_path / "last.pt")
    assert kept.step == 8
    assert all(torch.isfinite(tensor).all() for tensor in kept.network.values())


def test_infinite_gradient_stops(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(), tmp_path)
    trainer.network.layers[3].weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(ShowroomError, match=r"step 0: norm of the gradient is (inf|nan), .*there is no checkpoint yet"):
        trainer.train()


def test_steps_that_fp16_skips_are_no_failure(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(amp="fp16", steps=6, ema_decay=0.5), tmp_path)
    before = trainer.network.layers[0].weight.detach().clone()
    steps: list[bool] = []

    def spoil(gradient: Tensor) -> Tensor:
        steps.append(True)
        return gradient * math.inf if len(steps) <= 2 else gradient

    handle = trainer.network.layers[0].weight.register_hook(spoil)
    scale = trainer.optimization.scaler.get_scale()
    assert trainer.train(StopAfter(2)).steps == 2
    assert torch.equal(trainer.network.layers[0].weight, before)
    assert trainer.optimization.scaler.get_scale() == scale / 4
    assert trainer.train().steps == 6
    handle.remove()
    assert not torch.equal(trainer.network.layers[0].weight, before)
    resumed = trainer_of(tiny_recipe(amp="fp16", steps=6, ema_decay=0.5), tmp_path)
    resumed.resume()
    assert resumed.optimization.scaler.get_scale() == scale / 4


def test_bf16_trains_in_bf16(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(amp="bf16", steps=2), tmp_path)
    kinds = []
    trainer.network.layers[0].register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    trainer.train()
    assert set(kinds) == {torch.bfloat16}
    assert trainer.network.layers[0].weight.dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_that_cannot_be_made_are_named(tmp_path: Path, workers: int) -> None:
    recipe = tiny_recipe(task__trouble__broken_at=6, workers=workers)
    with pytest.raises(DatasetError, match="sample 6: room 7 has no door"):
        trainer_of(recipe, tmp_path).train()


def test_a_worker_that_dies_is_told(tmp_path: Path) -> None:
    recipe = tiny_recipe(task__trouble__dead_at=6, workers=1)
    with pytest.raises(ShowroomError, match="a process that makes samples died"):
        trainer_of(recipe, tmp_path).train()


def test_out_of_memory_comes_with_advice(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(), tmp_path)

    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    trainer.network.register_forward_hook(exhausted)
    with pytest.raises(ShowroomError, match=r"batches of 4 of tiny, preset small, amp none.*smaller batch.*accumulate"):
        trainer.train()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"preset": "wide"}, "preset is 'small', expected 'wide'"),
        ({"network_settings__dropout": 0.5}, "network settings is"),
        ({"data": "letters"}, "data is 'numbers, seed 0', expected 'letters, seed 0'"),
        ({"seed": 3}, "data is 'numbers, seed 0', expected 'numbers, seed 3'"),
        ({"optimizer": "sgd"}, "optimizer is 'adamw', expected 'sgd'"),
    ],
)
def test_another_training_is_not_resumed(tmp_path: Path, changed: dict[str, object], expected: str) -> None:
    trainer_of(tiny_recipe(steps=1), tmp_path).train()
    with pytest.raises(WeightsError, match=expected) as caught:
        trainer_of(tiny_recipe(**changed), tmp_path).resume()
    assert str(tmp_path / "last.pt") in str(caught.value)


def test_other_changes_of_the_recipe_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer_of(tiny_recipe(steps=1), tmp_path).train()
    assert trainer_of(tiny_recipe(steps=3), tmp_path).resume()
    assert "the recipe changed: steps was 1, is 3" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"half"])
def test_broken_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    trainer_of(tiny_recipe(steps=1), tmp_path).train()
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == b"half" else content)
    with pytest.raises(WeightsError, match=r"last.pt: cannot be read as a checkpoint"):
        trainer_of(tiny_recipe(), tmp_path).resume()


def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / "last.pt")
    with pytest.raises(WeightsError, match="is no checkpoint of this version"):
        trainer_of(tiny_recipe(), tmp_path).resume()


def test_fine_tuning_begins_with_the_weights(tmp_path: Path) -> None:
    first = trainer_of(tiny_recipe(steps=40, ema_decay=0.9), tmp_path / "first")
    first.train()
    second = trainer_of(tiny_recipe(data="letters", ema_decay=0.9), tmp_path / "second")
    second.initialise(tmp_path / "first" / "weights_last.safetensors")
    assert first.averaged is not None
    assert second.averaged is not None
    for network in (second.network, second.averaged.network):
        torch.testing.assert_close(dict(network.state_dict()), dict(first.averaged.state_dict()), atol=1e-3, rtol=1e-3)
    second.train(StopRequest(max_minutes=0.0))
    assert second.task.begun == 1  # before the weights came: trained parts that a task puts in are not put in again
    other = trainer_of(tiny_recipe(preset="wide"), tmp_path / "third")
    with pytest.raises(WeightsError, match=r"weights_last.safetensors: the network's settings are"):
        other.initialise(tmp_path / "first" / "weights_last.safetensors")


def test_ends_when_its_time_is_up(tmp_path: Path) -> None:
    result = trainer_of(tiny_recipe(steps=100_000), tmp_path).train(StopRequest(max_minutes=0.01))
    assert result.stopped == "0.01 minutes are over"
    assert 0 < result.steps < 100_000
    assert load_checkpoint(tmp_path / "last.pt").step == result.steps
    assert (tmp_path / "weights_last.safetensors").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_after_the_step(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    trainer = trainer_of(tiny_recipe(), tmp_path)
    trainer.network.layers[0].weight.register_hook(lambda gradient: signal.raise_signal(number))
    result = trainer.train()
    assert (result.steps, result.stopped) == (1, number.name)
    assert load_checkpoint(tmp_path / "last.pt").step == 1
    assert signal.getsignal(number) is before


def test_a_second_signal_interrupts_at_once(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_recipe(), tmp_path)

    def twice(gradient: Tensor) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    trainer.network.layers[0].weight.register_hook(twice)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not (tmp_path / "last.pt").exists()


def test_overfitting_lowers_the_loss_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = overfit(TASK, tiny_recipe(preset="plain", warmup_steps=1000), 60, device="cpu")
    assert after < 0.5 * before
    assert list(tmp_path.iterdir()) == []


def test_overfitting_that_does_not_work_is_an_error() -> None:
    with pytest.raises(ShowroomError, match=r"one batch, 3 steps: the loss was 1 and is 1, expected it to fall"):
        overfit(TASK, tiny_recipe(task__useless=True), 3, device="cpu")


def test_validation_data_of_its_own(tmp_path: Path) -> None:
    losses = []
    for data in ("", "letters"):
        trainer = trainer_of(tiny_recipe(validation_data=data, task__count=5), tmp_path / data)
        assert trainer.validation is not None
        sizes = [len(batch["target"]) for batch in trainer.validation.batches(trainer.device)]
        assert sizes == [4, 1]
        losses.append(trainer.validation.means(trainer.network, trainer.optimization, 0, trainer.device)["loss"])
        assert trainer.validation._samples.data_id == f"{'all:letters' if data else 'numbers'}, seed 1"
    samples = tiny_task.TinySamples(tiny_task.TinySettings(), "", 1)
    batch = tiny_task.TinyTask(tiny_task.TinySettings(), "", 0).collate([samples[index] for index in range(5)])
    expected = (trainer.network.eval()(batch["values"]) - batch["target"]).square().mean()
    assert losses == pytest.approx([expected.item()] * 2)  # a mean over samples, not over batches


def test_nothing_to_validate_on_is_known_before_training(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="numbers: no samples to validate on"):
        trainer_of(tiny_recipe(task__count=0), tmp_path)


def test_averaged_weights_follow() -> None:
    torch.manual_seed(0)
    network = tiny_task.TinyNet(tiny_task.TinyShape())
    average = AveragedWeights(network, 0.5)
    expected = network.layers[0].weight.detach().clone()
    for step in range(5):
        with torch.no_grad():
            network.layers[0].weight += 1.0
            network.calls += 1
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.layers[0].weight.detach()
    torch.testing.assert_close(average.network.layers[0].weight.detach(), expected)
    assert int(average.network.calls) == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"device 'cuda:0': torch .* finds 0 CUDA devices, expected cpu"):
        Trainer(TASK, tiny_recipe(), tmp_path, device="cuda")
    with pytest.raises(SettingsError, match="device 'tpu': unknown"):
        Trainer(TASK, tiny_recipe(), tmp_path, device="tpu")
