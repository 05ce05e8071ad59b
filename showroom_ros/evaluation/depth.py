"""The usual scores of a depth image (Eigen et al. 2014; 1.05 and 1.1 as in Duzceker et al. 2021)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.plain_values import plain


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
        log_rmse: root of the mean ``(ln d - ln d*)^2``.
        delta_1_25_2, delta_1_25_3: as ``delta_1_25``, below 1.25^2 and 1.25^3.
        complete: share of all pixels where a depth was predicted, known or not (Atlas' "complete").
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
    log_rmse: float
    delta_1_25_2: float
    delta_1_25_3: float
    complete: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for NaN."""
        values: dict[str, Any] = plain(dataclasses.asdict(self))
        return values


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
        shapes = f"predicted depth is {predicted.shape}, mask {None if mask is None else np.shape(mask)}"
        raise InputError(f"{shapes}, true depth {truth.shape}: shapes must be equal")
    known = (truth >= min_depth_m) & (truth <= max_depth_m)
    if mask is not None:
        known &= np.asarray(mask, bool)
    if not known.any():
        raise InputError(f"no pixel has a true depth between {min_depth_m:g} and {max_depth_m:g} m")
    found = np.isfinite(predicted) & (predicted > 0)
    both, complete = known & found, float(found.mean())
    if not both.any():
        return DepthScores(*(math.nan,) * 7, 0.0, 0, *(math.nan,) * 3, complete)
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
        log_rmse=float(np.sqrt(np.mean((np.log(d) - np.log(t)) ** 2))),
        delta_1_25_2=float(np.mean(ratio < 1.25**2)),
        delta_1_25_3=float(np.mean(ratio < 1.25**3)),
        complete=complete,
    )


def evaluate_rendered_depth(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], farthest_m: float = 10.0
) -> DepthScores | None:
    """Scores of a mesh's depth rendered into a frame, by the 2D protocol of Atlas, NeuralRecon, VoRTX and IOAR.

    Pixels count where a depth was rendered and ``0 < truth < farthest_m`` (Murez et al. 2020). Mean the frames of
    a scene, then the scenes (``protocol.mean_of``).

    Args:
        predicted: float [H, W] metres; NaN where nothing was rendered.
        truth: float [H, W] metres, NaN or 0 unknown.
        farthest_m: true depth from here on does not count.

    Returns:
        The scores, or None where the frame has no true depth.

    Raises:
        InputError: shapes differ.
    """
    nearest = float(np.nextafter(np.float32(0), np.float32(1)))
    known = (np.asarray(truth) >= nearest) & (np.asarray(truth) < farthest_m)
    if np.shape(predicted) == known.shape and not known.any():
        return None
    return evaluate_depth(predicted, truth, known, min_depth_m=nearest, max_depth_m=farthest_m)
