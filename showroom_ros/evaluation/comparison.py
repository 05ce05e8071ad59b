"""Two runs side by side: which differences are beyond noise, and whether they may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from showroom_ros.errors import InputError

Kind = Literal["evaluation", "benchmark", "report"]

_CONFIDENCE = 0.95
_ABOUT = ("settings", "environment", "hardware", "protocol", "data", "source", "version", "results", "benchmark")
_NOT_SCORES = ("predicted_points", "truth_points", "predicted_samples", "truth_samples", "repeats", "summary", "frames")
_HIGHER_IS_BETTER = ("precision", "recall", "f_score", "delta_", "complete", "coverage", "consistency", "ssim", "psnr")
_LOWER_IS_BETTER = ("accuracy_m", "completeness_m", "chamfer_m", "abs_", "sq_rel", "rmse", "ate_", "rpe_", "error",
                    "latency", "lpips", "dropped", "memory")  # fmt: skip
_HIGHER_UNITS, _LOWER_UNITS = ("Hz", "1/s"), ("ms", "s", "us", "MB", "GiB", "bytes", "m", "mm")


@dataclass(frozen=True)
class Difference:
    """One figure of both runs.

    Attributes:
        name: of the figure, dots between its parts.
        first, second: its values, means over the scenes both have.
        noise: half the 95 % confidence interval of the difference; None where it cannot be told.
        noise_from: what the noise was told from, or why it cannot be.
        better: whether the second is better; None where neither is or nobody can say.
    """

    name: str
    first: float
    second: float
    noise: float | None
    noise_from: str
    better: bool | None

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.second - self.first

    @property
    def beyond_noise(self) -> bool | None:
        """Whether the runs differ by more than noise explains; None where it is not known."""
        if self.difference == 0:
            return False
        return None if self.noise is None else bool(abs(self.difference) > self.noise)


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common and what not.

    Attributes:
        kind: of both files.
        differences: figures both have.
        settings: (name, first, second) of data, settings, version and machine that are not the same.
        warnings: why figures may not be comparable.
    """

    kind: Kind
    differences: tuple[Difference, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        rows = [
            {**vars(item), "difference": item.difference, "beyond_noise": item.beyond_noise}
            for item in self.differences
        ]
        return {"kind": self.kind, "differences": rows, "settings": self.settings, "warnings": self.warnings}


def compare_reports(
    first: Mapping[str, Any], second: Mapping[str, Any], *, across_protocols: bool = False
) -> Comparison:
    """Compares two reports of this package.

    Noise is told from paired differences over the scenes both have (Student's interval of their mean), for one
    scene from repeats with other seeds, for benchmarks from the repeats of a row.

    Args:
        first: an evaluation, a benchmark, or the report of a reconstruction.
        second: another of the same kind.
        across_protocols: warn instead of raising where the protocols differ.

    Raises:
        InputError: not a report of this package, different kinds, benchmarks or protocols, or nothing in common.
    """
    kind = kind_of(first)
    if kind != kind_of(second):
        raise InputError(f"the first is of kind '{kind}', the second '{kind_of(second)}': nothing to compare")
    warnings: list[str] = []
    if kind == "evaluation":
        _check_protocols(first, second, across_protocols, warnings)
        differences = _scene_differences(first["scenes"], second["scenes"], warnings)
    elif kind == "benchmark":
        if first["benchmark"] != second["benchmark"]:
            raise InputError(f"different benchmarks: '{first['benchmark']}' and '{second['benchmark']}'")
        differences = _row_differences(first["rows"], second["rows"], warnings)
    else:
        scores = [dict(_numbers(_without(report, (*_ABOUT, *_NOT_SCORES)))) for report in (first, second)]
        differences = [
            Difference(name, a, scores[1][name], None, "one run each", _is_better(name, a, scores[1][name]))
            for name, a in scores[0].items()
            if name in scores[1]
        ]
    if not differences:
        raise InputError("the two have no figure in common")
    return Comparison(kind, tuple(differences), tuple(_changed(first, second)), tuple(warnings))


def kind_of(report: Any) -> Kind:
    """What a file is.

    Raises:
        InputError: none of ours; says what was looked for.
    """
    if isinstance(report, Mapping):
        protocol = report.get("protocol")
        if isinstance(protocol, Mapping) and "name" in protocol and _is_table(report.get("scenes"), "scene"):
            return "evaluation"
        if "benchmark" in report and _is_table(report.get("rows"), "name"):
            return "benchmark"
        if isinstance(report.get("environment"), Mapping) and "settings" in report:
            return "report"
    raise InputError(
        "not a report of showroom: expected an evaluation (protocol, scenes), a benchmark (benchmark, rows) or the "
        "report of a reconstruction (environment, settings)"
    )


def _is_table(rows: Any, key: str) -> bool:
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, Mapping) and key in row for row in rows)


