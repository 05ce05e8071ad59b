"""The lenses of Hypersim: a standard one for most scenes, tilted and shifted ones for some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import rq

from showroom_ros.datasets.files import read_csv
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera

WIDTH, HEIGHT = 1024, 768
FOCAL_PX = WIDTH / 2 / np.tan(np.pi / 6)
"""886.81 pixels: 60 degrees from the left edge to the right."""

_WIDTH, _HEIGHT = "settings_output_img_width", "settings_output_img_height"
_MATRIX = tuple(f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3))
_MOST_SKEW = 1e-3
"""Largest ratio of skew to focal length that is rounding."""


@dataclass(frozen=True, eq=False)
class Lens:
    """A pinhole camera that takes the pictures, and how it stands in the camera frame of the trajectory.

    Attributes:
        camera: the pinhole; its principal point is off the middle for shifted lenses.
        T_camera_pinhole: float64 [4, 4], a rotation; not the identity for tilted lenses.
    """

    camera: Camera
    T_camera_pinhole: NDArray[np.float64]


STANDARD_LENS = Lens(
    Camera(WIDTH, HEIGHT, FOCAL_PX, FOCAL_PX, (WIDTH - 1) / 2, (HEIGHT - 1) / 2),
    np.eye(4),
)


def lens_of_scene(path: Path, scene: str) -> Lens:
    """The lens of a scene as ``metadata_camera_parameters.csv`` states it; the standard lens where it is absent.

    Raises:
        DatasetError: the file does not name the scene, is broken, or states a lens that is no pinhole.
    """
    if not path.is_file():
        return STANDARD_LENS
    for row in read_csv(path, ("scene_name", _WIDTH, _HEIGHT, *_MATRIX)):
        if row["scene_name"] == scene:
            try:
                matrix = np.reshape([float(row[name]) for name in _MATRIX], (3, 3))
                return lens_from_uv(matrix, int(float(row[_WIDTH])), int(float(row[_HEIGHT])))
            except ValueError as error:
                raise DatasetError(f"{path}, scene {scene}: {error}, expected numbers") from error
            except DatasetError as error:
                raise DatasetError(f"{path}, scene {scene}: {error}") from error
    raise DatasetError(f"{path}: does not name scene {scene}")


def lens_from_uv(matrix: NDArray[np.float64], width: int, height: int) -> Lens:
    """The pinhole camera of a matrix [3, 3] that maps (u, v, 1) to rays of the OpenGL camera frame.

    u goes from -1 at the left edge of the image to 1 at the right, v from -1 at the bottom to 1 at the top. Its
    inverse, in pixels and OpenCV axes, is K R (RQ decomposition): intrinsics K after a rotation R, which is that of
    a tilted lens.

    Raises:
        DatasetError: the matrix is singular, or K has skew: no pinhole with square angles.
    """
    uv_from_pixel = np.array([[2 / width, 0, 1 / width - 1], [0, -2 / height, 1 - 1 / height], [0, 0, 1]])
    ray_from_pixel = np.diag([1.0, -1.0, -1.0]) @ matrix @ uv_from_pixel
    if not np.isfinite(matrix).all() or np.linalg.cond(ray_from_pixel) > 1e9:
        raise DatasetError(f"M_cam_from_uv is singular or not finite: {matrix.tolist()}")
    k, rotation = rq(np.linalg.inv(ray_from_pixel))
    signs = np.diag(np.sign(np.diag(k)))
    k, rotation = k @ signs, signs @ rotation
    if np.linalg.det(rotation) < 0:
        raise DatasetError(f"M_cam_from_uv mirrors the image: {matrix.tolist()}")
    k /= k[2, 2]
    if abs(k[0, 1]) > _MOST_SKEW * k[0, 0]:
        raise DatasetError(f"the projection is not standard: its pixels are skewed by {k[0, 1] / k[0, 0]:.3g}")
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    return Lens(Camera(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2]), pose)
