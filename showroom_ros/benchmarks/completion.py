"""``showroom benchmark completion``: made-up test rooms that were scanned in part, before and after completion.

A walk with a noisy depth camera is cut off once it has seen ``SHARE`` of what all of it and a look around from six
places see; that much and more is the truth. ``completeness_5cm`` is the share of the true surface that has surface of
the map within 5 cm, ``generated_precision_10cm`` the share of the generated surface that has true surface (of the whole
room, seen or not) within 10 cm. ``measured_voxels_changed`` counts voxels with measured content that completion
altered: it is to be 0. With ``--data`` a recording is cut off instead, and all of it is the truth. ``ms_per_view`` is
all that a view takes, ``ms_fill_per_view`` painting it and giving it depth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.posed_rgb_data import synthetic_scenes
from showroom_ros.completion.backends import DepthCompleter, Inpainter
from showroom_ros.completion.completable import map_of_views
from showroom_ros.completion.complete import Completion, Fill, complete, filled_by
from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.completion.holes import PartialView
from showroom_ros.completion.inpaint import make_inpainter
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import InputError, WeightsError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.pictures import outside_picture, room_axes, up_direction
from showroom_ros.evaluation.protocol import mean_of
from showroom_ros.evaluation.surface import Surface, sample_surface
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.scene.coverage import Coverage
from showroom_ros.scene.image_codec import write_picture
from showroom_ros.scene.keyframes import KeyframeSelector
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import KeyframeSettings, MapSettings
from showroom_ros.viewers.palette import provenance_colors

SCENES = 3
SHARE = 0.7
MAX_VIEWS = 12
METHODS = {
    "planes": ("telea", "planes"),
    "small": ("telea", "small"),
    "diffusion": ("telea", "diffusion"),
    "nearest": ("telea", "nearest"),
    "planes_alone": ("telea", "planes"),
    "small_alone": ("telea", "small"),
}
"""Name -> who paints and who gives depth; the first one's rows have no suffix."""
ALONE = "_alone"
"""Methods whose names end so do without the planes of the room (``completion.structure``)."""

_MAP = MapSettings(voxel_size_m=0.03, truncation_m=0.12)
_SIZE = 320, 240
_PLACES = 6
_PICTURE: dict[str, Any] = {"width": 640, "height": 480}
_UNITS = {
    "completeness_5cm_before": "share",
    "completeness_5cm_after": "share",
    "generated_precision_10cm": "share",
    "generated_judged_share": "share",
    "generated_m2": "m2",
    "measured_voxels_changed": "count",
    "views": "count",
    "blocking_share": "share",
    "ms_per_view": "ms",
    "ms_fill_per_view": "ms",
}

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class PartialScan:
    """A room of which a part was scanned.

    Attributes:
        name: of the room.
        views: of the scan, with measured depth.
        truth: all that could have been seen.
        exact: all of its surface, seen or not; of a recording no more than ``truth`` is known.
        share: of the truth that the scan saw.
        up: float64 [3], the world's upward axis.
        free: what all of a recording saw to be free; generated surface that is neither there nor near ``exact`` is
            not judged. None where ``exact`` is all there is.
    """

    name: str
    views: list[View]
    truth: Mesh
    exact: Mesh
    share: float
    up: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    free: Coverage | None = None


