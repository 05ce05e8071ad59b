"""Gaussians drawn and fitted to views with torch; on CUDA with gsplat where that is installed.

Written from the equations of Kerbl et al., "3D Gaussian Splatting" (SIGGRAPH 2023): a Gaussian's covariance
``R S S R^T`` (6) is projected by ``J W Sigma W^T J^T`` (5), and pixels blend Gaussians from front to back (3). Where
Gaussians do not move, which of them a pixel blends and in which order is found once for each view.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from showroom_ros.completion.splats import (
    BESIDE,
    LOW_PASS_PX2,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR_M,
    SH_DC,
    Gaussians,
)
from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.view import View

L1_SHARE = 0.8
"""The loss is ``0.8 L1 + 0.2 (1 - SSIM)`` (Kerbl et al., equation 7)."""

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_CONSTANTS = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Rates:
    """Adam's step sizes: of colour coefficients, logarithms of scales, and opacity logits."""

    harmonics: float = 0.08
    log_scales: float = 0.03
    opacity_logits: float = 0.08


_LEARNED = tuple(Rates.__annotations__)


class Parameters(NamedTuple):
    """A ``Gaussians`` as float32 tensors on one device."""

    means: Tensor
    log_scales: Tensor
    rotations: Tensor
    opacity_logits: Tensor
    harmonics: Tensor


class PixelLists(NamedTuple):
    """Which Gaussians each pixel of a view blends: M Gaussians that are seen, P pairs sorted by pixel, then depth.

    Attributes:
        seen: int64 [M], the Gaussians by depth.
        axes: float32 [M, 2, 3], pixels per metre along each Gaussian's axes (``J W R``).
        gaussian: int64 [P], which of the M.
        pixel: int64 [P], row times width plus column.
        offset: float32 [P, 2], from the Gaussian's centre to the pixel's.
        first: int64 [P], the first pair of the same pixel.
    """

    seen: Tensor
    axes: Tensor
    gaussian: Tensor
    pixel: Tensor
    offset: Tensor
    first: Tensor


def parameters_of(gaussians: Gaussians, device: str = "cpu") -> Parameters:
    """Copies the Gaussians to a device."""
    return Parameters(*(torch.tensor(getattr(gaussians, name), device=device) for name in Parameters._fields))


def picture(
    gaussians: Gaussians, camera: Camera, T_world_camera: ArrayLike, backend: str = "auto"
) -> NDArray[np.uint8]:
    """See ``splats.render``."""
    if camera.is_distorted:
        raise InputError("rendering needs an undistorted camera; use camera.without_distortion()")
    use_gsplat = _uses_gsplat(backend)
    parameters = parameters_of(gaussians, "cuda" if use_gsplat else "cpu")
    with torch.no_grad():
        draw = drawn_by_gsplat if use_gsplat else drawn
        image = draw(parameters, camera, T_world_camera)
    return (image.clamp(0, 1) * 255).round().byte().cpu().numpy()


def drawn(parameters: Parameters, camera: Camera, T_world_camera: ArrayLike, lists: PixelLists | None = None) -> Tensor:
    """The picture float32 [H, W, 3], differentiable in log scales, opacity logits and the constant harmonic.

    Args:
        parameters: harmonics of degree 0.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.
        lists: of this view where they are known already.

    Raises:
        InputError: harmonics of a higher degree.
    """
    if parameters.harmonics.shape[1] != 1:
        raise InputError(
            f"{parameters.harmonics.shape[1]} harmonics cannot be drawn by torch, expected 1; use the backend gsplat"
        )
    if lists is None:
        lists = pixel_lists(parameters, camera, T_world_camera)
    alpha = _alphas(parameters, lists)
    passed = _transmittances(alpha, lists)
    colors = (0.5 + SH_DC * parameters.harmonics[lists.seen, 0]).clamp(min=0)
    blended = (alpha * passed)[:, None] * colors[lists.gaussian]
    image = torch.zeros(camera.height * camera.width, 3, device=alpha.device).index_add(0, lists.pixel, blended)
    return image.view(camera.height, camera.width, 3)


