"""The usual scores of a depth image (Eigen et al. 2014; 1.05 and 1.1 as in Duzceker et al. 2021)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError


@dataclass(frozen=True)
class DepthScores:
    """Scores over the pixels where both depths are known; NaN where there is none.

    Attributes:
        abs_rel: mean ``|d - d*| / d*``.
        abs_diff: mean ``|d - d*|`` in metres.
        sq_rel: mean ``(d - d*)^2 / d*`` in metres.
        rmse: root of the mean ``(d - d*)^2`` in metres.
        delta_1_05, delta_1_1, delta_1_25: share of pixels with ``max(d/d*, d*/d)`` below 1.05, 1.1, 1.25.
        coverage: share of the pixels with true depth where a depth was predicted.
        pixels: pixels compared.
    """

    abs_rel: float
    abs_diff: float
    sq_rel: float
    rmse: float
    delta_1_05: float
    delta_1_1: float
    delta_1_25: float
    coverage: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for NaN."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in dataclasses.asdict(self).items()
        }


def evaluate_depth(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    *,
    min_depth_m: float = 0.1,
    max_depth_m: float = 10.0,
) -> DepthScores:
    """Compares predicted with true planar depth.

    Args:
        predicted: float [H, W] metres; NaN, infinite, zero and negative mean not predicted.
        truth: float [H, W] metres; only pixels within the limits count.
        mask: bool [H, W] pixels to look at; None = all.
        min_depth_m: nearer true depth does not count.
        max_depth_m: farther true depth does not count.

    Raises:
        InputError: shapes differ, or not one pixel has true depth.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or (mask is not None and np.shape(mask) != truth.shape):
        found = f"predicted depth is {predicted.shape}, mask {None if mask is None else np.shape(mask)}"
        raise InputError(f"{found}, true depth {truth.shape}: shapes must be equal")
    known = (truth >= min_depth_m) & (truth <= max_depth_m)
    if mask is not None:
        known &= np.asarray(mask, bool)
    if not known.any():
        raise InputError(f"no pixel has a true depth between {min_depth_m:g} and {max_depth_m:g} m")
    both = known & np.isfinite(predicted) & (predicted > 0)
    if not both.any():
        return DepthScores(*(math.nan,) * 7, 0.0, 0)
    d, t = predicted[both], truth[both]
    gap, ratio = np.abs(d - t), np.maximum(d / t, t / d)
    return DepthScores(
        abs_rel=float(np.mean(gap / t)),
        abs_diff=float(np.mean(gap)),
        sq_rel=float(np.mean(gap**2 / t)),
        rmse=float(np.sqrt(np.mean(gap**2))),
        delta_1_05=float(np.mean(ratio < 1.05)),
        delta_1_1=float(np.mean(ratio < 1.1)),
        delta_1_25=float(np.mean(ratio < 1.25)),
        coverage=float(both.sum() / known.sum()),
        pixels=int(both.sum()),
    )
