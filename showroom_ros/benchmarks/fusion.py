"""``showroom benchmark fusion``: the volume beside Open3D's ``VoxelBlockGrid``.

Both fuse every frame in turn, so that whatever else the machine does falls on both alike. numba and the
OpenMP of Open3D halve each other's speed in one process unless idle threads sleep, which must be asked for
before either is loaded: so a child process measures. Converting a view to Open3D's types is not counted.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import numpy as np

from showroom_ros.benchmarks.open3d_peer import Open3dFusion
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.scene.block_store import BLOCK_EDGE, MESH_BLOCK_EDGE
from showroom_ros.scene.keyframes import KeyframeSelector
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import Sequence, View
from showroom_ros.scene.volume import TsdfVolume, Voxels
from showroom_ros.settings import MapSettings, Settings, to_dict

GROWTH = 10
"""How many times larger the large map is."""

_WARM_UP_FRAMES = 3
_ROUNDS = 2
_PEER_MESHES = 5
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def run(sequence: Sequence, max_frames: int = 100) -> BenchmarkResult:
    """Measures on at most ``max_frames`` frames evenly spread over ``sequence``.

    Rows: ``integrate_ms`` (median per frame), ``mesh_update_ms`` (median per keyframe; the peer has no
    incremental mesh and extracts all of it), ``mesh_update_growth`` (the same on a map 10 times larger over
    that on the small one) and ``bytes_per_block`` (8^3 voxels with colour).

    Raises:
        InputError: fewer than 4 frames with depth and pose, or no keyframes among them.
        MissingDependencyError: Open3D is not installed.
    """
    settings = Settings()
    views = _usable_views(sequence, max_frames)
    selector = KeyframeSelector(settings.keyframes)
    keyframes = [view for view in views if selector.select(view.image, view.T_world_camera, view.stamp_ns).is_keyframe]
    if len(keyframes) < 2:
        raise InputError(f"{sequence.name}: {len(keyframes)} keyframes among {len(views)} frames, expected at least 2")
    rows = _in_fresh_process(measure, views, keyframes, settings.map)
    described = {**to_dict(settings), "environment": _ENVIRONMENT, "data": sequence.name}
    return BenchmarkResult("fusion", {**described, "frames": len(views), "keyframes": len(keyframes)}, rows)


def _usable_views(sequence: Sequence, max_frames: int) -> list[View]:
    views = []
    for index in evenly_spread(len(sequence), max_frames):
        try:
            view = sequence[index]
        except ShowroomError:
            continue
        if view.depth is not None and view.T_world_camera is not None:
            views.append(view)
    if len(views) <= _WARM_UP_FRAMES:
        raise InputError(f"{sequence.name}: {len(views)} frames with depth and pose, expected over {_WARM_UP_FRAMES}")
    return views


def _in_fresh_process(work: Callable[..., list[Row]], *arguments: object) -> list[Row]:
    """``work(*arguments)`` in a new process that starts with ``_ENVIRONMENT``."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(work, *arguments).result()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(views: list[View], keyframes: list[View], settings: MapSettings) -> list[Row]:
    """The rows, measured in this process."""
    ours_ms, peer_ms, volume = _integration(views, settings)
    small_ms, large_ms = _meshing(keyframes, settings)
    peer_small_ms, peer_large_ms = _peer_meshing(keyframes, settings, volume.block_count)
    per_block = volume.memory_bytes / volume.block_count
    peer_per_block = Open3dFusion(settings, block_capacity=1).bytes_per_block
    return [
        _row("integrate_ms", ours_ms, "ms", peer_ms),
        _row("mesh_update_ms", small_ms, "ms", peer_small_ms),
        _row("mesh_update_growth", large_ms / small_ms, "ratio", peer_large_ms / peer_small_ms),
        _row("bytes_per_block", per_block, "bytes", peer_per_block),
    ]


def _row(name: str, value: float, unit: str, reference: float) -> Row:
    return Row(name, value, unit, reference, value / reference)


def _timed_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def _integration(views: list[View], settings: MapSettings) -> tuple[float, float, TsdfVolume]:
    """Median milliseconds to fuse a frame, ours and the peer's, frame by frame in turn; and our map."""
    volume, peer = TsdfVolume(settings), Open3dFusion(settings)
    ours_ms, peer_ms = [], []
    for view in views * _ROUNDS:
        peer.prepare(view)
        ours_ms.append(_timed_ms(lambda view=view: volume.integrate(view)))  # type: ignore[misc]
        peer_ms.append(_timed_ms(peer.integrate))
    return median(ours_ms[_WARM_UP_FRAMES:]), median(peer_ms[_WARM_UP_FRAMES:]), volume


def _meshing(keyframes: list[View], settings: MapSettings) -> tuple[float, float]:
    """Median milliseconds to update the mesh after a keyframe, in a map and in one ``GROWTH`` times larger."""
    small, large = TsdfVolume(settings), TsdfVolume(settings)
    for view in keyframes:
        small.integrate(view)
    voxels = small.voxels()
    for copy in range(GROWTH):
        large.insert(Voxels(voxels.position + _copy_offset(copy, voxels.position), *voxels[1:]))
    small.update_mesh()
    large.update_mesh()
    small_ms: list[float] = []
    large_ms: list[float] = []
    for view in keyframes:
        for volume, times in ((small, small_ms), (large, large_ms)):
            volume.integrate(view)
            times.append(_timed_ms(volume.update_mesh))
    return median(small_ms), median(large_ms)


def _peer_meshing(keyframes: list[View], settings: MapSettings, blocks: int) -> tuple[float, float]:
    """Median milliseconds the peer takes to extract the mesh of those two maps."""
    times = []
    block_m = settings.voxel_size_m * BLOCK_EDGE
    for copies in (1, GROWTH):
        peer = Open3dFusion(settings, block_capacity=2 * copies * blocks)
        extent = np.array([view.require_pose()[:3, 3] for view in keyframes])
        reach = np.ptp(extent, axis=0).max() + 2 * settings.max_depth_m
        for copy in range(copies):
            shift = pose_from((np.ceil(reach / block_m) * block_m * copy, 0, 0))
            for view in keyframes:
                peer.prepare(_moved(view, shift))
                peer.integrate()
        times.append(median(_timed_ms(peer.mesh) for _ in range(_PEER_MESHES)))
    return times[0], times[1]


def _moved(view: View, shift: np.ndarray) -> View:
    return View(view.image, view.camera, view.depth, T_world_camera=shift @ view.require_pose())


def _copy_offset(copy: int, positions: np.ndarray) -> np.ndarray:
    """Shift int32 [3] in blocks that puts a copy of the map beside the others, whole mesh blocks apart."""
    mesh_blocks = int(np.ptp(positions[:, 0])) // MESH_BLOCK_EDGE + 3
    return np.array([copy * mesh_blocks * MESH_BLOCK_EDGE, 0, 0], np.int32)
