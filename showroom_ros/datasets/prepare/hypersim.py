"""Hypersim: benchmark pairs of frames (see ``overlap_pairs``) and planar depth in metres.

An item is one camera of a scene: ``pairs.csv`` and, if asked for, ``depth/frame.IIII.png`` (uint16 millimetres) or
``.npz`` (float32 metres). ``pairs.csv`` beside the scenes holds the pairs of all. The split ``benchmark`` is that of
the published pairs: the first 100 rows of ``metadata_camera_parameters.csv`` without those of a physical camera.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showroom_ros.datasets.files import read_csv
from showroom_ros.datasets.hypersim import Hypersim, hypersim_scenes
from showroom_ros.datasets.prepare.output import write_bytes, write_depth, write_npz
from showroom_ros.datasets.prepare.overlap_pairs import PairRule, overlap_pairs, pair_rows, pair_table, posed_depths
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.errors import DatasetError
from showroom_ros.settings import setting

BENCHMARK = "benchmark"
BENCHMARK_ROWS = 100
CAMERA_FILE = "metadata_camera_parameters.csv"
TABLE = "pairs.csv"


@dataclass(frozen=True)
class HypersimSettings:
    """Which pairs count, and what else is written."""

    min_overlap: float = setting(0.8, "share of the second image the first covers", minimum=0.0, maximum=1.0)
    max_error_m: float = setting(0.1, "mean difference of depth where covered", minimum=0.0, maximum=100.0)
    radius_ndc: float = setting(1e-2, "of a point; 2 is the shorter side of the image", minimum=1e-4, maximum=1.0)
    points_per_pixel: int = setting(10, "nearest points that are blended", minimum=1, maximum=100)
    image_width: int = setting(0, "width of the images pairs are found in; 0 = full", minimum=0, maximum=10_000)
    any_projection: bool = setting(False, "take scenes with tilted or shifted lenses too")
    depth: str = setting("png", "form of planar depth: millimetres, metres or none", choices=("png", "npz", "none"))

    @property
    def rule(self) -> PairRule:
        """When two frames are a pair."""
        return PairRule(self.min_overlap, self.max_error_m, self.radius_ndc, self.points_per_pixel, self.image_width)


def find_hypersim(root: Path, split: str | None) -> list[Item]:
    """One item per camera of a scene."""
    cameras = hypersim_scenes(root, None if split == BENCHMARK else split)
    if split == BENCHMARK:
        wanted = benchmark_scenes(root / CAMERA_FILE)
        cameras = [camera for camera in cameras if camera.parents[1].name in wanted]
        if not cameras:
            raise DatasetError(f"{root}: has none of the {len(wanted)} scenes of the split '{BENCHMARK}'")
    return [Item(f"{camera.resolve().parents[1].name}/{camera.name}", camera.parents[1]) for camera in cameras]


def benchmark_scenes(path: Path) -> set[str]:
    """Names of the scenes of the published pairs.

    Raises:
        DatasetError: no such file, or it lacks a column.
    """
    rows = read_csv(path, ("scene_name", "use_camera_physical"))[:BENCHMARK_ROWS]
    return {row["scene_name"] for row in rows if row["use_camera_physical"].strip().lower() not in ("1", "true")}


def prepare_hypersim(item: Item, out: Path, settings: HypersimSettings) -> list[str]:
    """Pairs and depth of one camera.

    Raises:
        DatasetError: the scene cannot be read, or none of its frames has depth and a pose.
    """
    scene, _, camera = item.key.rpartition("/")
    sequence = Hypersim(item.source, camera)
    skipped = [f"{count} frames: {reason}" for reason, count in sequence.skipped.items() if count]
    if not settings.any_projection and not has_standard_projection(sequence):
        write_bytes(out / TABLE, pair_table([]))
        return [*skipped, "all frames: the lens is tilted or shifted (take it with --any-projection)"]
    frames, unusable = posed_depths(sequence, settings.image_width)
    if not frames:
        raise DatasetError(f"{item.source}: none of {len(sequence)} frames can be used; first: {unusable[0]}")
    pairs = overlap_pairs(frames, settings.rule)
    write_bytes(out / TABLE, pair_table(pair_rows(scene, camera, pairs, sequence.numbers)))
    if settings.depth != "none":
        for index in frames:
            stem = out / "depth" / f"frame.{sequence.numbers[index]:04d}"
            depth = frames[index].depth if not settings.image_width else sequence[index].require_depth()
            if settings.depth == "png":
                write_depth(stem.with_name(f"{stem.name}.png"), depth)
            else:
                write_npz(stem.with_name(f"{stem.name}.npz"), depth=depth)
    return skipped + unusable


def has_standard_projection(sequence: Hypersim) -> bool:
    """Whether the axis of the lens goes through the middle of the image, at a right angle."""
    camera = sequence.lens.camera
    off_px = max(abs(camera.cx - (camera.width - 1) / 2), abs(camera.cy - (camera.height - 1) / 2))
    return off_px < 0.5 and bool(np.allclose(sequence.lens.T_camera_pinhole, np.eye(4), atol=1e-4))


def combine_hypersim(items: list[Item], out: Path, settings: HypersimSettings) -> dict[str, bytes]:
    """The pairs of all cameras in one table."""
    del settings
    rows: list[list[str]] = []
    for item in items:
        rows += list(csv.reader(io.StringIO((out / item.key / TABLE).read_text(encoding="utf-8"))))[1:]
    return {TABLE: pair_table(rows)}


RECIPE = Recipe(
    name="hypersim",
    title="overlapping pairs of frames and planar depth of Hypersim",
    find=find_hypersim,
    prepare=prepare_hypersim,
    settings=HypersimSettings,
    combine=combine_hypersim,
)
