"""What a real camera makes of a perfect image: structured-light depth noise and holes, colour noise.

Everything is torch and runs on the device of its input; every random number comes from the generator
that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera


@dataclass(frozen=True)
class DepthSensor:
    """A structured-light depth camera.

    Attributes:
        min_m, max_m: range; nothing is measured outside.
        axial: whether depth has axial noise of the deviation in ``axial_sigma_m``.
        lateral_px: deviation of the pixel a depth is read from (edges fray).
        baseline_m: from camera to projector, which lies to the right; makes shadows. 0 = none.
        disparity_step_px: quantum of the disparity; 0 = none.
        bleed_px: how far the nearer side of an edge may bleed over the farther one (the matching window).
        edge_loss: probability that a pixel at a depth discontinuity is lost.
        grazing_deg: surface steeper than this to the ray begins to be lost.
        dropout: fraction of pixels lost in specks.
    """

    min_m: float = 0.3
    max_m: float = 5.0
    axial: bool = True
    lateral_px: float = 0.5
    baseline_m: float = 0.075
    disparity_step_px: float = 0.125
    bleed_px: int = 0
    edge_loss: float = 0.7
    grazing_deg: float = 76.0
    dropout: float = 0.004

    def __post_init__(self) -> None:
        """Checks ranges."""
        if not 0 < self.min_m < self.max_m:
            raise InputError(f"depth range is {self.min_m} to {self.max_m} m, expected 0 < min_m < max_m")
        for name in ("lateral_px", "baseline_m", "disparity_step_px", "bleed_px"):
            if not getattr(self, name) >= 0:
                raise InputError(f"depth sensor {name} is {getattr(self, name)}, expected 0 or more")
        for name in ("edge_loss", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"depth sensor {name} is {getattr(self, name)}, expected 0 to 1")

    def measure(self, depth: Tensor, cosine: Tensor, fx: float, generator: Generator) -> Tensor:
        """Depth as the sensor reports it, float32 [H, W], NaN where it sees nothing.

        Args:
            depth: float32 [H, W], exact planar depth in metres.
            cosine: float32 [H, W], of the angle between surface normal and ray.
            fx: focal length in pixels.
            generator: source of randomness, on the device of ``depth``.
        """
        lost = self._lost(depth, cosine, fx, generator)
        if self.bleed_px:
            depth = _bled(depth, self.bleed_px, generator)
        sigma = axial_sigma_m(depth, cosine) if self.axial else torch.zeros_like(depth)
        source = _frayed(depth.shape, self.lateral_px, depth.device, generator)
        z, sigma, lost = (plane.take(source) for plane in (depth, sigma, lost))
        z = z + sigma * _coarse_normal(z, generator)
        if self.disparity_step_px and self.baseline_m:
            unit = fx * self.baseline_m / self.disparity_step_px
            z = unit / torch.round(unit / z.clamp(min=1e-3)).clamp(min=1)
        lost |= ~((z >= self.min_m) & (z <= self.max_m))
        return torch.where(lost, torch.nan, z)

    def _lost(self, depth: Tensor, cosine: Tensor, fx: float, generator: Generator) -> Tensor:
        chance = torch.rand(depth.shape, generator=generator, device=depth.device)
        steepest = torch.cos(torch.deg2rad(torch.tensor(self.grazing_deg, device=depth.device)))
        lost = depth.isnan() | (cosine < steepest * (0.3 + 0.7 * chance))
        lost |= _discontinuity(depth) & (chance < self.edge_loss)
        if self.baseline_m:
            lost |= projector_shadow(depth, fx * self.baseline_m)
        return lost | _specks(depth.shape, self.dropout, depth.device, generator)


def axial_sigma_m(depth: Tensor, cosine: Tensor) -> Tensor:
    """Deviation of a Kinect's depth in metres (Nguyen, Izadi and Lovell, 2012, eqs. 1-2).

    ``0.0012 + 0.0019 (z - 0.4)^2``, plus ``0.0001 / sqrt(z) * theta^2 / (pi/2 - theta)^2`` for surface
    turned by ``theta`` from the ray; theta is capped at 80 degrees.
    """
    theta = torch.arccos(cosine.clamp(0.1736, 1.0))
    turned = (theta / (torch.pi / 2 - theta)) ** 2
    return 0.0012 + 0.0019 * (depth - 0.4) ** 2 + 0.0001 * turned / depth.clamp(min=0.1).sqrt()


def projector_shadow(depth: Tensor, focal_baseline: float) -> Tensor:
    """Pixels the projector cannot reach, bool [H, W].

    The projector, to the right, sees pixel u at ``u - focal_baseline / z``; it sees the surface of a
    pixel only if none of the pixels right of it lands left of that (``focal_baseline`` in px m).
    """
    column = torch.arange(depth.shape[1], dtype=torch.float32, device=depth.device)
    seen_at = (column - focal_baseline / depth).nan_to_num(torch.inf)
    nearest_right = torch.cummin(seen_at.flip(1), dim=1).values.flip(1)
    shadow = torch.zeros_like(depth, dtype=torch.bool)
    shadow[:, :-1] = nearest_right[:, 1:] <= seen_at[:, :-1] - 0.5
    return shadow


@dataclass(frozen=True)
class ColorSensor:
    """A colour camera with drifting exposure and white balance, noise, blur.

    Attributes:
        exposure_drift: largest relative change of exposure over a recording.
        white_balance_drift: the same for red against blue.
        read_noise, shot_noise: variance of a linear value x is ``read_noise^2 + shot_noise^2 * x``.
        lens_blur: weight of the neighbours in a 3-tap blur, 0 to 0.33.
        exposure_s: shutter time; the image smears along the motion in it. 0 = sharp.
        readout_s: time from the exposure of the first row to that of the last (rolling shutter). 0 = all at once.
    """

    exposure_drift: float = 0.06
    white_balance_drift: float = 0.02
    read_noise: float = 0.004
    shot_noise: float = 0.012
    lens_blur: float = 0.12
    exposure_s: float = 0.006
    readout_s: float = 0.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        for name in ("exposure_drift", "white_balance_drift", "read_noise", "shot_noise", "exposure_s", "readout_s"):
            if not getattr(self, name) >= 0:
                raise InputError(f"colour sensor {name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.lens_blur <= 1 / 3:
            raise InputError(f"colour sensor lens_blur is {self.lens_blur}, expected 0 to 0.33")

    def expose(self, radiance: Tensor, exposure: float, time_s: float, generator: Generator) -> Tensor:
        """The image, uint8 [H, W, 3].

        Args:
            radiance: float32 [H, W, 3], linear, smeared by the motion already.
            exposure: factor that brings it to mid-tone.
            time_s: time in the recording, for the drift.
            generator: source of randomness, on the device of ``radiance``.
        """
        linear = _blurred(radiance, self.lens_blur) if self.lens_blur else radiance
        drift = torch.sin(torch.tensor([0.71 * time_s, 0.43 * time_s + 1.0])).tolist()
        gain = exposure * (1 + self.exposure_drift * drift[0])
        warm = self.white_balance_drift * drift[1]
        linear = linear * torch.tensor([gain * (1 + warm), gain, gain * (1 - warm)], device=linear.device)
        noise = torch.empty_like(linear).normal_(generator=generator)
        deviation = (linear * self.shot_noise**2).add_(self.read_noise**2).sqrt_()
        return develop(noise.mul_(deviation).add_(linear))


def develop(linear: Tensor) -> Tensor:
    """Exposed linear values to uint8 sRGB-like values: a soft shoulder ``1 - exp(-x)``, then gamma 2.2."""
    tone = linear.clamp(min=0).neg_().expm1_().neg_().pow_(1 / 2.2)
    return tone.mul_(255).add_(0.5).to(torch.uint8)


def smeared(image: Tensor, flow: Tensor, count: int) -> Tensor:
    """Mean of ``count`` samples of the image [H, W, 3] along each pixel's motion [H, W, 2] (nearest pixels)."""
    height, width = image.shape[:2]
    rows = torch.arange(height, device=image.device)[:, None]
    columns = torch.arange(width, device=image.device)
    flat, total = image.reshape(-1, 3), torch.zeros_like(image)
    for k in range(count):
        at = (k + 0.5) / count - 0.5
        row = (rows + at * flow[..., 1] + 0.5).floor().long().clamp(0, height - 1)
        column = (columns + at * flow[..., 0] + 0.5).floor().long().clamp(0, width - 1)
        total += flat[row * width + column]
    return total / count