@torch.no_grad()
def pixel_lists(parameters: Parameters, camera: Camera, T_world_camera: ArrayLike) -> PixelLists:
    """Finds the pairs of Gaussians and pixels that count: alpha at least 1/255, not behind what is opaque."""
    index, axes, center = _seen(parameters, camera, T_world_camera)
    covariance = _covariances(axes, parameters.log_scales[index])
    strength = torch.sigmoid(parameters.opacity_logits[index]).clamp(max=1) / MIN_ALPHA
    reach = torch.sqrt(2 * strength.clamp(min=1).log()[:, None] * covariance[:, (0, 2)])
    limit = torch.tensor([camera.width - 1, camera.height - 1], device=axes.device)
    low = (center - reach).ceil().clamp(min=0).long()
    high = torch.minimum((center + reach).floor().long(), limit)
    wide, tall = (high - low + 1).clamp(min=0).unbind(1)
    count = torch.where(strength >= 1, wide * tall, 0)
    gaussian = torch.repeat_interleave(torch.arange(len(index), device=axes.device), count)
    place = torch.arange(len(gaussian), device=axes.device) - (count.cumsum(0) - count)[gaussian]
    column = low[gaussian, 0] + place % wide[gaussian]
    row = low[gaussian, 1] + place // wide[gaussian]
    offset = torch.stack([column, row], dim=1) - center[gaussian]
    pixel = row * camera.width + column
    lists = PixelLists(index, axes, gaussian, pixel, offset, pixel)
    counts = _alphas(parameters, lists) >= MIN_ALPHA
    order = torch.nonzero(counts).squeeze(1)
    order = order[torch.argsort(pixel[order], stable=True)]
    lists = _chosen(lists, order)
    alpha = _alphas(parameters, lists)
    return _chosen(lists, _transmittances(alpha, lists) * (1 - alpha) >= MIN_TRANSMITTANCE)


def optimised(
    gaussians: Gaussians,
    views: Sequence[View],
    iterations: int = 30,
    *,
    seed: int = 0,
    rates: Rates | None = None,
    backend: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
) -> Gaussians:
    """Colours, scales and opacities fitted to views by Adam; places stay, because the views' depth put them there.

    Views are taken in rounds, each in an order of its own; step sizes fall to 0 along a cosine.

    Args:
        gaussians: where to start; harmonics of degree 0 with torch.
        views: with poses; every pixel counts.
        iterations: how many steps.
        seed: of the order of views.
        rates: step sizes; None = ``Rates()``.
        backend: ``auto``, ``torch`` or ``gsplat``, see ``splats.render``.
        progress: called with steps done, steps in all, and the loss.

    Raises:
        InputError: no view, a view without pose, or fewer than 0 iterations.
        MissingDependencyError: gsplat was asked for and is not there.
    """
    if not views or iterations < 0:
        raise InputError(f"{len(views)} views and {iterations} iterations, expected at least one view and 0 iterations")
    use_gsplat, rates = _uses_gsplat(backend), rates or Rates()
    parameters = parameters_of(gaussians, "cuda" if use_gsplat else "cpu")
    learned = [(getattr(parameters, name), getattr(rates, name)) for name in _LEARNED]
    adam = torch.optim.Adam([{"params": [values.requires_grad_()], "lr": rate} for values, rate in learned], eps=1e-15)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, iterations))
    truths = [torch.tensor(view.image, device=parameters.means.device).float() / 255 for view in views]
    generator, lists = np.random.default_rng(seed), {}
    rounds = (n for _ in range(iterations) for n in generator.permutation(len(views)).tolist())
    for step, n in zip(range(iterations), rounds, strict=False):
        camera, pose = views[n].camera, views[n].require_pose()
        if not use_gsplat and n not in lists:
            lists[n] = pixel_lists(parameters, camera, pose)
        draw = drawn_by_gsplat if use_gsplat else partial(drawn, lists=lists[n])
        image = draw(parameters, camera, pose)
        loss = image_loss(image, truths[n])
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
        if progress is not None:
            progress(step + 1, iterations, float(loss.detach()))
    return replace(gaussians, **{name: getattr(parameters, name).detach().cpu().numpy() for name in _LEARNED})


