"""Any posed RGB-D ``Sequence`` as a folder in the layout of the TUM RGB-D benchmark."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.tum import CALIBRATION_FILE, DEPTH_UNITS_PER_METRE
from showroom_ros.errors import InputError, OutputError
from showroom_ros.geometry.se3 import quat_from_rotation, quat_xyzw_from_wxyz
from showroom_ros.scene.view import Sequence, View


def write_tum(
    sequence: Sequence,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes ``rgb/``, ``depth/``, ``rgb.txt``, ``depth.txt``, ``groundtruth.txt`` and ``calibration.txt``.

    Images are undistorted and depth is registered, in steps of 0.2 mm up to 13.1 m; what is farther or unknown
    is 0. The folder is there when all of it is written, or not at all.

    Args:
        sequence: with poses; depth may be missing.
        out: folder to make.
        overwrite: replace a folder of that name.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: no frames, a frame without pose, or cameras that differ.
        OutputError: the path is taken, or cannot be written.
    """
    out = Path(out)
    if not len(sequence):
        raise InputError(f"{sequence.name} has no frames")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: is there already, expected a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            _fill(sequence, folder, progress)
            shutil.rmtree(out, ignore_errors=True)
            os.chmod(folder, 0o755)
            os.replace(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}") from error


def _fill(sequence: Sequence, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    lists: dict[str, list[str]] = {"rgb": ["# timestamp filename"], "depth": ["# timestamp filename"]}
    poses = ["# timestamp tx ty tz qx qy qz qw"]
    for kind in lists:
        (folder / kind).mkdir()
    first: View | None = None
    for index in range(len(sequence)):
        view = sequence[index]
        first = first or view
        if view.camera != first.camera:
            raise InputError(f"{sequence.name}: frame {index} has another camera than frame 0, expected one camera")
        stamp = f"{view.stamp_ns // 10**9}.{view.stamp_ns % 10**9:09d}"
        planes: dict[str, NDArray] = {"rgb": cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR)}
        if view.depth is not None:
            planes["depth"] = _units(view.depth)
        for kind, plane in planes.items():
            if not cv2.imwrite(str(folder / kind / f"{stamp}.png"), plane):
                raise OutputError(f"{folder / kind / stamp}.png: cannot be written")
            lists[kind].append(f"{stamp} {kind}/{stamp}.png")
        pose = view.require_pose()
        numbers = [*pose[:3, 3], *quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))]
        poses.append(stamp + "".join(f" {number:.9f}" for number in numbers))
        if progress is not None:
            progress(index + 1, len(sequence))
    if first is not None:
        camera = first.camera
        values = (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
        _write(folder / CALIBRATION_FILE, ["# width height fx fy cx cy", " ".join(repr(value) for value in values)])
    for kind, lines in lists.items():
        if len(lines) > 1:
            _write(folder / f"{kind}.txt", lines)
    _write(folder / "groundtruth.txt", poses)


def _units(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    units = np.nan_to_num(depth.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) * DEPTH_UNITS_PER_METRE
    return np.where(units <= 65535, np.round(units), 0).astype(np.uint16)


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
