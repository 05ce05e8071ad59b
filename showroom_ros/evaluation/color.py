"""Do the mesh's colours land where they belong? Judged in frames that were held back from fusion.

The mesh is rendered in each held-back frame and compared with what the camera saw, where both are known
and (if the frame has depth) the rendered depth agrees with the measured one. Such an error is never zero
(exposure, shading, blur of fusion), so two controls go with it: the same error with the image shifted, and
the shift at which the error is least, which is zero pixels when the registration is right.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.plain_values import plain
from showroom_ros.geometry.render import render_mesh
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

_SHIFT_PIXELS = 30_000
"""Pixels per frame that judge a shift."""


@dataclass(frozen=True)
class ColorScores:
    """Colour error of a mesh in held-back frames.

    Attributes:
        mean_error: mean absolute RGB difference in [0, 255].
        median_error: its median over pixels.
        psnr_db: peak signal-to-noise ratio.
        shifted_error: mean error with the image moved by ``control_shift_px`` right and down: must be worse.
        control_shift_px: that shift.
        best_shift_px: (right, down) shift of the image, in whole pixels, with the least mean error, the median
            over the frames: (0, 0) when colours land where they belong.
        coverage: share of the pixels that could be compared.
        views: frames compared.
    """

    mean_error: float
    median_error: float
    psnr_db: float
    shifted_error: float
    control_shift_px: int
    best_shift_px: tuple[float, float]
    coverage: float
    views: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for what is not finite."""
        values: dict[str, Any] = plain(dataclasses.asdict(self))
        return values


def reprojected_color_error(
    mesh: Mesh,
    views: Iterable[View],
    *,
    depth_margin_m: float = 0.05,
    control_shift_px: int = 4,
    search_px: int = 8,
    T_color_error: ArrayLike | None = None,
) -> ColorScores:
    """Compares the mesh's colours with held-back frames.

    Args:
        mesh: coloured mesh, world frame.
        views: posed frames that were not fused.
        depth_margin_m: pixels whose measured depth differs more from the rendered one are left out.
        control_shift_px: shift of the control.
        search_px: shifts up to this are tried for ``best_shift_px``.
        T_color_error: [4, 4] put between colour camera and its pose, to see what a wrong extrinsic does.

    Raises:
        InputError: no views, a view without pose, or no pixel that can be compared.
    """
    errors, shifted, offsets, total, compared = [], [], [], 0, 0
    for view in views:
        pose = view.require_pose() @ (np.eye(4) if T_color_error is None else np.asarray(T_color_error, np.float64))
        render = render_mesh(mesh.vertices, mesh.triangles, view.camera, pose, mesh.colors)
        rows, columns = np.nonzero(
            _comparable(render.depth, view.depth, depth_margin_m, max(control_shift_px, search_px))
        )
        total += render.depth.size
        if not len(rows):
            continue
        compared += len(rows)
        compare = partial(_differences, render.require_rgb(), view.image, rows, columns)
        errors.append(compare(0, 0))
        shifted.append(compare(control_shift_px, control_shift_px))
        step = len(rows) // _SHIFT_PIXELS + 1
        sparse = partial(_differences, render.require_rgb(), view.image, rows[::step], columns[::step])
        offsets.append(_best_shift(sparse, search_px))
    if not errors:
        raise InputError("no pixel of the held-back frames shows the mesh: no views, wrong poses or another frame?")
    everything = np.concatenate(errors)
    mean_square = float(np.mean(everything**2))
    best = np.median(np.array(offsets, float), axis=0)
    return ColorScores(
        mean_error=float(everything.mean()),
        median_error=float(np.median(everything)),
        psnr_db=10 * math.log10(255**2 / mean_square) if mean_square > 0 else math.inf,
        shifted_error=float(np.concatenate(shifted).mean()),
        control_shift_px=control_shift_px,
        best_shift_px=(float(best[0]), float(best[1])),
        coverage=compared / total,
        views=len(errors),
    )


def _comparable(
    rendered: NDArray[np.float32], measured: NDArray[np.float32] | None, margin_m: float, border_px: int
) -> NDArray[np.bool_]:
    """Pixels where the mesh is seen, the measured depth agrees, and a shifted image still reaches."""
    known = np.isfinite(rendered)
    if measured is not None:
        known &= np.abs(rendered - measured) <= margin_m
    inner = np.zeros_like(known)
    height, width = known.shape
    inner[border_px : height - border_px, border_px : width - border_px] = True
    return known & inner


def _differences(
    rendered: NDArray[np.uint8],
    image: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    right: int,
    down: int,
) -> NDArray[np.float32]:
    """Absolute differences [N, 3] at the pixels, with the image moved by whole pixels."""
    return np.abs(rendered[rows, columns].astype(np.float32) - image[rows - down, columns - right].astype(np.float32))


def _best_shift(differences: Callable[[int, int], NDArray[np.float32]], search_px: int) -> tuple[int, int]:
    """The whole-pixel shift of least mean difference: along rows, then along columns, until it stays."""

    def cost(right: int, down: int) -> float:
        return float(differences(right, down).mean())

    span = range(-search_px, search_px + 1)
    right = down = 0
    for _ in range(3):
        before = (right, down)
        right = min(span, key=lambda step, down=down: cost(step, down))  # type: ignore[misc]
        down = min(span, key=lambda step, right=right: cost(right, step))  # type: ignore[misc]
        if (right, down) == before:
            break
    return right, down