def _check_protocols(
    first: Mapping[str, Any], second: Mapping[str, Any], across_protocols: bool, warnings: list[str]
) -> None:
    names = [report["protocol"]["name"] for report in (first, second)]
    if names[0] != names[1]:
        text = f"protocols {names[0]} and {names[1]} differ: their numbers are not comparable"
        if not across_protocols:
            raise InputError(text)
        warnings.append(text)
    masks = [{row.get("visibility") for row in report["scenes"]} - {None} for report in (first, second)]
    if names[0] == names[1] and masks[0] != masks[1]:
        sources = " and ".join(", ".join(sorted(map(str, mask))) or "none" for mask in masks)
        warnings.append(f"the visibility masks are of different origin: {sources}")


def _scene_differences(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], warnings: list[str]
) -> list[Difference]:
    by_name = [{str(row["scene"]): row for row in rows} for rows in (first, second)]
    common = [scene for scene in by_name[0] if scene in by_name[1]]
    if not common and len(first) == len(second) == 1:  # one scene each, named after their folders
        warnings.append(f"the scenes have different names: {first[0]['scene']} and {second[0]['scene']}")
        pairs = [(first[0], second[0])]
    else:
        for place, names, others in (("first", *by_name), ("second", *reversed(by_name))):
            only = [scene for scene in names if scene not in others]
            if only:
                warnings.append(f"only in the {place}, left out: {', '.join(only)}")
        pairs = [(by_name[0][scene], by_name[1][scene]) for scene in common]
    numbers = [tuple(dict(_numbers(_without(row, _NOT_SCORES))) for row in pair) for pair in pairs]
    names = dict.fromkeys(name for pair in numbers for name in pair[0] if name in pair[1])
    differences = []
    for name in names:
        values = np.array([[row[name] for row in pair] for pair in numbers if all(name in row for row in pair)])
        if len(values) > 1:
            noise: float | None = _interval_of_mean(values[:, 1] - values[:, 0])
            source = f"{len(values)} scenes"
        else:
            noise, source = _noise_of_repeats(*(list(_repeats(row, name)) for row in pairs[0]))
        mean_first, mean_second = values.mean(axis=0).tolist()
        better = _is_better(name, mean_first, mean_second)
        differences.append(Difference(name, mean_first, mean_second, noise, source, better))
    return differences


def _row_differences(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], warnings: list[str]
) -> list[Difference]:
    others = {row["name"]: row for row in second}
    only = sorted({row["name"] for row in first} ^ set(others))
    if only:
        warnings.append(f"rows of one only, left out: {', '.join(only)}")
    differences = []
    for row in first:
        other = others.get(row["name"])
        if other is None or row.get("value") is None or other.get("value") is None:
            continue
        noise, source = _noise_of_repeats(row.get("repeats") or [], other.get("repeats") or [])
        unit, a, b = row.get("unit", ""), float(row["value"]), float(other["value"])
        better = None if a == b else (b > a if unit in _HIGHER_UNITS else b < a if unit in _LOWER_UNITS else None)
        differences.append(Difference(row["name"], a, b, noise, source, better))
    return differences


def _repeats(row: Mapping[str, Any], name: str) -> Iterator[float]:
    for repeat in row.get("repeats") or []:
        value = dict(_numbers(repeat)).get(name)
        if value is not None:
            yield value


def _interval_of_mean(values: np.ndarray) -> float:
    """Half the confidence interval of the mean of values [N], N at least 2."""
    quantile = float(student.ppf((1 + _CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _noise_of_repeats(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, str]:
    """Half the confidence interval of the difference of one value each (Welch), from the spread of repeats."""
    if len(first) < 2 or len(second) < 2:
        return None, "one scene, no repeats"
    shares = [float(np.var(values, ddof=1)) for values in (first, second)]
    if not any(shares):
        return 0.0, f"{len(first)} and {len(second)} repeats"
    freedom = sum(shares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(shares, (first, second), strict=True))
    half = float(student.ppf((1 + _CONFIDENCE) / 2, freedom)) * math.sqrt(sum(shares))
    return half, f"{len(first)} and {len(second)} repeats"


def _is_better(name: str, first: float, second: float) -> bool | None:
    if first == second:
        return None
    if any(word in name for word in _HIGHER_IS_BETTER):
        return second > first
    return second < first if any(word in name for word in _LOWER_IS_BETTER) else None


def _without(report: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in names}


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)


def _changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    leaves = [dict(_leaves({key: report[key] for key in _ABOUT if key in report}, "")) for report in (first, second)]
    for name in dict.fromkeys([*leaves[0], *leaves[1]]):
        a, b = (side.get(name) for side in leaves)
        if a != b:
            yield name, a, b


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
