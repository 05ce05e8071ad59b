"""How close an image is to the true one: PSNR, SSIM (Wang et al. 2004), LPIPS (Zhang et al. 2018)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, MissingDependencyError

_LEAST_SIZE_PX = 11
_ALEXNET = "alexnet-owt-7be5be79.pth"


@dataclass(frozen=True)
class ImageScores:
    """Scores of an image.

    Attributes:
        psnr_db: peak signal-to-noise ratio; infinite for equal images.
        ssim: structural similarity, Gaussian window of sigma 1.5 as in the paper, mean over channels.
        lpips: learned perceptual distance (AlexNet); None where it was not asked for or cannot be had.
        lpips_reason: why not, or nothing.
    """

    psnr_db: float
    ssim: float
    lpips: float | None = None
    lpips_reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for an infinite ratio."""
        values = asdict(self)
        return {**values, "psnr_db": values["psnr_db"] if math.isfinite(values["psnr_db"]) else None}


def evaluate_image(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], *, lpips: bool = True) -> ImageScores:
    """Compares two RGB images.

    Args:
        predicted: uint8 [H, W, 3].
        truth: uint8 [H, W, 3].
        lpips: whether to try the learned distance; where its packages are absent it is None with the reason.

    Raises:
        InputError: not two uint8 images of one size, at least 11 pixels wide and high.
        MissingDependencyError: scikit-image is not installed.
    """
    distance, reason = None, "not asked for"
    if lpips:
        try:
            distance, reason = lpips_distance(predicted, truth), ""
        except MissingDependencyError as error:
            reason = str(error)
    return ImageScores(psnr_db(predicted, truth), structural_similarity(predicted, truth), distance, reason)


def psnr_db(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """``10 log10(255^2 / mean squared difference)``; infinite for equal images."""
    _check(predicted, truth)
    mean_square = float(np.mean((predicted.astype(np.float64) - truth.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / mean_square) if mean_square > 0 else math.inf


def structural_similarity(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """SSIM with the constants and the Gaussian window of Wang et al. 2004."""
    _check(predicted, truth)
    try:
        from skimage.metrics import structural_similarity as similarity
    except ImportError as error:
        raise MissingDependencyError("SSIM needs scikit-image: pip install 'showroom_ros[data]'") from error
    return float(
        similarity(
            truth, predicted,
            channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
    )  # fmt: skip


def lpips_distance(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """LPIPS with AlexNet; its weights must lie in torch's cache, nothing is fetched from the network.

    Raises:
        MissingDependencyError: torch or lpips is not installed, or the weights are not there (says where).
    """
    _check(predicted, truth)
    try:
        import lpips
        import torch
    except ImportError as error:
        raise MissingDependencyError(f"LPIPS needs torch and lpips: pip install torch lpips ({error})") from error
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _ALEXNET
    if not weights.is_file():
        raise MissingDependencyError(f"LPIPS needs torchvision's AlexNet weights, expected at {weights}")
    pair = [torch.from_numpy(image.astype(np.float32) / 127.5 - 1) for image in (predicted, truth)]
    with torch.no_grad():
        return float(lpips.LPIPS(net="alex", verbose=False)(*(image.permute(2, 0, 1)[None] for image in pair)))


def _check(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    for name, image in (("predicted", predicted), ("true", truth)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < _LEAST_SIZE_PX:
            raise InputError(
                f"the {name} image is {image.dtype} {image.shape}, expected uint8 (H, W, 3) of at least "
                f"{_LEAST_SIZE_PX} pixels"
            )
    if predicted.shape != truth.shape:
        raise InputError(f"the predicted image is {predicted.shape}, the true one {truth.shape}")
