"""Where the colour camera of an RGB-D recording is, from the recording itself.

A point measured by the depth camera has the same brightness in every colour image that sees it, if colour
and depth are registered. The focal length of the colour camera and its offset along x are those that make the
brightness of the same points in pairs of frames agree best. Further parameters (principal point, rotation,
other offsets) are fitted better by one half of RedKitchen and worse by the other, so they are left at their
nominal values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg, transform_points
from showroom_ros.scene.view import SensorFrame, Sequence

_BLUR_PIXELS = 2.0
_POINTS_PER_PAIR = 1000
_MIN_POINTS = 200
_PARTNERS = 5
_MARGIN = 40
_SAME_SURFACE_M = 0.02
_MAX_DEPTH_M = 3.5
_MAX_JUMP_M = 0.3
_ROBUST_GREY = 8.0
_OFFSETS_M = np.linspace(-0.06, 0.06, 13)


@dataclass(frozen=True, eq=False)
class _Frame:
    """Blurred grey image, depth and depth-camera pose of one frame."""

    grey: NDArray[np.float32]
    depth: NDArray[np.float32]
    T_world_depth: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Pair:
    """The same points [N, 3] in the depth-camera frames of two frames."""

    first: _Frame
    second: _Frame
    points_first: NDArray[np.float64]
    points_second: NDArray[np.float64]


def calibrate_depth_to_color(sequence: Sequence, *, step: int = 6, seed: int = 0) -> dict[str, float]:
    """Focal length of the colour camera and its offset along x from the depth camera.

    Run on the whole RedKitchen recording by
    ``python -c "from showroom_ros.datasets import calibration, open; print(calibration.calibrate_depth_to_color(
    open.open_sequence('../shared/data/redkitchen')))"``.

    Args:
        sequence: posed frames with unregistered depth, taken from many sides.
        step: only every so many frames are used.
        seed: choice of pairs and points.

    Returns:
        ``focal_px``, ``offset_x_m`` (x of ``T_color_depth``), the same for both halves of the recording
        (``..._first_half``, ``..._second_half``), mean absolute grey difference before and after
        (``difference_before`` with zero offset and the nominal focal length), ``pairs``, ``points``.

    Raises:
        DatasetError: no depth or poses, or too few frames that see the same surface.
    """
    first = sequence.frame(0)
    camera, depth_camera = first.color_camera, first.depth_camera or first.color_camera
    frames = [_prepare(sequence.frame(index), index) for index in range(0, len(sequence), step)]
    pairs = _pairs(frames, depth_camera, np.random.default_rng(seed))
    if len(pairs) < 4:
        raise DatasetError(f"{sequence.name}: {len(pairs)} pairs of frames see the same surface, expected at least 4")
    result = {
        "difference_before": float(np.mean(np.abs(_differences(pairs, camera, 0.0)))),
        "pairs": float(len(pairs)),
        "points": float(sum(len(pair.points_first) for pair in pairs)),
    }
    middle = len(pairs) // 2
    for suffix, part in (("", pairs), ("_first_half", pairs[:middle]), ("_second_half", pairs[middle:])):
        focal, offset = _fit(part, camera)
        result |= {f"focal_px{suffix}": focal, f"offset_x_m{suffix}": offset}
    fitted = replace(camera, fx=result["focal_px"], fy=result["focal_px"])
    result["difference_after"] = float(np.mean(np.abs(_differences(pairs, fitted, result["offset_x_m"]))))
    return result


def _prepare(frame: SensorFrame, index: int) -> _Frame:
    if frame.depth is None or frame.T_world_camera is None:
        raise DatasetError(f"frame {index} lacks depth or pose, calibration needs both")
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    T_color_depth = np.eye(4) if frame.T_color_depth is None else frame.T_color_depth
    blurred = np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR_PIXELS), np.float32)
    return _Frame(blurred, frame.depth, frame.T_world_camera @ T_color_depth)


def _pairs(frames: list[_Frame], camera: Camera, rng: np.random.Generator) -> list[_Pair]:
    """Frames that see the same surface from clearly different sides, with points on it."""
    pairs = []
    for first in frames:
        points = _textured_points(first, camera, rng)
        found = 0
        for index in rng.permutation(len(frames)):
            if found == _PARTNERS or len(points) < _MIN_POINTS:
                break
            second = frames[index]
            T_second_first = inverse(second.T_world_depth) @ first.T_world_depth
            angle_deg = rotation_angle_deg(np.eye(4), T_second_first)
            if angle_deg > 60 or (angle_deg < 8 and np.linalg.norm(T_second_first[:3, 3]) < 0.25):
                continue
            moved = transform_points(T_second_first, points)
            seen = _is_seen(moved, second, camera)
            if seen.sum() >= _MIN_POINTS:
                pairs.append(_Pair(first, second, points[seen], moved[seen]))
                found += 1
    return pairs


def _textured_points(frame: _Frame, camera: Camera, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points [N, 3] on smooth surface (no depth edge near) where brightness changes."""
    filled = np.nan_to_num(frame.depth, nan=99.0)
    jump = np.maximum(np.abs(cv2.Sobel(filled, cv2.CV_32F, 1, 0)), np.abs(cv2.Sobel(filled, cv2.CV_32F, 0, 1)))
    texture = np.hypot(cv2.Sobel(frame.grey, cv2.CV_32F, 1, 0), cv2.Sobel(frame.grey, cv2.CV_32F, 0, 1))
    smooth = (cv2.dilate(jump, np.ones((9, 9))) < _MAX_JUMP_M) & (frame.depth < _MAX_DEPTH_M)
    chosen = smooth & (texture > np.percentile(texture, 60))
    inside = np.zeros_like(chosen)
    inside[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    rows, columns = np.nonzero(chosen & inside)
    sample = rng.permutation(len(rows))[:_POINTS_PER_PAIR]
    v, u = rows[sample], columns[sample]
    z = frame.depth[v, u].astype(np.float64)
    return np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=1)