def image_loss(image: Tensor, truth: Tensor) -> Tensor:
    """``0.8 L1 + 0.2 (1 - SSIM)`` of pictures [H, W, 3] in 0 to 1."""
    return L1_SHARE * (image - truth).abs().mean() + (1 - L1_SHARE) * (1 - structural_similarity(image, truth))


def structural_similarity(image: Tensor, truth: Tensor) -> Tensor:
    """Mean SSIM of pictures [H, W, 3] in 0 to 1 (Wang et al. 2004: whole Gaussian windows of 11 pixels, sigma 1.5).

    Raises:
        InputError: a picture smaller than the window.
    """
    if min(image.shape[:2]) < _SSIM_WINDOW:
        raise InputError(f"the picture is {tuple(image.shape)}, expected at least {_SSIM_WINDOW} pixels a side")
    x, y = (picture_.permute(2, 0, 1) for picture_ in (image, truth))
    planes = torch.cat([x, y, x * x, y * y, x * y])
    planes = _windows(image.shape[0], image).T @ planes @ _windows(image.shape[1], image)
    mean_x, mean_y, xx, yy, xy = planes.view(5, 3, *planes.shape[1:])
    c1, c2 = _SSIM_CONSTANTS
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return (luminance * structure).mean()


def _windows(size: int, like: Tensor) -> Tensor:
    """Gaussian windows along an axis, one a column, [size, size - 10]; a product is faster than a convolution here."""
    place = torch.arange(_SSIM_WINDOW, device=like.device)
    weight = torch.exp(-((place - _SSIM_WINDOW // 2) ** 2) / (2 * _SSIM_SIGMA**2)).to(like.dtype)
    column = torch.arange(size - _SSIM_WINDOW + 1, device=like.device)[:, None]
    windows = torch.zeros(size, len(column), dtype=like.dtype, device=like.device)
    windows[column + place, column] = weight / weight.sum()
    return windows


def drawn_by_gsplat(parameters: Parameters, camera: Camera, T_world_camera: ArrayLike) -> Tensor:
    """The picture float32 [H, W, 3] by gsplat, where pixel centres are at one half.

    Raises:
        MissingDependencyError: gsplat is not installed.
    """
    rasterization = _gsplat()
    degree = math.isqrt(parameters.harmonics.shape[1]) - 1
    device = parameters.means.device
    K = camera.matrix + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    images, _, _ = rasterization(
        parameters.means,
        parameters.rotations,
        parameters.log_scales.exp(),
        torch.sigmoid(parameters.opacity_logits),
        parameters.harmonics,
        torch.tensor(inverse(T_world_camera), dtype=torch.float32, device=device)[None],
        torch.tensor(K, dtype=torch.float32, device=device)[None],
        camera.width,
        camera.height,
        near_plane=NEAR_M,
        eps2d=LOW_PASS_PX2,
        sh_degree=degree,
    )
    return images[0]


def _uses_gsplat(backend: str) -> bool:
    """Whether gsplat draws; ``auto`` takes it where it and CUDA are there."""
    if backend == "gsplat":
        _gsplat()
        if not torch.cuda.is_available():
            raise MissingDependencyError("gsplat needs CUDA, and this machine has none; use the backend torch")
        return True
    if backend == "torch" or not torch.cuda.is_available():
        return False
    try:
        _gsplat()
    except MissingDependencyError:
        return False
    return True


def _gsplat() -> Callable[..., Any]:
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise MissingDependencyError("the splat backend gsplat is not installed: pip install gsplat") from error
    return rasterization


def _seen(parameters: Parameters, camera: Camera, T_world_camera: ArrayLike) -> tuple[Tensor, Tensor, Tensor]:
    """Indices [M] of Gaussians before the camera and in or near the image, by depth; axes [M, 2, 3]; pixels [M, 2]."""
    T = torch.tensor(inverse(T_world_camera), device=parameters.means.device)
    local = parameters.means.double() @ T[:3, :3].T + T[:3, 3]
    index = torch.nonzero(local[:, 2] >= NEAR_M).squeeze(1)
    x, y, z = local[index].unbind(1)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    beside_x, beside_y = BESIDE * camera.width, BESIDE * camera.height
    near = (u >= -beside_x) & (u <= camera.width - 1 + beside_x)
    near &= (v >= -beside_y) & (v <= camera.height - 1 + beside_y)
    order = torch.nonzero(near).squeeze(1)
    order = order[torch.argsort(z[order], stable=True)]
    index, x, y, z, u, v = (values[order] for values in (index, x, y, z, u, v))
    zero = torch.zeros_like(z)
    J = torch.stack([camera.fx / z, zero, -camera.fx * x / z**2, zero, camera.fy / z, -camera.fy * y / z**2], dim=1)
    axes = J.view(-1, 2, 3) @ T[:3, :3] @ _rotations(parameters.rotations[index].double())
    return index, axes.float(), torch.stack([u, v], dim=1).float()


def _rotations(quats_wxyz: Tensor) -> Tensor:
    """Matrices [M, 3, 3] of quaternions [M, 4] of any length."""
    w, x, y, z = F.normalize(quats_wxyz, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _covariances(axes: Tensor, log_scales: Tensor) -> Tensor:
    """Pixels^2 [M, 3]: xx, xy, yy of the projected Gaussians, low-passed."""
    scaled = axes * log_scales.exp()[:, None]
    x, y = scaled.unbind(1)
    return torch.stack([(x * x).sum(1) + LOW_PASS_PX2, (x * y).sum(1), (y * y).sum(1) + LOW_PASS_PX2], dim=1)


def _alphas(parameters: Parameters, lists: PixelLists) -> Tensor:
    """What each pair's Gaussian hides of its pixel, [P]."""
    xx, xy, yy = _covariances(lists.axes, parameters.log_scales[lists.seen]).unbind(1)
    determinant = xx * yy - xy * xy
    shape = torch.stack([-0.5 * yy / determinant, xy / determinant, -0.5 * xx / determinant], dim=1)
    per_pair = torch.cat([shape, torch.sigmoid(parameters.opacity_logits[lists.seen])[:, None]], dim=1)[lists.gaussian]
    dx, dy = lists.offset.unbind(1)
    terms = torch.stack([dx * dx, dx * dy, dy * dy], dim=1)
    return (per_pair[:, 3] * (per_pair[:, :3] * terms).sum(1).exp()).clamp(max=MAX_ALPHA)


def _transmittances(alpha: Tensor, lists: PixelLists) -> Tensor:
    """What the pairs before each one in its pixel let through, [P]."""
    hidden = torch.log1p(-alpha)
    before = hidden.cumsum(0, dtype=torch.float64) - hidden  # float32 would lose the last of a million summands
    return (before - before[lists.first]).float().exp()


def _chosen(lists: PixelLists, chosen: Tensor) -> PixelLists:
    """The pairs at ``chosen`` (positions or mask), which come sorted by pixel."""
    gaussian, pixel, offset = lists.gaussian[chosen], lists.pixel[chosen], lists.offset[chosen]
    _, counts = torch.unique_consecutive(pixel, return_counts=True)
    first = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    return PixelLists(lists.seen, lists.axes, gaussian, pixel, offset, first)
