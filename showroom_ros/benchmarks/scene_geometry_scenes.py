"""The scenes of ``showroom benchmark scene_geometry`` and their pairs of frames, data set by data set.

Pairs are frames ``start`` and ``start + 10`` for every 50th start; of a made-up room's walk every 20th. Those of
Hypersim are in ``scene_geometry_hypersim``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from showroom_ros.benchmarks.posed_rgb_data import synthetic_scenes
from showroom_ros.benchmarks.scene_geometry_hypersim import hypersim_items, hypersim_pairs
from showroom_ros.benchmarks.scene_geometry_pair import Pair
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.scenes import open_item, recordings_of_any_kind
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.completion import rendered_depth, strided_pairs

DATASETS = ("synthetic", "scannet", "hypersim", "folder")
SCENES = 3
"""Made-up rooms."""
SYNTHETIC_ROOT = Path("synthetic:test")

_STRIDE, _SYNTHETIC_STRIDE, _STEP = 50, 20, 10
_SIZE = 320, 240


def scene_items(dataset: str, root: Path, split: str | None = None, scenes: int | None = None) -> list[Item]:
    """The scenes of a data set, in a fixed order.

    Args:
        dataset: of ``DATASETS``.
        root: a recording, or a folder of many; ``SYNTHETIC_ROOT`` for ``synthetic``.
        split: only this split of the data set.
        scenes: so many at most; None = ``SCENES`` made-up rooms, or all recordings.

    Raises:
        DatasetError: an unknown split, or nothing was found; says what was looked for.
    """
    if dataset == "synthetic":
        numbers = synthetic_scenes(SCENES if scenes is None else scenes)
        return [Item(f"synthetic-test-{number}", root / str(number)) for number in numbers]
    items = hypersim_items(root, split) if dataset == "hypersim" else recordings_of_any_kind(root, split)
    return list(islice(items, scenes))


def scene_pairs(dataset: str, item: Item, device: str, left_out: list[str]) -> Iterator[Pair]:
    """The pairs of one scene.

    Args:
        dataset: of ``DATASETS``.
        item: of ``scene_items``.
        device: where made-up rooms are rendered.
        left_out: frames and pairs that cannot be used are appended, one line each.

    Raises:
        ShowroomError: the scene cannot be used.
    """
    if dataset == "hypersim":
        return hypersim_pairs(item, left_out)
    if dataset == "synthetic":
        return strided_pairs_of(_made_up(item, device), _SYNTHETIC_STRIDE, left_out)
    return strided_pairs_of(open_item(item), _STRIDE, left_out)


def strided_pairs_of(sequence: Any, stride: int, left_out: list[str]) -> Iterator[Pair]:
    """Frames ``start`` and ``start + 10`` for every ``stride``-th start, where both have depth and a pose."""
    for first, second in strided_pairs(len(sequence), stride, _STEP):
        try:
            one, other = sequence[first], sequence[second]
            truth = other.require_depth()
            rendered = rendered_depth(
                one.require_depth(), one.camera, one.require_pose(), other.camera, other.require_pose()
            )
            if not np.isfinite(rendered.sparse).any():
                raise InputError("nothing of the first is in the second")
        except ShowroomError as error:
            left_out.append(f"frames {first} and {second}: {error}")
            continue
        yield Pair(first, second, other.image, truth, other.camera, rendered)


def _made_up(item: Item, device: str) -> Any:
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
    from showroom_ros.geometry.camera import assumed_camera

    seed = seed_of("test", int(item.source.name))
    return SyntheticSequence(
        seed, settings=settings_of(seed), registered=True, noisy=False, device=device, width=_SIZE[0],
        height=_SIZE[1], color_camera=assumed_camera(*_SIZE, 70.0),
    )  # fmt: skip
