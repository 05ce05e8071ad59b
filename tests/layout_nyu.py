"""NYU Depth v2 in its three published forms, with values a test can compute."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
TRAIN_SCENES = ("kitchen_0028b", "office_0003")
TEST_SCENES = ("bathroom",)
RAW_NAMES = (
    "kitchen_0004/r-1294851097.528505-2321469380.ppm",
    "office_0005/r-1294851456.187715-2365725825.ppm",
    "living_room_0013/r-1315166703.155964-2601653338.ppm",
    "bedroom_0010/r-1315330078.437204-1854061414.ppm",
    "kitchen_0004/r-1294851106.894265-2883550167.ppm",
)
TRAIN_NUMBERS, TEST_NUMBERS = (2, 5), (1, 3, 4)  # of splits.mat: from 1


def depth_mm(frame: int) -> np.ndarray:
    """uint16 [480, 640]: a slanted plane that differs by frame and axis, unknown in the top left corner."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    depth = (1000 + 100 * frame + 2 * u + v).astype(np.uint16)
    depth[:10, :20] = 0
    return depth


def color(frame: int) -> np.ndarray:
    """uint8 [480, 640, 3] RGB: red across, green down (both smooth, for JPEG), blue by frame."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([u * 255 // WIDTH, v * 255 // HEIGHT, np.full_like(u, 20 * frame)], axis=-1).astype(np.uint8)


def write_nyu(root: Path) -> Path:
    """All forms below ``root``: sync/, official_splits/test/, two lists, the labelled set and its split."""
    write_nyu_sync(root)
    write_nyu_labelled(root)
    return root


def write_nyu_sync(root: Path, frames: int = 2) -> Path:
    """``sync/<scene>`` and ``official_splits/test/<scene>`` with the two lists that name their frames."""
    for folder, scenes, name in (
        ("sync", TRAIN_SCENES, "nyudepthv2_train_files_with_gt.txt"),
        ("official_splits/test", TEST_SCENES, "nyudepthv2_test_files_with_gt.txt"),
    ):
        lines = []
        for scene in scenes:
            (root / folder / scene).mkdir(parents=True)
            for frame in range(frames):
                number = f"{45 + 60 * frame:05d}"
                stem = root / folder / scene
                cv2.imwrite(str(stem / f"rgb_{number}.jpg"), color(frame)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
                cv2.imwrite(str(stem / f"sync_depth_{number}.png"), depth_mm(frame))
                lines.append(f"/{scene}/rgb_{number}.jpg /{scene}/sync_depth_{number}.png 518.8579")
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def write_nyu_labelled(root: Path, count: int = len(RAW_NAMES)) -> Path:
    """``nyu_depth_v2_labeled.mat`` as MATLAB writes it (HDF5 after a block of 512 bytes) and ``splits.mat``."""
    import h5py
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    path = root / "nyu_depth_v2_labeled.mat"
    characters = h5py.special_dtype(ref=h5py.Reference)
    with h5py.File(path, "w", userblock_size=512) as file:
        images = file.create_dataset("images", (count, 3, WIDTH, HEIGHT), "u1", compression="gzip")
        depths = file.create_dataset("depths", (count, WIDTH, HEIGHT), "f4", compression="gzip")
        raw = file.create_dataset("rawDepths", (count, WIDTH, HEIGHT), "f4", compression="gzip")
        for frame in range(count):
            metres = depth_mm(frame).astype(np.float32).T / np.float32(1000)
            images[frame] = color(frame).transpose(2, 1, 0)
            raw[frame], depths[frame] = metres, np.where(metres > 0, metres, np.float32(0.5))
        for name, texts in (
            ("rawRgbFilenames", RAW_NAMES[:count]),
            ("scenes", [text.split("/")[0] for text in RAW_NAMES[:count]]),
        ):
            cells = file.create_dataset(name, (1, count), characters)
            for place, text in enumerate(texts):
                stored = file.create_dataset(
                    f"#refs#/{name}{place}", data=np.array([[ord(c)] for c in text], np.uint16)
                )
                cells[0, place] = stored.ref
    savemat(root / "splits.mat", {"trainNdxs": np.array([TRAIN_NUMBERS]).T, "testNdxs": np.array([TEST_NUMBERS]).T})
    return path