def _is_seen(points: NDArray[np.float64], frame: _Frame, camera: Camera) -> NDArray[np.bool_]:
    """Which points lie on the surface that ``frame`` measured, away from its margin."""
    pixels, z = camera.without_distortion().project(points)
    low, high = (_MARGIN, _MARGIN), (camera.width - _MARGIN, camera.height - _MARGIN)
    seen = (z > 0.3) & np.all((pixels > low) & (pixels < high), axis=1)
    columns, rows = np.rint(pixels[seen]).astype(int).T
    seen[seen] = np.abs(frame.depth[rows, columns] - z[seen]) < _SAME_SURFACE_M
    return seen


def _differences(pairs: list[_Pair], camera: Camera, offset_x_m: float) -> NDArray[np.float64]:
    """Differences of brightness of all pairs' points, each pair's exposure (median) taken out."""
    values = []
    for pair in pairs:
        first = _brightness(pair.first, pair.points_first, camera, offset_x_m)
        second = _brightness(pair.second, pair.points_second, camera, offset_x_m)
        values.append(first - second - np.median(first - second))
    return np.concatenate(values)


def _brightness(frame: _Frame, points: NDArray[np.float64], camera: Camera, offset_x_m: float) -> NDArray[np.float64]:
    pixels = camera.project(points + np.array([offset_x_m, 0.0, 0.0]))[0].astype(np.float32)
    maps = np.ascontiguousarray(pixels[None, :, 0]), np.ascontiguousarray(pixels[None, :, 1])
    sampled = cv2.remap(frame.grey, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled[0], np.float64)


def _fit(pairs: list[_Pair], camera: Camera) -> tuple[float, float]:
    """Focal length and offset with the least robust difference, starting from the best of ``_OFFSETS_M``."""

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        focal = camera.fx + float(parameters[0])
        return _differences(pairs, replace(camera, fx=focal, fy=focal), float(parameters[1]) * 1e-3)

    costs = [
        np.mean(np.minimum(np.abs(_differences(pairs, camera, offset)), 5 * _ROBUST_GREY)) for offset in _OFFSETS_M
    ]
    start = np.array([0.0, 1e3 * _OFFSETS_M[int(np.argmin(costs))]])
    # steps of half a pixel and half a millimetre: image noise makes smaller ones meaningless
    solution = least_squares(
        residuals, start, loss="huber", f_scale=_ROBUST_GREY, jac=_jacobian(residuals), max_nfev=40
    )
    return camera.fx + float(solution.x[0]), float(solution.x[1]) * 1e-3


Residuals = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _jacobian(residuals: Residuals) -> Residuals:
    def central(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = 0.5 * np.eye(len(parameters))
        columns = [residuals(parameters + step) - residuals(parameters - step) for step in steps]
        return np.stack(columns, axis=1)

    return central
