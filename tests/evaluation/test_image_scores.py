"""PSNR, SSIM and LPIPS of images."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.evaluation.image import evaluate_image, lpips_distance, psnr_db, structural_similarity

TRUTH = np.random.default_rng(0).integers(0, 240, (40, 60, 3)).astype(np.uint8)


def test_psnr_by_hand() -> None:
    assert psnr_db(TRUTH + np.uint8(10), TRUTH) == pytest.approx(10 * math.log10(65025 / 100))
    assert psnr_db(TRUTH, TRUTH) == math.inf


def test_ssim_by_its_formula() -> None:
    """Two plain images have no variance: only the luminance term is left (Wang et al. 2004, eq. 6)."""
    pytest.importorskip("skimage")
    a, b = np.full((30, 30, 3), 100, np.uint8), np.full((30, 30, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert structural_similarity(a, b) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))
    assert structural_similarity(TRUTH, TRUTH) == pytest.approx(1)
    assert structural_similarity(255 - TRUTH, TRUTH) < 0


def test_all_at_once_says_why_there_is_no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    monkeypatch.setitem(sys.modules, "lpips", None)
    scores = evaluate_image(TRUTH, TRUTH)
    assert scores.lpips is None
    assert "pip install torch lpips" in scores.lpips_reason
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["psnr_db"] is None
    assert evaluate_image(TRUTH, TRUTH, lpips=False).lpips_reason == "not asked for"
    with pytest.raises(MissingDependencyError, match="LPIPS needs"):
        lpips_distance(TRUTH, TRUTH)


def test_ssim_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(MissingDependencyError, match=r"showroom_ros\[data\]"):
        structural_similarity(TRUTH, TRUTH)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        (TRUTH[:-1], "the true one"),
        (TRUTH.astype(np.float32), "float32"),
        (TRUTH[..., 0], r"expected uint8 \(H, W, 3\)"),
        (TRUTH[:5], "at least 11 pixels"),
    ],
)
def test_bad_input(predicted: np.ndarray, expected: str) -> None:
    for score in (psnr_db, structural_similarity, lpips_distance):
        with pytest.raises(InputError, match=expected):
            score(predicted, TRUTH)
