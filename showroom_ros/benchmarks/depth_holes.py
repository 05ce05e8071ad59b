"""``showroom benchmark depth_holes``: holes of a depth camera filled, judged where depth was measured and held out.

Of every ``STRIDE``-th frame discs of 10 to 60 pixels (at 640 of width) are taken out of the measured depth until
``SHARE`` of it is gone, with a seed; the holes the camera left itself stay, and are not judged. ``mae_m_ours`` is the
network of this package, the others are learning-free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.scene_geometry import OURS, models_of
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row

RECORDING = Path("../shared/data/redkitchen")
METHODS = ("small", "planes", "nearest", "diffusion", "opencv_ns", "opencv_telea")
STRIDE = 20
SHARE = 0.2
_RADII_PX = 10.0, 60.0

Say = Callable[[str], None]


def run(
    data: Path | None = None,
    methods: Sequence[str] = METHODS,
    device: str = "cpu",
    *,
    stride: int = STRIDE,
    seed: int = 0,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Judges every method on the same held-out pixels.

    Args:
        data: a recording with colour and registered depth; None = RedKitchen where it lies beside the repository.
        methods: as ``scene_geometry.run`` takes them.
        device: where networks live.
        stride: every so many frames one is judged.
        seed: of what is held out.
        say: told what is done next.

    Raises:
        InputError: an unknown method, or no frame with depth.
        ShowroomError: the recording cannot be used.
    """
    made, missing = models_of(methods, device)
    sequence = open_sequence(data or RECORDING)
    errors: dict[str, list[float]] = {name: [] for name in made}
    for index in range(0, len(sequence), stride):
        try:
            view = sequence[index]
            truth = view.require_depth()
        except ShowroomError:
            continue
        kept = held_out(truth, np.random.default_rng([seed, index]))
        judged = np.isfinite(truth) & ~np.isfinite(kept)
        if not judged.any() or not np.isfinite(kept).any():
            continue
        say(f"frame {index}")
        for name, model in made.items():
            filled = model(view.image, kept.copy(), view.camera)
            errors[name].append(float(np.abs(filled[judged].astype(np.float64) - truth[judged]).mean()))
    frames = len(next(iter(errors.values())))
    if not frames:
        raise InputError(f"{data or RECORDING}: no frame with depth")
    ours = float(np.mean(errors[OURS])) if OURS in errors else None
    rows = []
    for name, values in errors.items():
        value = float(np.mean(values))
        is_ours = name == OURS
        ratio = None if ours is None or is_ours else ours / value
        label = "mae_m_ours" if is_ours else f"mae_m_baseline_{name}"
        rows.append(Row(label, value, "m", reference=ours if ratio else None, ratio=ratio))
    about: dict[str, Any] = {
        "data": str(data or RECORDING), "frames": frames, "stride": stride, "share": SHARE, "seed": seed,
        "missing": missing,
    }  # fmt: skip
    return BenchmarkResult("depth_holes", about, rows)


def held_out(depth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Depth float32 [H, W] without ``SHARE`` of its known pixels, in discs.

    Raises:
        InputError: nothing is known.
    """
    known = np.argwhere(np.isfinite(depth))
    if not len(known):
        raise InputError("depth is unknown at every pixel")
    kept, scale = depth.copy(), depth.shape[1] / 640
    row, column = np.mgrid[: depth.shape[0], : depth.shape[1]]
    while np.isfinite(kept).sum() > (1 - SHARE) * len(known):
        y, x = known[rng.integers(len(known))]
        radius = scale * rng.uniform(*_RADII_PX)
        kept[(row - y) ** 2 + (column - x) ** 2 <= radius**2] = np.nan
    return kept
