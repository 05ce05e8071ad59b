"""Two runs side by side: what is noise, what is not, and what may not be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.benchmark import Row, write_benchmark
from showroom_ros.evaluation.comparison import Comparison, compare_reports
from showroom_ros.evaluation.protocol import DOUBLETAKE, TRANSFORMER_FUSION

RANDOM = np.random.default_rng(0)
LEVELS = RANDOM.uniform(0.3, 0.9, 8)
"""F-scores differ much more between scenes than between runs."""


def evaluation(f_scores: object, protocol: str = "C", **more: object) -> dict:
    described = TRANSFORMER_FUSION if protocol == "C" else DOUBLETAKE
    rows = [
        {"scene": f"room {i}", "f_score": {"0.05": float(f)}, "accuracy_m": float(1 - f), "visibility": "from depth",
         "predicted_points": 100 + i}
        for i, f in enumerate(np.asarray(f_scores))
    ]  # fmt: skip
    return {"protocol": described.to_dict(), "scenes": rows, "settings": {"seed": 0}, **more}


def by_name(comparison: Comparison) -> dict:
    return {item.name: item for item in comparison.differences}


def test_a_small_shift_of_every_scene_is_beyond_noise() -> None:
    second = LEVELS + 0.01 + RANDOM.normal(0, 0.002, 8)
    found = by_name(compare_reports(evaluation(LEVELS), evaluation(second)))
    assert list(found) == ["f_score.0.05", "accuracy_m"]
    f = found["f_score.0.05"]
    assert f.difference == pytest.approx((second - LEVELS).mean())
    assert f.beyond_noise
    assert f.better is True
    assert f.noise_from == "8 scenes"
    assert found["accuracy_m"].better is True, "less is better"
    worse = by_name(compare_reports(evaluation(second), evaluation(LEVELS)))["f_score.0.05"]
    assert (worse.beyond_noise, worse.better) == (True, False)


def test_scatter_is_noise() -> None:
    second = LEVELS + 0.01 + RANDOM.normal(0, 0.05, 8)
    assert by_name(compare_reports(evaluation(LEVELS), evaluation(second)))["f_score.0.05"].beyond_noise is False


def test_the_interval_is_students_by_hand() -> None:
    """Differences 0, 1 and 2 hundredths: half-width t(0.975, 2) s / sqrt(3) = 4.303 * 0.01 / 1.732."""
    base = np.array([0.5, 0.6, 0.7])
    found = by_name(compare_reports(evaluation(base), evaluation(base + np.array([0, 0.01, 0.02]))))["f_score.0.05"]
    assert found.noise == pytest.approx(4.3027 * 0.01 / np.sqrt(3), rel=1e-4)
    assert found.beyond_noise is False


def test_how_often_equal_runs_are_called_different() -> None:
    """At 95 % about one of twenty pairs of equally good runs is marked."""
    random, marked = np.random.default_rng(1), 0
    for _ in range(400):
        runs = [evaluation(LEVELS[:6] + random.normal(0, 0.02, 6)) for _ in range(2)]
        marked += bool(by_name(compare_reports(*runs))["f_score.0.05"].beyond_noise)
    assert 6 <= marked <= 36


def test_one_scene_has_the_noise_of_its_repeats() -> None:
    def run(values: list[float]) -> dict:
        report = evaluation(values[:1])
        report["scenes"][0]["repeats"] = [{"f_score": {"0.05": value}} for value in values]
        return report

    quiet = by_name(compare_reports(run([0.50, 0.501, 0.499]), run([0.52, 0.521, 0.519])))["f_score.0.05"]
    assert quiet.beyond_noise is True
    assert quiet.noise == pytest.approx(2.7764 * np.sqrt(2) * 0.001, rel=1e-3)  # Welch, 4 degrees of freedom
    loud = by_name(compare_reports(run([0.50, 0.55, 0.45]), run([0.52, 0.57, 0.47])))["f_score.0.05"]
    assert loud.beyond_noise is False
    unknown = by_name(compare_reports(evaluation([0.5]), evaluation([0.6])))["f_score.0.05"]
    assert (unknown.beyond_noise, unknown.noise_from) == (None, "one scene, no repeats")
    same = by_name(compare_reports(evaluation([0.5]), evaluation([0.5])))["f_score.0.05"]
    assert (same.beyond_noise, same.better) == (False, None)
    exact = by_name(compare_reports(run([0.5, 0.5]), run([0.51, 0.51])))["f_score.0.05"]
    assert exact.beyond_noise is True


def test_scenes_of_one_run_only_are_left_out_and_named() -> None:
    comparison = compare_reports(evaluation(LEVELS), evaluation(LEVELS[:5] + 0.1))
    found = by_name(comparison)["f_score.0.05"]
    assert found.first == pytest.approx(LEVELS[:5].mean())
    assert comparison.warnings == ("only in the first, left out: room 5, room 6, room 7",)


def test_protocols_are_not_mixed() -> None:
    with pytest.raises(InputError, match="protocols C and D differ: their numbers are not comparable"):
        compare_reports(evaluation(LEVELS), evaluation(LEVELS, "D"))
    comparison = compare_reports(evaluation(LEVELS), evaluation(LEVELS, "D"), across_protocols=True)
    assert "not comparable" in comparison.warnings[0]


def test_masks_of_other_origin_are_a_warning() -> None:
    official = evaluation(LEVELS)
    for row in official["scenes"]:
        row["visibility"] = "official"
    assert "different origin: from depth and official" in compare_reports(evaluation(LEVELS), official).warnings[0]


def test_different_settings_are_listed() -> None:
    second = evaluation(LEVELS, settings={"seed": 1}, environment={"version": "9", "hardware": {"cpu": "x"}})
    changed = compare_reports(evaluation(LEVELS), second).settings
    assert ("settings.seed", 0, 1) in changed
    assert ("environment.version", None, "9") in changed
    assert not compare_reports(evaluation(LEVELS), evaluation(LEVELS)).settings


def benchmark(**values: object) -> dict:
    units = {"rate": "Hz", "latency": "ms", "share": ""}
    rows = [
        {"name": name, "value": value[0] if isinstance(value, list) else value, "unit": units[name],
         "repeats": value if isinstance(value, list) else []}
        for name, value in values.items()
    ]  # fmt: skip
    return {"benchmark": "fusion", "settings": {}, "hardware": {}, "rows": rows}


def test_benchmarks() -> None:
    first = benchmark(rate=[10.0, 10.2, 9.9], latency=5.0, share=0.5)
    second = benchmark(rate=[12.0, 12.1, 11.8], latency=6.0, share=0.6)
    found = by_name(compare_reports(first, second))
    assert (found["rate"].beyond_noise, found["rate"].better) == (True, True)
    assert (found["latency"].beyond_noise, found["latency"].better) == (None, False)
    assert found["share"].better is None
    comparison = compare_reports(first, benchmark(rate=10.0))
    assert comparison.warnings == ("rows of one only, left out: latency, share",)
    with pytest.raises(InputError, match="different benchmarks: 'fusion' and 'stream'"):
        compare_reports(first, {**second, "benchmark": "stream"})


def test_benchmarks_as_they_are_written(tmp_path: Path) -> None:
    for name, rate in (("a", 10.0), ("b", 12.0)):
        rows = [Row("rate_hz", rate, "Hz", repeats=(rate - 0.1, rate, rate + 0.1)), Row("share", 0.5, "")]
        write_benchmark(tmp_path / f"{name}.json", "fusion", {"voxel_size_m": 0.02}, rows)
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert "repeats" not in first["rows"][1]
    found = by_name(compare_reports(first, second))
    assert (found["rate_hz"].beyond_noise, found["share"].beyond_noise) == (True, False)


def test_reports_of_reconstructions() -> None:
    first = {"environment": {"version": "1"}, "settings": {"map": {"voxel_size_m": 0.02}}, "f_score": {"0.05": 0.9},
             "accuracy_m": None, "frames_fused": 5}  # fmt: skip
    second = {**first, "f_score": {"0.05": 0.8}, "settings": {"map": {"voxel_size_m": 0.04}}}
    comparison = compare_reports(first, second)
    assert by_name(comparison)["f_score.0.05"].better is False
    assert by_name(comparison)["f_score.0.05"].beyond_noise is None
    assert comparison.settings == (("settings.map.voxel_size_m", 0.02, 0.04),)
    assert json.loads(json.dumps(comparison.to_dict()))["kind"] == "report"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, "not a report of showroom"),
        ({"rows": 3, "benchmark": "x"}, {}, "not a report of showroom"),
        ({"protocol": {"name": "C"}, "scenes": []}, {}, "not a report of showroom"),
        ({"protocol": {"name": "C"}, "scenes": [{"f": 1}]}, {}, "not a report of showroom"),
        (evaluation(LEVELS), benchmark(rate=1.0), "kind 'evaluation', the second 'benchmark'"),
        (benchmark(rate=1.0), benchmark(latency=1.0), "no figure in common"),
        ({"environment": {}, "settings": {}}, {"environment": {}, "settings": {}}, "no figure in common"),
    ],
)
def test_bad_input(first: dict, second: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        compare_reports(first, second)