def smear_samples(largest_px: float) -> int:
    """How many samples a motion of so many pixels needs: one per pixel, 1 to 8."""
    return max(1, min(8, round(largest_px)))


def image_motion(depth: Tensor, camera: Camera, T_next_now: NDArray[np.float64]) -> Tensor:
    """Pixels each point moves from one camera pose to the next, float32 [H, W, 2]; 0 where depth is unknown."""
    columns = torch.arange(camera.width, dtype=torch.float32, device=depth.device)
    rows = torch.arange(camera.height, dtype=torch.float32, device=depth.device)[:, None]
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    closeness = 1 / depth
    moved = [row[0] * x + row[1] * y + row[2] + row[3] * closeness for row in T_next_now[:3].tolist()]
    u, v = camera.fx * moved[0] / moved[2] + camera.cx, camera.fy * moved[1] / moved[2] + camera.cy
    return torch.stack([u - columns, v - rows], -1).nan_to_num(0.0)


def _blurred(image: Tensor, weight: float) -> Tensor:
    for axis in (0, 1):
        length = image.shape[axis]
        result = image * (1 - 2 * weight)
        result.narrow(axis, 1, length - 1).add_(image.narrow(axis, 0, length - 1), alpha=weight)
        result.narrow(axis, 0, length - 1).add_(image.narrow(axis, 1, length - 1), alpha=weight)
        for end in (0, length - 1):
            result.narrow(axis, end, 1).add_(image.narrow(axis, end, 1), alpha=weight)
        image = result
    return image


