"""Camera poses of unposed photos, without learning: by an incremental method of our own, or by COLMAP."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import showroom_ros
from showroom_ros.errors import InputError, MissingDependencyError, ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction import pycolmap_process
from showroom_ros.reconstruction.incremental_sfm import incremental_sfm

ENGINES = ("auto", "pycolmap", "opencv")

_MANY = 30
"""Images from which on comparing every pair takes longer than COLMAP; up to 20 it places no more of them."""
_LOG_LINES = 15
_UNKNOWN_FOCAL = 1.2
"""Of a camera nobody knows, as a share of the longer side; where it could not be found, it stays so."""


@dataclass(frozen=True, eq=False)
class StructureFromMotion:
    """Photos placed in a world of arbitrary scale.

    That many are registered is no success by itself: a wrong model may hold all of them.

    Attributes:
        T_world_camera: float64 [N, 4, 4]; NaN rows: not registered.
        cameras: pinhole, one per image, of the image's size.
        points: float64 [P, 3], world.
        tracks_px: mean reprojection error of the points' sightings in pixels; NaN where there are none.
        registered: how many images have a pose.
        engine: what found it, "pycolmap" or "opencv".
    """

    T_world_camera: NDArray[np.float64]
    cameras: list[Camera]
    points: NDArray[np.float64]
    tracks_px: float
    registered: int
    engine: str


def structure_from_motion(
    images: Sequence[NDArray[np.uint8]],
    cameras: Sequence[Camera] | None = None,
    *,
    engine: str = "auto",
    seed: int = 0,
    timeout_s: float = 1800.0,
) -> StructureFromMotion:
    """Finds where photos were taken from, relative to each other.

    Intrinsics that are given are kept. Otherwise images of one size share a focal length that is found too; pixels are
    square and the principal point is the middle.

    Args:
        images: uint8 [H, W, 3] RGB, at least 2.
        cameras: undistorted, one per image; None = unknown.
        engine: "opencv" (same seed, same result), "pycolmap" (its runs differ), "auto" = pycolmap for more than
            30 images where it is installed, else opencv.
        seed: of the random samples, not negative.
        timeout_s: pycolmap's process is ended after so many seconds.

    Raises:
        InputError: fewer than 2 images, an image or camera of another form, an unknown engine.
        MissingDependencyError: pycolmap was asked for and is not installed.
        ShowroomError: pycolmap's process failed or took too long; with the end of its log.
    """
    given = _checked(images, cameras, seed)
    if engine not in ENGINES:
        raise InputError(f"engine is '{engine}', expected one of {', '.join(ENGINES)}")
    if engine == "pycolmap" and not has_pycolmap():
        raise MissingDependencyError("pycolmap is not installed: pip install 'showroom_ros[sfm]'")
    if engine == "pycolmap" or (engine == "auto" and len(images) > _MANY and has_pycolmap()):
        return _by_pycolmap(images, given, cameras is not None, seed, timeout_s)
    found = incremental_sfm(images, given, focal_known=cameras is not None, seed=seed)
    focals = zip(given, found.focal, strict=True)
    refined = [replace(camera, fx=float(fx), fy=float(fy)) for camera, (fx, fy) in focals]
    return StructureFromMotion(found.T_world_camera, refined, found.points, found.error_px, found.registered, "opencv")


def has_pycolmap() -> bool:
    """Whether pycolmap is installed; it is not imported."""
    return importlib.util.find_spec("pycolmap") is not None


def _checked(images: Sequence[NDArray[np.uint8]], cameras: Sequence[Camera] | None, seed: int) -> list[Camera]:
    """A camera for each image: the one given, or a guess."""
    if len(images) < 2:
        raise InputError(f"{len(images)} images, expected at least 2")
    if seed < 0:
        raise InputError(f"seed is {seed}, expected 0 or more")
    for number, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(f"image {number} is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    if cameras is None:
        return [_guessed(*image.shape[1::-1]) for image in images]
    if len(cameras) != len(images):
        raise InputError(f"{len(cameras)} cameras and {len(images)} images, expected as many")
    for number, (camera, image) in enumerate(zip(cameras, images, strict=True)):
        if (camera.height, camera.width) != image.shape[:2]:
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise InputError(f"image {number} is {size}, its camera {camera.width}x{camera.height}")
        if camera.is_distorted:
            raise InputError(f"camera {number} has a lens ({camera.distortion_model}), expected undistorted images")
    return [camera.without_distortion() for camera in cameras]


def _guessed(width: int, height: int) -> Camera:
    focal = _UNKNOWN_FOCAL * max(width, height)
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _by_pycolmap(
    images: Sequence[NDArray[np.uint8]], cameras: list[Camera], known: bool, seed: int, timeout_s: float
) -> StructureFromMotion:
    """Photos of one camera go into one folder; the rest is the process's."""
    kinds = sorted(set(cameras), key=cameras.index)
    names = [f"{kinds.index(camera)}/{number:05d}.png" for number, camera in enumerate(cameras)]
    folders = {str(n): [c.fx, c.fy, c.cx + 0.5, c.cy + 0.5] if known else None for n, c in enumerate(kinds)}
    with tempfile.TemporaryDirectory(prefix="showroom_sfm_") as name:
        folder = Path(name)
        for image_name, image in zip(names, images, strict=True):
            file = folder / "images" / image_name
            file.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(file), np.ascontiguousarray(image[:, :, ::-1])):
                raise ShowroomError(f"{file}: cannot be written")
        job = folder / "job.json"
        job.write_text(json.dumps({"images": names, "folders": folders, "seed": seed}), encoding="utf-8")
        _run_process(job, timeout_s)
        try:
            with np.load(folder / pycolmap_process.RESULT) as stored:
                found = {key: stored[key] for key in stored.files}
        except (OSError, ValueError) as error:
            raise ShowroomError(f"pycolmap's process left no result: {error}") from error
    refined = [_camera(camera, row) for camera, row in zip(cameras, found["intrinsics"], strict=True)]
    registered = int(np.isfinite(found["poses"][:, 0, 0]).sum())
    return StructureFromMotion(
        found["poses"], refined, found["points"], float(found["error_px"]), registered, "pycolmap"
    )


def _camera(guess: Camera, row: NDArray[np.float64]) -> Camera:
    """Intrinsics found, from COLMAP's pixels to ours."""
    if not np.isfinite(row).all():
        return guess
    fx, fy, cx, cy = (float(value) for value in row)
    return replace(guess, fx=fx, fy=fy, cx=cx - 0.5, cy=cy - 0.5)


def _run_process(job: Path, timeout_s: float) -> None:
    root = str(Path(showroom_ros.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", pycolmap_process.__name__, str(job)]
    log = job.with_suffix(".log")
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, timeout=timeout_s, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise ShowroomError(f"pycolmap took longer than {timeout_s:g} s; {_tail(log)}") from error
    except OSError as error:
        raise ShowroomError(f"pycolmap's process cannot be started: {error}") from error
    if done.returncode:
        raise ShowroomError(f"pycolmap's process ended with {done.returncode}; {_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return "the end of its log:\n" + "\n".join(lines)
