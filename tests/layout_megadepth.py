"""MegaDepth v1: one scene with one reconstruction, as in the archive."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 48, 36


def depth_units(image: int) -> np.ndarray:
    """float32 [36, 48] in units of the reconstruction; 0 (unknown) in the first row."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    depth = (3.0 + image + 0.01 * u + 0.1 * v).astype(np.float32)
    depth[0] = 0
    return depth


def write_megadepth(root: Path, scene: str = "0000") -> Path:
    """``MegaDepth_v1/<scene>/dense0``: three images; the second has ordinal labels only, the third no depth file."""
    import h5py

    dense = root / "MegaDepth_v1" / scene / "dense0"
    (dense / "imgs").mkdir(parents=True)
    (dense / "depths").mkdir()
    for image, name in enumerate(("100_a.jpg", "200_b.jpg", "300_c.jpg")):
        cv2.imwrite(str(dense / "imgs" / name), np.full((HEIGHT, WIDTH, 3), 60 * (image + 1), np.uint8))
    ordinal = np.full((HEIGHT, WIDTH), -1, np.float32)
    ordinal[:5] = -2
    for name, depth in (("100_a.h5", depth_units(0)), ("200_b.h5", ordinal)):
        with h5py.File(dense / "depths" / name, "w") as file:
            file["depth"] = depth
    return dense
