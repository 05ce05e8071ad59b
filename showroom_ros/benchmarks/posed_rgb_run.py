"""One method on one scene: reconstructed, watched and judged."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.peak_memory import PeakMemory
from showroom_ros.benchmarks.posed_rgb_data import JudgedScene, Views
from showroom_ros.errors import InputError
from showroom_ros.evaluation.depth import DepthScores, evaluate_rendered_depth
from showroom_ros.evaluation.protocol import TRANSFORMER_FUSION, VORTX, ProtocolScores, mean_of
from showroom_ros.evaluation.protocol_mesh import judge_mesh
from showroom_ros.evaluation.refusion import render_depth
from showroom_ros.reconstruction.estimator import Estimate, Estimator, Patient, WholeScene, make_estimator
from showroom_ros.reconstruction.offline import reconstruct
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume, make_volume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import Settings

THRESHOLD_M = 0.05
_WARM_UP_KEYFRAMES = 4
_DEPTH_SCORES = ("abs_rel", "delta_1_05", "delta_1_1", "complete")


@dataclass(frozen=True)
class Method:
    """A way to reconstruct.

    Attributes:
        name: as rows end.
        method: ``reconstruction.method``.
        network: kind of the network whose weights it needs; "" = none.
        map_hints: ``reconstruction.map_hints``.
    """

    name: str
    method: str
    network: str = ""
    map_hints: str = "never"

    def settings(self, base: Settings, model_file: str, up: str = "+z") -> Settings:
        """``base`` with this method in it.

        Args:
            base: everything else.
            model_file: weights; "" = those shipped.
            up: the axis of the world that points up.
        """
        chosen = dataclasses.replace(
            base.reconstruction,
            method=self.method,
            model_file=model_file if self.network else "none",
            map_hints=self.map_hints,
            up=up,
        )
        return dataclasses.replace(base, reconstruction=chosen)

    def weights(self, model_file: str) -> str:
        """File of the weights, ``model_file`` or the one shipped; "" where none is needed.

        Raises:
            WeightsError: there are none.
        """
        if not self.network or model_file:
            return model_file if self.network else ""
        from showroom_ros.networks.manifest import shipped_weights

        return str(shipped_weights(self.network))


METHODS = {
    method.name: method
    for method in (
        Method("learning_free", "plane_sweep"),
        Method("plane_sweep", "plane_sweep", "plane_sweep"),
        Method("plane_sweep_hints", "plane_sweep", "plane_sweep", map_hints="always"),
        Method("ioar", "ioar", "ioar"),
    )
}


@dataclass(frozen=True)
class SceneScores:
    """What came out.

    Attributes:
        headline, refused: protocols C and B.
        live: protocol C of the mesh a live node would have, without what is done at the end of a recording.
        depth: of the depth estimated for each keyframe as it came: means of abs_rel, delta_1_05, delta_1_1, and
            complete, the share of pixels with depth, over all keyframes; empty for methods that estimate none.
        mesh_depth: the same of the mesh rendered into the frames.
        ms_keyframe: median of the estimator's time per keyframe, live.
        growth: median time of the last quarter of the keyframes over that of the first, live.
        ms_offline: all of the estimator's time, the end of the recording included, per keyframe.
        memory_mib: growth of this process's memory while reconstructing.
        device_memory_mib: peak on the GPU; None on the CPU.
        keyframes, estimated: how many there were, and for how many there was depth.
        note: why there is no mesh; "" where there is.
    """

    headline: ProtocolScores
    refused: ProtocolScores
    live: ProtocolScores
    depth: dict[str, Any]
    mesh_depth: dict[str, Any]
    ms_keyframe: float
    growth: float
    ms_offline: float
    memory_mib: float
    device_memory_mib: float | None
    keyframes: int
    estimated: int
    note: str = ""


class Watched:
    """An estimator whose time is taken and whose depth is compared with the truth."""

    needs_pose = True

    def __init__(self, estimator: Estimator, true_depths: dict[int, NDArray[np.float32]]) -> None:
        """Watches ``estimator``; true depth by stamp."""
        self._estimator, self._true_depths = estimator, true_depths
        self.times_ms: list[float] = []
        self.depth_rows: list[dict[str, Any]] = []

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """See ``Estimator``."""
        start = time.perf_counter()
        estimate = self._estimator.estimate(view, volume)
        self.times_ms.append((time.perf_counter() - start) * 1e3)
        if estimate.view.depth is not None:
            scores = depth_scores(estimate.view.depth, self._true_depths[view.stamp_ns])
            if scores is not None:
                self.depth_rows.append(scores)
        return estimate

    def reset(self) -> None:
        """See ``Estimator``."""
        self._estimator.reset()


class WatchedToTheEnd(Watched):
    """The same of one that says more of the whole scene at the end; keeps the mesh there was before."""

    live_mesh: Mesh | None = None
    finish_ms = 0.0

    def leave_to_finish(self) -> None:
        """See ``Patient``."""
        if isinstance(self._estimator, Patient):
            self._estimator.leave_to_finish()

    def finish(self, volume: Volume) -> Voxels | None:
        """See ``WholeScene``."""
        self.live_mesh = volume.extract_mesh()
        start = time.perf_counter()
        voxels = self._estimator.finish(volume) if isinstance(self._estimator, WholeScene) else None
        self.finish_ms += (time.perf_counter() - start) * 1e3
        return voxels


def run_method(method: Method, scene: JudgedScene, base: Settings, model_file: str = "") -> SceneScores:
    """Reconstructs ``scene`` and judges the mesh by protocols C and B.

    Args:
        method: how.
        scene: what.
        base: settings but for the method's.
        model_file: weights; "" = those shipped.

    Raises:
        WeightsError: the weights are missing or broken.
    """
    settings = method.settings(base, method.weights(model_file), scene.up)
    watched = WatchedToTheEnd(make_estimator(settings), scene.true_depths)
    note = ""
    with PeakMemory(settings.reconstruction.device) as memory:
        try:
            views = Views(scene.name, scene.keyframes)
            mesh = reconstruct(views, settings, keyframes_only=False, estimator=watched).mesh
        except InputError as error:  # nothing could be said of any keyframe
            mesh, note = Mesh.empty(), str(error)
    live: Watched = watched
    live_mesh = watched.live_mesh or Mesh.empty()
    if len(mesh.triangles) and not len(live_mesh.triangles):  # all was left to the end
        live = Watched(make_estimator(settings), scene.true_depths)
        live_mesh = _live(scene.keyframes, settings, live)
    depth = mean_of(live.depth_rows)
    if depth:
        depth["complete"] *= len(live.depth_rows) / len(scene.keyframes)
    return SceneScores(
        judge_mesh(TRANSFORMER_FUSION, mesh, scene.truth, scene.frames),
        judge_mesh(VORTX, mesh, scene.truth, scene.frames),
        judge_mesh(TRANSFORMER_FUSION, live_mesh, scene.truth, scene.frames),
        depth,
        _mesh_depth(mesh, scene),
        median(live.times_ms),
        _growth(live.times_ms),
        (sum(watched.times_ms) + watched.finish_ms) / len(scene.keyframes),
        memory.grown_mib,
        memory.device_mib,
        len(scene.keyframes),
        len(live.depth_rows),
        note,
    )


def _live(keyframes: list[View], settings: Settings, estimator: Estimator) -> Mesh:
    """The mesh a live node would have after the last keyframe."""
    reconstructor = Reconstructor(settings, estimator)
    for view in keyframes:
        with contextlib.suppress(InputError):
            reconstructor.process(view, mesh=False)
    return reconstructor.volume.extract_mesh()


def warm_up(method: Method, scene: JudgedScene, base: Settings, model_file: str = "") -> None:
    """Runs over a few keyframes, so that what is compiled and loaded at first use is not measured.

    Raises:
        WeightsError: the weights are missing or broken.
    """
    settings = method.settings(base, method.weights(model_file), scene.up)
    estimator, volume = make_estimator(settings), make_volume(settings.map, settings.reconstruction.device)
    for view in scene.keyframes[:_WARM_UP_KEYFRAMES]:
        try:
            estimator.estimate(view, volume)
        except InputError:
            continue


def depth_scores(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, Any] | None:
    """Scores of an estimated depth image; the truth is brought to its size, nearest pixels. None without truth."""
    if depth.shape != truth.shape:
        size = depth.shape[1], depth.shape[0]
        truth = np.asarray(cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST), np.float32)
    scores = evaluate_rendered_depth(depth, truth)
    return None if scores is None else _few(scores)


def _mesh_depth(mesh: Mesh, scene: JudgedScene) -> dict[str, Any]:
    rows = []
    for frame in scene.frames:
        if frame.depth is None:
            continue
        scores = depth_scores(render_depth(mesh, frame.camera, frame.T_world_camera), frame.depth)
        if scores is not None:
            rows.append(scores)
    return mean_of(rows)


def _few(scores: DepthScores) -> dict[str, Any]:
    return {name: value for name, value in scores.to_dict().items() if name in _DEPTH_SCORES}


def _growth(times_ms: list[float]) -> float:
    quarter = len(times_ms) // 4
    return median(times_ms[-quarter:]) / median(times_ms[:quarter]) if quarter else math.nan