def _frayed(shape: torch.Size, sigma_px: float, device: torch.device, generator: Generator) -> Tensor:
    """Flat index of the pixel each pixel is read from, int64 [H, W]."""
    shift = torch.empty((2, *shape), device=device).normal_(0, max(sigma_px, 1e-9), generator=generator).round_()
    rows = torch.arange(shape[0], device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(shape[1], device=device, dtype=torch.float32)
    row, column = (rows + shift[0]).clamp_(0, shape[0] - 1), (columns + shift[1]).clamp_(0, shape[1] - 1)
    return (row * shape[1] + column).long()  # exact in float32 up to 16 million pixels


def _bled(depth: Tensor, reach_px: int, generator: Generator) -> Tensor:
    """Depth in which the nearer surface spreads 0 to ``reach_px`` pixels, alike in 4 x 4 pixels, over the farther."""
    shape = [-(-n // 4) for n in depth.shape]
    reach = torch.randint(0, reach_px + 1, shape, generator=generator, device=depth.device)
    reach = reach.repeat_interleave(4, 0)[: depth.shape[0]].repeat_interleave(4, 1)[:, : depth.shape[1]]
    result, near = depth, depth.nan_to_num(torch.inf)
    for step in range(1, reach_px + 1):
        near = -torch.nn.functional.max_pool2d(-near[None, None], 3, 1, 1)[0, 0]
        spread = (reach >= step) & ~depth.isnan() & (depth - near > 0.04 * near + 0.01)
        result = torch.where(spread, near, result)
    return result


def _coarse_normal(like: Tensor, generator: Generator) -> Tensor:
    """Normal deviates shared by 2 x 2 pixels: a matching window makes neighbours err alike."""
    height, width = like.shape
    coarse = torch.randn(((height + 1) // 2, (width + 1) // 2), generator=generator, device=like.device)
    return coarse.repeat_interleave(2, 0)[:height].repeat_interleave(2, 1)[:, :width]


def _discontinuity(depth: Tensor) -> Tensor:
    """Pixels next to a jump of more than 4 % + 1 cm of depth."""
    filled = depth.nan_to_num(0.0)
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (0, 1):
        length = depth.shape[axis] - 1
        near, far = filled.narrow(axis, 0, length), filled.narrow(axis, 1, length)
        jump = (near - far).abs() > 0.04 * torch.minimum(near, far) + 0.01
        edge.narrow(axis, 0, length).logical_or_(jump)
        edge.narrow(axis, 1, length).logical_or_(jump)
    return edge


def _specks(shape: torch.Size, fraction: float, device: torch.device, generator: Generator) -> Tensor:
    coarse = torch.rand(((shape[0] + 2) // 3, (shape[1] + 2) // 3), generator=generator, device=device) < fraction
    return coarse.repeat_interleave(3, 0)[: shape[0]].repeat_interleave(3, 1)[:, : shape[1]]
