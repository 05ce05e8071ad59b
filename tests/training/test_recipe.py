"""Recipes: those that come with the package, what they refuse, and what a step of them is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from tiny_task import TASK, tiny_recipe

from showroom_ros.errors import SettingsError
from showroom_ros.networks.registry import NETWORKS
from showroom_ros.training.optimization import Optimization
from showroom_ros.training.recipe import make_recipe, plain_recipe, read_recipe
from showroom_ros.training.schedule import learning_rate, step_seed
from showroom_ros.training.tasks import TASKS, task_kind

RECIPES = sorted((Path(__file__).parents[2] / "config" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_package_are_sound(path: Path) -> None:
    values = read_recipe(path)
    recipe = make_recipe(task_kind(values["network"]), {str(path): values})
    assert path.stem == f"{recipe.network}_{recipe.preset}"
    assert 0 < learning_rate(recipe, recipe.total_steps - 1) <= learning_rate(recipe, recipe.warmup_steps)


def test_every_network_can_be_trained_and_has_recipes() -> None:
    assert set(TASKS) == set(NETWORKS)
    assert {path.stem for path in RECIPES} >= {f"{network}_small" for network in TASKS}


def test_the_published_schedule_of_ioar() -> None:
    values = read_recipe(next(path for path in RECIPES if path.stem == "ioar_full"))
    recipe = make_recipe(task_kind("ioar"), {"file": values})
    rates = [learning_rate(recipe, step) for step in (0, 999, 1999, 2000, 104_999, 105_000, 194_999)]
    assert rates == pytest.approx([5e-7, 5e-4, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4])
    assert recipe.task.projective_occupancy_from == recipe.steps


@pytest.mark.parametrize("preset", ["full", "showroom"])
def test_the_published_optimizer_of_fast3r(preset: str) -> None:
    values = read_recipe(next(path for path in RECIPES if path.stem == f"fast3r_{preset}"))
    recipe = make_recipe(task_kind("fast3r"), {"file": values})
    optimizer = Optimization(torch.nn.Linear(2, 2), recipe, torch.device("cpu")).optimizer
    assert [(type(optimizer), group["betas"]) for group in optimizer.param_groups] == [
        (torch.optim.AdamW, (0.9, 0.95)), (torch.optim.AdamW, (0.9, 0.95)),
    ]  # fmt: skip


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rate_rises_and_falls(schedule: str) -> None:
    recipe = tiny_recipe(
        steps=100, warmup_steps=10, schedule=schedule, final_fraction=0.1, learning_rate=1.0, second__steps=50,
        second__learning_rate=0.5,
    )  # fmt: skip
    rates = [learning_rate(recipe, step) for step in range(150)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:100]))
    assert (rates[10], rates[99], rates[100], rates[149]) == pytest.approx((1.0, 0.1, 0.5, 0.05))
    middle = (rates[54] + rates[55]) / 2
    assert middle == pytest.approx(0.55)


def test_seeds_differ_by_step_batch_and_process() -> None:
    seeds = {step_seed(0, step, micro, rank) for step in range(9) for micro in range(3) for rank in range(3)}
    assert len(seeds) == 81
    assert step_seed(3, 2, 1, 1) == step_seed(3, 2, 1, 1) != step_seed(4, 2, 1, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stepz": 3}, "file: unknown setting 'stepz'; did you mean 'steps'"),
        ({"steps": 0}, "file: 'steps' is 0, expected 1"),
        ({"steps": 2.5}, "file: 'steps' is 2.5, expected int"),
        ({"schedule": "sometimes"}, "'schedule' is 'sometimes', expected one of constant, cosine, linear"),
        ({"amp": "fp8"}, "'amp' is 'fp8', expected one of none, bf16, fp16"),
        ({"preset": "huge"}, "tiny: unknown preset 'huge', expected one of small, wide, plain"),
        ({"network": "ioar"}, "file: is for the network 'ioar', expected 'tiny'"),
        ({"task": {"count": -1}}, "file: 'task.count' is -1"),
        ({"task": {"colour": 1}}, "file: unknown setting 'task.colour'"),
        ({"task.trouble.nan_at": "x"}, "'task.trouble.nan_at' is 'x', expected int"),
        ({"network_settings": {"widths": [3]}}, r"'network_settings.widths' is \[3\], expected tuple\[int, int\]"),
        ({"network_settings": {"widths": [3, "a"]}}, r"'network_settings.widths\[1\]' is 'a', expected int"),
        ({"network_settings": {"widths": 3}}, "'network_settings.widths' is 3"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(values: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        make_recipe(TASK, {"file": values})


def test_later_layers_win() -> None:
    recipe = make_recipe(
        TASK,
        {"file": {"preset": "plain", "steps": 5, "task": {"count": 7}}, "--set": {"preset": "wide", "task.count": 8}},
    )
    assert (recipe.preset, recipe.steps, recipe.task.count) == ("wide", 5, 8)
    assert recipe.network_settings == TASK.network.presets["wide"]
    recipe = make_recipe(TASK, {"file": {"network_settings": {"widths": [3, 5]}}})
    assert recipe.network_settings.widths == (3, 5)


def test_a_recipe_as_json_is_the_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(preset="wide", task__trouble__nan_at=3, second__steps=2)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain_recipe(recipe)))
    assert make_recipe(TASK, {str(path): read_recipe(path)}) == recipe


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", "{", "a.json: cannot be read as JSON"),
        ("a.json", "[1]", "a.json: holds a list, expected a mapping"),
        ("a.yaml", "steps: [", "a.yaml: cannot be read as YAML"),
        ("a.yaml", "- 1", "a.yaml: holds a list"),
        ("missing.json", None, "missing.json: cannot be read"),
        ("missing.yaml", None, "missing.yaml: cannot be read"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, name: str, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match=expected):
        read_recipe(tmp_path / name)


def test_a_network_nobody_trains() -> None:
    with pytest.raises(SettingsError, match="no task trains a network 'resnet', expected one of plane_sweep, ioar"):
        task_kind("resnet")
