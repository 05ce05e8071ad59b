"""``showroom benchmark inpainting``: images of made-up rooms with holes filled, judged against what was there.

Of every ``STRIDE``-th frame of the walk through a room of the test split the hole is what the frame ``STEP`` earlier
did not see, as in training (``training.warped_holes``). ``psnr_db`` is that of the pixels in the hole, the mean over
images; ``ssim`` and ``lpips`` are those of the whole filled image, known pixels included, as filled images are looked
at whole. ``psnr_db_ours`` is the network of this package. ``smooth`` is the pull-push fill that the network starts
from.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.posed_rgb_data import synthetic_scenes
from showroom_ros.completion.backends import Inpainter
from showroom_ros.completion.inpaint import CheckedInpainter, make_inpainter
from showroom_ros.errors import InputError, MissingDependencyError, ShowroomError, WeightsError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.evaluation.completion import strided_pairs
from showroom_ros.evaluation.image import lpips_distance, structural_similarity
from showroom_ros.scene.view import Sequence as Frames
from showroom_ros.scene.view import View

METHODS = ("small", "telea")
OURS, SMOOTH = "small", "smooth"
SCENES = 3
STRIDE, STEP = 20, 10
HOLE_SHARE = (0.02, 0.85)
"""Least and largest part of an image to be filled; other frames are not judged."""

_SIZE = 320, 240
_MOST_DB = 100.0

Say = Callable[[str], None]


@dataclass
class _Scores:
    """Of each image."""

    psnr_db: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    known_pixels_changed: list[float] = field(default_factory=list)
    ms_per_image: list[float] = field(default_factory=list)


def run(
    methods: Sequence[str] = METHODS,
    scenes: int = SCENES,
    device: str = "cpu",
    *,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Judges every method on the same images and holes.

    Args:
        methods: names of ``completion.inpaint.make_inpainter``, or ``smooth``; ``small=FILE`` for weights of one's
            own, ``lama=FILE`` for LaMa.
        scenes: rooms of the test split.
        device: where networks live, and where rooms are rendered.
        say: told what is done next.

    Raises:
        InputError: an unknown method, none that can be run, or nothing to judge on.
        ShowroomError: no such device, or fewer rooms than asked for.
    """
    made, missing = inpainters_of(methods, device)
    scores = {name: _Scores() for name in made}
    images = 0
    for scene, frames in _rooms(scenes, device):
        say(scene)
        for view, known in holes_of(frames):
            images += 1
            for name, inpainter in made.items():
                _judge(inpainter, view.image, known, scores[name], missing)
    if not images:
        raise InputError(f"{scenes} rooms: no frame with a hole of {HOLE_SHARE[0]:.0%} to {HOLE_SHARE[1]:.0%}")
    about: dict[str, Any] = {
        "data": "synthetic:test", "scenes": scenes, "images": images, "size": list(_SIZE), "stride": STRIDE,
        "step": STEP, "missing": missing,
    }  # fmt: skip
    return BenchmarkResult("inpainting", about, _table(scores))


def inpainters_of(methods: Sequence[str], device: str) -> tuple[dict[str, Inpainter], dict[str, str]]:
    """What fills holes, by name, and why others cannot.

    Raises:
        InputError: none can be run.
        SettingsError: an unknown name or device.
    """
    made: dict[str, Inpainter] = {}
    missing = {}
    for method in methods:
        name, _, file = method.partition("=")
        try:
            made[name] = _smooth() if name == SMOOTH else make_inpainter(name, device=device, model_file=file)
        except (WeightsError, MissingDependencyError) as error:
            missing[name] = str(error)
    if not made:
        raise InputError(f"no method can be run: {'; '.join(missing.values()) or 'none was named'}")
    return made, missing


def holes_of(frames: Frames) -> Iterator[tuple[View, NDArray[np.bool_]]]:
    """Views, and which of their pixels bool [H, W] an earlier frame saw; both frames have depth and a pose."""
    for earlier, later in strided_pairs(len(frames), STRIDE, STEP):
        try:
            source, target = frames[earlier], frames[later]
            known = seen_before(source, target)
        except ShowroomError:
            continue
        if HOLE_SHARE[0] <= 1 - known.mean() <= HOLE_SHARE[1]:
            yield target, known