def run(
    methods: Sequence[str] = tuple(METHODS),
    scenes: int = SCENES,
    device: str = "cpu",
    *,
    data: Path | None = None,
    pictures: Path | None = None,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Completes every room by every method.

    Args:
        methods: names of ``METHODS``, or ``INPAINTER+COMPLETER``.
        scenes: test rooms.
        device: where networks live.
        data: a recording with colour, depth and poses in place of test rooms.
        pictures: folder for a picture of each room and method: before, after, and after by provenance.
        say: told what is done next.

    Raises:
        InputError: no scenes, an unknown method, or a recording without posed depth.
        OutputError: a picture cannot be written.
    """
    if scenes < 1:
        raise InputError(f"scenes is {scenes}, expected 1 or more")
    made, missing = _made(methods, device)
    found: dict[str, list[dict[str, Any]]] = {}
    described: list[dict[str, Any]] = []
    for scan in map(partial_scan, synthetic_scenes(scenes)) if data is None else [recorded_scan(data)]:
        described.append({"room": scan.name, "seen": scan.share, "keyframes": len(scan.views), "scores": {}})
        for name, (inpainter, completer) in made.items():
            say(f"{scan.name}: {name}")
            outcome = completed(scan, filled_by(inpainter, completer), on_planes=not name.endswith(ALONE))
            scores = judged(scan, outcome)
            if pictures is not None:
                picture = compared(outcome, np.stack([view.require_pose() for view in scan.views]))
                write_picture(pictures / f"{scan.name.replace(':', '_').replace('/', '_')}_{name}.png", picture)
            found.setdefault(name, []).append(scores)
            described[-1]["scores"][name] = scores
    first = next(iter(METHODS))
    rows = []
    for name, of_rooms in found.items():
        mean = mean_of(of_rooms)
        suffix = "" if name == first else f"_{name}"
        rows += [Row(f"{key}{suffix}", mean[key], unit) for key, unit in _UNITS.items() if mean.get(key) is not None]
    about = {"device": device, "share": SHARE, "max_views": MAX_VIEWS, "rooms": described, "missing": missing}
    return BenchmarkResult("completion", about, rows)


def _made(methods: Sequence[str], device: str) -> tuple[dict[str, tuple[Inpainter, DepthCompleter]], dict[str, str]]:
    made, missing = {}, {}
    for name in methods:
        pair = METHODS.get(name) or tuple(name.removesuffix(ALONE).split("+"))
        if len(pair) != 2:
            raise InputError(f"method '{name}': expected one of {', '.join(METHODS)}, or INPAINTER+COMPLETER[{ALONE}]")
        try:
            made[name] = make_inpainter(pair[0], device=device), make_depth_completer(pair[1], device=device)
        except WeightsError as error:
            missing[name] = str(error)
    return made, missing


def partial_scan(number: int, share: float = SHARE) -> PartialScan:
    """A test room, scanned until ``share`` of it was seen.

    Args:
        number: of the room in the test split.
        share: of the truth; where even the whole walk sees less, the whole walk is the scan.
    """
    from showroom_ros.datasets.synthetic.photo_sets import rotation_set
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
    from showroom_ros.datasets.synthetic.walkable import WalkableSpace

    seed = seed_of("test", number)
    camera = assumed_camera(*_SIZE, 70.0)
    sequence = SyntheticSequence(
        seed, settings=settings_of(seed), registered=True, color_camera=camera, width=_SIZE[0], height=_SIZE[1]
    )
    selector, views = KeyframeSelector(KeyframeSettings(min_sharpness=0.0)), []
    for index, pose in enumerate(sequence.trajectory):
        if selector.consider(pose, sequence.stamp_ns(index)).is_keyframe:
            view = sequence[index]
            if selector.select(view.image, pose, view.stamp_ns).is_keyframe:
                views.append(view)
    volume = TsdfVolume(_MAP)
    space = WalkableSpace(sequence.room.plan, sequence.room.furniture, 0.3)
    around = [rotation_set(sequence.room, np.arange(0.0, 360.0, 45.0), place) for place in space.spread(_PLACES)]
    poses = [*(view.require_pose() for view in views), *np.concatenate(around)]
    depths = [sequence.renderer.render(camera, pose, shaded=False).depth.cpu().numpy() for pose in poses]
    for pose, depth in zip(poses, depths, strict=True):
        volume.integrate(View(views[0].image, camera, depth, T_world_camera=pose))
    truth = volume.extract_mesh()
    points = sample_surface(truth, 20_000, 0).points
    seen, kept = np.zeros(len(points), bool), 0
    while kept < len(views) and seen.mean() < share:
        seen |= VisibilityMask((camera,), (poses[kept],), (depths[kept],), margin_m=0.05)(points)
        kept += 1
    return PartialScan(f"synthetic:test/{number}", views[:kept], truth, sequence.mesh, float(seen.mean()))


def recorded_scan(path: Path, share: float = SHARE) -> PartialScan:
    """A recording, cut off once its keyframes map ``share`` of what all of its frames map.

    Generated surface is judged where the recording tells: near what it saw it is right, in what was free it is wrong.

    Raises:
        DatasetError: it cannot be read.
        InputError: no frame has depth and a pose.
    """
    sequence = open_sequence(path)
    selector, whole, views = KeyframeSelector(KeyframeSettings()), TsdfVolume(_MAP), []
    free = Coverage(max_depth_m=_MAP.max_depth_m)
    for index in range(len(sequence)):
        view = sequence[index]
        if view.depth is None or view.T_world_camera is None:
            continue
        whole.integrate(view)
        free.observe(view)
        if selector.select(view.image, view.T_world_camera, view.stamp_ns).is_keyframe:
            views.append(view)
    if not views:
        raise InputError(f"{path}: no frame has depth and a pose")
    truth, part, kept, seen = whole.extract_mesh(), TsdfVolume(_MAP), 0, 0.0
    while kept < len(views) and seen < share:
        part.integrate(views[kept])
        kept += 1
        seen = evaluate_mesh(part.extract_mesh(), truth, (0.05,), samples=20_000).recall[0.05]
    up = room_axes(truth, up_direction([view.require_pose() for view in views]))[2]
    return PartialScan(sequence.name, views[:kept], truth, truth, seen, up, free)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A map before and after completion.

    Attributes:
        before: its mesh.
        after: its mesh.
        changed: voxels with measured content that are not as they were.
        done: what was generated.
        ms: that took.
        fill_ms: of these, painting and giving depth.
    """

    before: Mesh
    after: Mesh
    changed: int
    done: Completion
    ms: float
    fill_ms: float


def completed(scan: PartialScan, fill: Fill, *, on_planes: bool = True) -> Outcome:
    """Fuses the scan and completes it; arguments as ``completion.complete.complete``."""
    scene = map_of_views(scan.views, TsdfVolume(_MAP))
    volume = scene.volume
    voxels, before = volume.voxels(), volume.extract_mesh()
    camera = scan.views[0].camera
    camera = camera.of_width(min(_SIZE[0], camera.width))
    fill_s = 0.0

    def timed(partial: PartialView) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        nonlocal fill_s
        start = time.perf_counter()
        filled = fill(partial)
        fill_s += time.perf_counter() - start
        return filled

    start = time.perf_counter()
    done = complete(
        scene,
        np.stack([view.require_pose() for view in scan.views]),
        camera,
        timed,
        up=scan.up,
        max_views=MAX_VIEWS,
        on_planes=on_planes,
    )
    ms = (time.perf_counter() - start) * 1e3
    return Outcome(before, volume.extract_mesh(), changed_voxels(voxels, volume.voxels()), done, ms, fill_s * 1e3)


def judged(scan: PartialScan, outcome: Outcome) -> dict[str, Any]:
    """The figures of a room by name."""
    generated, done = generated_surface(outcome.after), outcome.done
    views = max(1, len(done.views) + done.rejected)
    scores: dict[str, Any] = {
        "completeness_5cm_before": evaluate_mesh(outcome.before, scan.truth, (0.05,), samples=50_000).recall[0.05],
        "completeness_5cm_after": evaluate_mesh(outcome.after, scan.truth, (0.05,), samples=50_000).recall[0.05],
        "measured_voxels_changed": float(outcome.changed),
        "views": float(len(done.views)),
        "blocking_share": _blocking_share(done),
        "ms_per_view": outcome.ms / views,
        "ms_fill_per_view": outcome.fill_ms / views,
    }
    if len(generated.triangles):
        right, told = _right_and_told(generated, scan)
        scores |= {
            "generated_precision_10cm": float(right.sum() / max(1, told.sum())),
            "generated_judged_share": float(told.mean()),
            "generated_m2": _area(generated),
        }
    return scores


def _right_and_told(generated: Mesh, scan: PartialScan) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of points spread over generated surface, which are within 10 cm of the true one, and which can be judged."""
    points = sample_surface(generated, 50_000, 0).points
    right = Surface(scan.exact).nearest(points).distance_m <= 0.1
    return right, np.ones(len(points), bool) if scan.free is None else right | scan.free.is_free(points)


def compared(outcome: Outcome, poses: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The room as a doll's house before, after, and after by provenance, side by side; uint8 [H, W, 3].

    Args:
        outcome: with surface before.
        poses: [N, 4, 4] of the scan's cameras.
    """
    axes = room_axes(outcome.after, up_direction(list(poses)))
    kinds = replace(outcome.after, colors=provenance_colors(outcome.after.provenance))
    unseen = replace(outcome.after, triangles=outcome.after.triangles[:0])
    before = Mesh.concatenate([outcome.before, unseen])  # seen from the same place
    return np.concatenate([outside_picture(mesh, axes, **_PICTURE) for mesh in (before, outcome.after, kinds)], 1)


def generated_surface(mesh: Mesh) -> Mesh:
    """The triangles of which all corners are GENERATED."""
    chosen = (mesh.provenance[mesh.triangles] == Provenance.GENERATED).all(1)
    return replace(mesh, triangles=mesh.triangles[chosen])


def changed_voxels(before: Voxels, after: Voxels) -> int:
    """Voxels that held something not generated in ``before`` and differ in any bit in ``after``."""
    rows = {tuple(position): row for row, position in enumerate(after.position.tolist())}
    changed = 0
    for row, position in enumerate(before.position.tolist()):
        held = (before.weight[row] >> 2 > 0) & (before.weight[row] & 3 != Provenance.GENERATED)
        other = rows.get(tuple(position))
        if other is None:
            changed += int(held.sum())
            continue
        same = np.ones(len(held), bool)
        for name in ("tsdf", "weight", "color"):
            same &= getattr(before, name)[row] == getattr(after, name)[other]
        changed += int((held & ~same).sum())
    return changed


def _blocking_share(done: Completion) -> float:
    total = sum(count.generated + count.blocking for count in done.counts)
    return done.blocking / total if total else 0.0


def _area(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )
