"""One scene judged: the mesh by a protocol, its rendered depth, the trajectory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from showroom_ros.cli.common import progress_bar
from showroom_ros.cli.results import Job, read_occlusion_mask, read_trajectory
from showroom_ros.cli.scoring import VISIBILITY_VIEWS, map_pictures, true_mesh
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.depth import evaluate_rendered_depth
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.pictures import Picture
from showroom_ros.evaluation.protocol import SHOWROOM, TRANSFORMER_FUSION, Protocol, mean_of
from showroom_ros.evaluation.protocol_mesh import SAMPLES, judge_mesh
from showroom_ros.evaluation.refusion import Frame, light_frame, render_depth
from showroom_ros.evaluation.trajectory import Alignment, Trajectory, evaluate_trajectory
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import Sequence, View

_MASK_WIDTH_PX = 320
_PICTURED_VIEWS = 2


@dataclass(frozen=True)
class HowToJudge:
    """What every scene of a run is judged by.

    Attributes:
        protocol: of the mesh.
        every: every so many frames are used.
        seed: of the samples on the surface.
        repeats: the surface is sampled so often, with seeds from ``seed`` on, to know the noise.
        truth_file: a mesh instead of the sequence's own, ``{scene}`` stands for the scene; None = its own.
        occlusion_file: the official mask of protocol C, ``{scene}`` as above; None = made from depth.
        depth_truth: ``sensor``, ``mesh`` or ``auto`` (the sensor's, unless the sequence is made up); ``off``.
        alignment: of the trajectory; None = it is not judged.
        samples: points on a surface.
    """

    protocol: Protocol
    every: int = 1
    seed: int = 0
    repeats: int = 1
    truth_file: str | None = None
    occlusion_file: str | None = None
    depth_truth: str = "auto"
    alignment: Alignment | None = "se3"
    samples: int = SAMPLES


@dataclass
class Scene:
    """What is known of a scene while it is judged."""

    sequence: Sequence
    predicted: Mesh | None
    truth: Mesh
    frames: list[Frame]
    stamps_ns: list[int]
    depth_rows: list[dict[str, Any]]
    depth_truth: str
    left_out: dict[int, str]
    pictured: list[View]


def evaluate_scene(job: Job, how: HowToJudge, *, draw: bool = False) -> tuple[dict[str, Any], list[Picture]]:
    """The row of a scene, and its pictures where it is to be drawn.

    Raises:
        ShowroomError: an unreadable file, no true mesh, no usable frame, a trajectory that cannot be compared;
            the message starts with the scene or names the file.
    """
    try:
        scene = _load(job, how)
        row = {"scene": job.scene, **_mesh_row(scene, how, job)}
    except InputError as error:
        raise InputError(f"{job.scene}: {error}") from error
    if scene.depth_rows:
        row["depth"] = {**mean_of(scene.depth_rows), "truth": scene.depth_truth, "frames": len(scene.depth_rows)}
    if scene.frames and job.trajectory_file is not None and how.alignment is not None:
        row["trajectory"] = _trajectory_row(job.trajectory_file, scene, how.alignment)
    row["frames"] = {"used": len(scene.frames), "left_out": len(scene.left_out)}
    if scene.left_out:
        row["frames"]["first_reason"] = "frame {}: {}".format(*next(iter(scene.left_out.items())))
    if scene.predicted is None or not draw:
        return row, []
    pictures = map_pictures(scene.predicted, scene.pictured, scene.truth)
    prefix = job.scene.replace("/", "_")
    return row, [Picture(f"{prefix}_{p.name}", f"{job.scene}: {p.caption}", p.image) for p in pictures]


def _load(job: Job, how: HowToJudge) -> Scene:
    """Opens everything and goes once through the frames; not, where nothing was predicted."""
    sequence = open_sequence(job.sequence)
    truth = _truth(sequence, how, job.scene)
    predicted = None if job.mesh_file is None else load_mesh(job.mesh_file)
    made_up = hasattr(sequence, "depth_camera_pose")
    from_mesh = how.depth_truth == "mesh" or (how.depth_truth == "auto" and made_up)
    scene = Scene(sequence, predicted, truth, [], [], [], "true mesh" if from_mesh else "sensor", {}, [])
    if predicted is None:
        return scene
    indices = range(0, len(sequence), how.every)
    pictured = {indices[i] for i in evenly_spread(len(indices), _PICTURED_VIEWS)}
    for index, view in _posed_views(scene, indices, job.scene):
        pose = view.require_pose()
        scene.frames.append(light_frame(view, _MASK_WIDTH_PX, with_depth=how.protocol is TRANSFORMER_FUSION))
        scene.stamps_ns.append(view.stamp_ns)
        if index in pictured:
            scene.pictured.append(view)
        if how.depth_truth != "off":
            true_depth = render_depth(truth, view.camera, pose) if from_mesh else view.depth
            scores = None
            if true_depth is not None:
                scores = evaluate_rendered_depth(render_depth(predicted, view.camera, pose), true_depth)
            if scores is not None:
                scene.depth_rows.append({k: v for k, v in scores.to_dict().items() if k != "pixels"})
    if not scene.frames:
        reason = next(iter(scene.left_out.values()), "it has none")
        raise InputError(f"none of the {len(sequence)} frames of {sequence.name} can be used: {reason}")
    return scene


def _truth(sequence: Sequence, how: HowToJudge, scene: str) -> Mesh:
    truth = true_mesh(sequence) if how.truth_file is None else load_mesh(how.truth_file.replace("{scene}", scene))
    if truth is None:
        raise InputError(f"{sequence.name} has no true mesh, give one with --truth FILE")
    return truth


def _posed_views(scene: Scene, indices: range, name: str) -> Iterator[tuple[int, View]]:
    progress = progress_bar(name)
    for done, index in enumerate(indices, 1):
        try:
            view = scene.sequence[index]
        except ShowroomError as error:
            scene.left_out[index] = str(error)
        else:
            if view.T_world_camera is None:
                scene.left_out[index] = "no pose"
            else:
                yield index, view
        progress(done, len(indices))


def _mesh_row(scene: Scene, how: HowToJudge, job: Job) -> dict[str, Any]:
    rows = [_judged(scene, how, job, how.seed + number) for number in range(max(1, how.repeats))]
    return {**rows[0], "repeats": rows} if how.repeats > 1 else rows[0]


def _judged(scene: Scene, how: HowToJudge, job: Job, seed: int) -> dict[str, Any]:
    if how.protocol is SHOWROOM:
        return _judged_by_showroom(scene, how.samples, seed)
    occlusion = None
    if how.occlusion_file is not None and how.protocol is TRANSFORMER_FUSION:
        occlusion = read_occlusion_mask(Path(how.occlusion_file.replace("{scene}", job.scene)))
    return judge_mesh(
        how.protocol, scene.predicted, scene.truth, scene.frames, occlusion=occlusion, samples=how.samples, seed=seed
    ).to_dict()


def _judged_by_showroom(scene: Scene, samples: int, seed: int) -> dict[str, Any]:
    predicted, note = scene.predicted, ""
    if predicted is None or not len(predicted.triangles):
        note = "nothing was predicted" if predicted is None else "the predicted mesh is empty"
    scores = evaluate_mesh(
        predicted or Mesh.empty(), scene.truth,
        samples=samples, seed=seed, visible=None if predicted is None else _visible(scene),
    )  # fmt: skip
    return {"protocol": SHOWROOM.name, **scores.to_dict(), "note": note}


def _visible(scene: Scene) -> VisibilityMask:
    """What of the true mesh the depth cameras could see, from at most 150 frames evenly spread."""
    of_depth = getattr(scene.sequence, "depth_camera_pose", None)
    if of_depth is not None:
        cameras = [of_depth(index) for index in evenly_spread(len(scene.sequence), VISIBILITY_VIEWS)]
    else:
        chosen = [scene.frames[index] for index in evenly_spread(len(scene.frames), VISIBILITY_VIEWS)]
        cameras = [(frame.camera, frame.T_world_camera) for frame in chosen]
    return VisibilityMask.from_views(cameras, scene.truth)


def _trajectory_row(path: Path, scene: Scene, alignment: Alignment) -> dict[str, Any]:
    poses = np.array([frame.T_world_camera for frame in scene.frames])
    truth = Trajectory(np.array(scene.stamps_ns, np.int64), poses)
    predicted = read_trajectory(path)
    try:
        return evaluate_trajectory(predicted, truth, alignment=alignment).to_dict()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
