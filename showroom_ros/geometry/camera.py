"""The pinhole camera with the three lens models of ``sensor_msgs/CameraInfo``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError

DISTORTION_SIZES: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
"""Lens models and the lengths their coefficient lists may have."""

_NEWTON_STEPS = 20
_FARTHEST = 100.0
"""Normalised coordinate (89.4 degrees off the axis) beyond which an iteration has run away."""


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics, image size and lens distortion.

    The centre of the top left pixel is (0, 0), as in OpenCV and ``CameraInfo``.

    Attributes:
        width, height: image size in pixels.
        fx, fy, cx, cy: focal lengths and principal point in pixels.
        distortion_model: ``none``, ``plumb_bob`` (k1 k2 p1 p2 [k3]), ``rational_polynomial``
            (k1 k2 p1 p2 k3 k4 k5 k6 [s1..s4 [tx ty]]; only zero tilt tx ty) or ``equidistant``
            (k1 k2 k3 k4, Kannala and Brandt 2006).
        distortion: the coefficients in that order.

    Raises:
        InputError: on construction, naming the field, for sizes or focal lengths that are not
            positive, values that are not finite, or an unknown or misfit lens model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "none"
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks every field."""
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"camera size is {self.width}x{self.height}, expected positive pixels")
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not np.isfinite(value) or (name in ("fx", "fy") and value <= 0):
                expected = "a positive number" if name in ("fx", "fy") else "a finite number"
                raise InputError(f"camera {name} is {value}, expected {expected} of pixels")
        sizes = DISTORTION_SIZES.get(self.distortion_model)
        if sizes is None:
            raise InputError(
                f"distortion model '{self.distortion_model}' is unknown, expected one of {sorted(DISTORTION_SIZES)}"
            )
        if len(self.distortion) not in sizes:
            raise InputError(
                f"distortion model '{self.distortion_model}' has {len(self.distortion)} coefficients, "
                f"expected {' or '.join(map(str, sizes))}"
            )
        if not np.isfinite(self.distortion).all():
            raise InputError(f"distortion coefficients are not finite: {self.distortion}")
        if len(self.distortion) == 14 and any(self.distortion[12:]):
            raise InputError(f"tilted sensors are not supported: tx, ty = {self.distortion[12:]}, expected 0, 0")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, float64 [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether any lens coefficient is not zero (an equidistant lens always is)."""
        return self.distortion_model == "equidistant" or any(self.distortion)

    def without_distortion(self) -> Camera:
        """The ideal pinhole camera with the same intrinsics and size."""
        return replace(self, distortion_model="none", distortion=())

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the image resized to ``width`` x ``height`` (pixel areas, half-pixel exact)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def of_width(self, width: int) -> Camera:
        """The camera of the image resized to ``width`` pixels across, its height in proportion and at least 8."""
        return self.scaled(width, max(8, round(self.height / self.width * width)))

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of ``image[top:top + height, left:left + width]``.

        Raises:
            InputError: the window is not inside the image.
        """
        if left < 0 or top < 0 or left + width > self.width or top + height > self.height:
            raise InputError(f"crop {width}x{height}+{left}+{top} is not inside {self.width}x{self.height}")
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def distort(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Maps ideal normalised coordinates [..., 2] (x/z, y/z) to those the lens makes of them."""
        xy = np.asarray(xy, np.float64)
        if not self.is_distorted:
            return xy.copy()
        x, y = xy[..., 0], xy[..., 1]
        if self.distortion_model == "equidistant":
            radius = np.hypot(x, y)
            theta = np.arctan(radius)
            k1, k2, k3, k4 = self.distortion
            t2 = theta * theta
            bent = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
            ratio = np.where(radius > 1e-12, bent / np.where(radius > 1e-12, radius, 1.0), 1.0)
            return xy * ratio[..., None]
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (*self.distortion, *([0.0] * 12))[:12]
        r2 = x * x + y * y
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        xy2 = 2 * x * y
        return np.stack(
            [
                x * radial + p1 * xy2 + p2 * (r2 + 2 * x * x) + s1 * r2 + s2 * r2 * r2,
                y * radial + p1 * (r2 + 2 * y * y) + p2 * xy2 + s3 * r2 + s4 * r2 * r2,
            ],
            axis=-1,
        )

    def undistort(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Inverse of ``distort`` for [..., 2], by fixed-point iteration; NaN where it does not converge."""
        xy = np.asarray(xy, np.float64)
        if not self.is_distorted:
            return xy.copy()
        if self.distortion_model == "equidistant":
            return self._undistort_equidistant(xy)
        ideal = xy.copy()
        for _ in range(_NEWTON_STEPS):
            ideal = ideal + (xy - self.distort(ideal))
            ideal[np.abs(ideal).max(axis=-1) > _FARTHEST] = np.nan
        converged = np.abs(self.distort(ideal) - xy).max(axis=-1) <= 1e-4
        return np.where(converged[..., None], ideal, np.nan)

    def _undistort_equidistant(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        k1, k2, k3, k4 = self.distortion
        bent = np.hypot(xy[..., 0], xy[..., 1])
        theta = bent.copy()
        for _ in range(_NEWTON_STEPS):
            t2 = theta * theta
            value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) - bent
            slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
            theta = theta - value / np.where(np.abs(slope) > 1e-9, slope, 1e-9)
        valid = (theta >= 0) & (theta < np.pi / 2 - 1e-3)
        ratio = np.where(bent > 1e-12, np.tan(np.where(valid, theta, 0)) / np.where(bent > 1e-12, bent, 1.0), 1.0)
        return np.where(valid[..., None], xy * ratio[..., None], np.nan)

    def project(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (u, v) [..., 2] and depths z [...] of camera-frame points [..., 3]; NaN pixels for z <= 0."""
        points = np.asarray(points, np.float64)
        z = points[..., 2]
        safe = np.where(z > 0, z, np.nan)
        xy = self.distort(points[..., :2] / safe[..., None])
        return np.stack([xy[..., 0] * self.fx + self.cx, xy[..., 1] * self.fy + self.cy], axis=-1), z

    def rays(self) -> NDArray[np.float64]:
        """Viewing rays of all pixels with z = 1, float64 [H, W, 3], camera frame."""
        v, u = np.mgrid[: self.height, : self.width].astype(np.float64)
        xy = self.undistort(np.stack([(u - self.cx) / self.fx, (v - self.cy) / self.fy], axis=-1))
        return np.concatenate([xy, np.ones((*xy.shape[:2], 1))], axis=-1)

    def back_project(self, depth: ArrayLike) -> NDArray[np.float64]:
        """Camera-frame points [H, W, 3] of planar depth [H, W] in metres; NaN stays NaN."""
        depth = np.asarray(depth)
        if depth.shape != (self.height, self.width):
            raise InputError(f"depth is {depth.shape[::-1]}, camera is {self.width}x{self.height}")
        return self.rays() * depth[..., None]

    def undistort_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """For each pixel of the ideal camera, where to sample the distorted image: map_x, map_y [H, W].

        Made for ``cv2.remap``; the ideal camera is ``without_distortion()``.
        """
        xy = self.distort(self.without_distortion().rays()[..., :2])
        return (
            (xy[..., 0] * self.fx + self.cx).astype(np.float32),
            (xy[..., 1] * self.fy + self.cy).astype(np.float32),
        )


def assumed_camera(width: int, height: int, horizontal_fov_deg: float = 60.0) -> Camera:
    """A camera for images whose intrinsics nobody knows: square pixels, the axis through the middle, no distortion.

    An assumption, not a calibration: what is measured with it has the wrong scale and bends by as much as the
    field of view is off (phones 55 to 70 degrees, Kinects 57 to 63).

    Args:
        width: image width in pixels.
        height: image height in pixels.
        horizontal_fov_deg: angle in degrees between the left edge of the image and the right.

    Raises:
        InputError: a size that is not positive, or an angle outside (0, 180).
    """
    if not 0 < horizontal_fov_deg < 180:
        raise InputError(f"horizontal field of view is {horizontal_fov_deg} degrees, expected one in (0, 180)")
    focal = width / (2 * np.tan(np.radians(horizontal_fov_deg) / 2))
    return Camera(width, height, float(focal), float(focal), (width - 1) / 2, (height - 1) / 2)