def seen_before(source: View, target: View) -> NDArray[np.bool_]:
    """Which pixels of ``target`` [H, W] get a point of ``source``, an image of the same size.

    Raises:
        ShowroomError: a view without depth or pose.
    """
    import torch

    from showroom_ros.training.warped_holes import warped_depth

    views = source, target
    depth = torch.from_numpy(np.stack([view.require_depth() for view in views]))
    K = torch.from_numpy(np.stack([view.camera.matrix for view in views]))
    T_world_camera = torch.from_numpy(np.stack([view.require_pose() for view in views]))
    return (warped_depth(depth, K, T_world_camera, 0, 1) > 0).numpy()


def _rooms(scenes: int, device: str) -> Iterator[tuple[str, Frames]]:
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
    from showroom_ros.geometry.camera import assumed_camera

    for number in synthetic_scenes(scenes):
        seed = seed_of("test", number)
        yield f"synthetic:test/{number}", SyntheticSequence(
            seed, settings=settings_of(seed), registered=True, noisy=False, device=device, width=_SIZE[0],
            height=_SIZE[1], color_camera=assumed_camera(*_SIZE, 70.0),
        )  # fmt: skip


def _smooth() -> Inpainter:
    import torch

    from showroom_ros.networks.inpainting import smooth_fill

    def fill(image: NDArray[np.uint8], known: NDArray[np.bool_], prompt: str, seed: int) -> NDArray[np.uint8]:
        colours = torch.from_numpy(image).movedim(-1, 0)[None].float() / 255
        filled = smooth_fill(colours, torch.from_numpy(known)[None, None])[0]
        return (filled * 255).round().byte().movedim(0, -1).numpy()

    return CheckedInpainter(SMOOTH, fill)


def _judge(
    inpainter: Inpainter,
    truth: NDArray[np.uint8],
    known: NDArray[np.bool_],
    scores: _Scores,
    missing: dict[str, str],
) -> None:
    seen = np.where(known[..., None], truth, np.uint8(0))
    start = time.perf_counter()
    filled = inpainter.inpaint(seen, known)
    scores.ms_per_image.append(1e3 * (time.perf_counter() - start))
    scores.psnr_db.append(hole_psnr_db(filled, truth, ~known))
    scores.known_pixels_changed.append(float((filled != truth).any(-1)[known].sum()))
    for name, measure, values in (
        ("ssim", structural_similarity, scores.ssim),
        ("lpips", lpips_distance, scores.lpips),
    ):
        if name not in missing:
            try:
                values.append(measure(filled, truth))
            except MissingDependencyError as error:
                missing[name] = str(error)


def hole_psnr_db(filled: NDArray[np.uint8], truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> float:
    """Peak signal to noise of the pixels in ``hole`` [H, W] of images [H, W, 3]; 100 dB at most."""
    square = float(np.mean((filled[hole].astype(np.float64) - truth[hole]) ** 2))
    return min(_MOST_DB, float(10 * np.log10(255**2 / max(square, 1e-12))))


def _table(scores: dict[str, _Scores]) -> list[Row]:
    """Rows of each figure; baselines have ours as reference. Times are medians, changed pixels sums, others means."""
    rows = []
    for figure, unit, summary in (
        ("psnr_db", "dB", fmean), ("ssim", "1", fmean), ("lpips", "1", fmean),
        ("known_pixels_changed", "pixels", sum), ("ms_per_image", "ms", median),
    ):  # fmt: skip
        values = {name: summary(getattr(each, figure)) for name, each in scores.items() if getattr(each, figure)}
        for name, value in values.items():
            ours = None if name == OURS else values.get(OURS)
            ratio = ours / value if ours is not None and value else None
            label = "ours" if name == OURS else re.sub(r"\W+", "_", name).strip("_").lower()
            rows.append(Row(f"{figure}_{label}", float(value), unit, ours if ratio is not None else None, ratio))
    return rows
