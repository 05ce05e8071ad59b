"""A mesh judged by protocol A (Atlas, NeuralRecon), B (VoRTX, IOAR), C (TransformerFusion) or D (DoubleTake)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.point_scores import score_points, voxel_down_sample
from showroom_ros.evaluation.protocol import (
    ATLAS,
    DOUBLETAKE,
    NEURALRECON,
    TRANSFORMER_FUSION,
    VORTX,
    Protocol,
    ProtocolScores,
)
from showroom_ros.evaluation.refusion import NO_LIMIT_M, TRUNCATION_M, Frame, fuse_again
from showroom_ros.evaluation.surface import sample_surface
from showroom_ros.evaluation.visible_volume import OcclusionMask, VisibleVolume, visible_volume, with_true_depth
from showroom_ros.scene.mesh import Mesh

SAMPLES = 200_000
_THINNING_M = 0.02
_NEURALRECON_DEPTH_M = 5.0
_FULLY_VISIBLE = 1 - 1e-5
_DOUBLETAKE_WIDTH, _DOUBLETAKE_HEIGHT = 256, 192
_DOUBLETAKE_VOXEL_M, _DOUBLETAKE_BEHIND_M = 0.02, 0.3
_OWN_MASK_VOXEL_M, _OWN_MASK_BEHIND_M = 0.04, 0.12

Points = NDArray[np.float64]


def judge_mesh(
    protocol: Protocol,
    predicted: Mesh | None,
    truth: Mesh,
    frames: Sequence[Frame],
    *,
    occlusion: OcclusionMask | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> ProtocolScores:
    """Scores a mesh by one of the published protocols.

    Args:
        protocol: A, A-NeuralRecon, B, C or D (``showroom`` is ``evaluation.mesh.evaluate_mesh``); its threshold
            and clipping are used as they stand in it.
        predicted: the prediction, world frame; None or empty = nothing was predicted.
        truth: the true mesh, same frame.
        frames: the cameras of the recording; C without ``occlusion`` needs their depth.
        occlusion: the official mask of protocol C; None = made from the frames' depth.
        samples: points on the surface for C and D.
        seed: of these.

    Raises:
        InputError: an empty true mesh, no frames, frames without depth where it is needed, or a protocol that is
            none of these.
    """
    if not len(truth.vertices):
        raise InputError("the true mesh is empty: nothing to score against")
    if protocol.name not in (ATLAS.name, NEURALRECON.name, VORTX.name, TRANSFORMER_FUSION.name, DOUBLETAKE.name):
        raise InputError(f"protocol '{protocol.name}' is not one of A, A-NeuralRecon, B, C, D")
    if predicted is None or not len(predicted.triangles):
        reason = "nothing was predicted" if predicted is None else "the predicted mesh is empty"
        return _missing(protocol, len(truth.vertices), reason)
    if not frames:
        raise InputError(f"protocol {protocol.name} needs the frames of the recording, there are none")
    if protocol.refusion:
        return _judge_fused_again(protocol, predicted, truth, frames)
    points = sample_surface(predicted, samples, seed).points
    if protocol.name == TRANSFORMER_FUSION.name:
        return _judge_unoccluded(protocol, points, truth, frames, occlusion)
    return _judge_visible(protocol, points, truth, frames)


def true_points(protocol: Protocol, truth: Mesh) -> Points:
    """The true points [M, 3] of the protocol: the vertices, thinned to 2 cm in A and B."""
    vertices = truth.vertices.astype(np.float64)
    return voxel_down_sample(vertices, _THINNING_M) if protocol.refusion else vertices


def _judge_fused_again(protocol: Protocol, predicted: Mesh, truth: Mesh, frames: Sequence[Frame]) -> ProtocolScores:
    """Protocols A and B."""
    assert protocol.refusion is not None
    fused = fuse_again(
        predicted,
        frames,
        walls=protocol.refusion,
        max_depth_m=_NEURALRECON_DEPTH_M if protocol.name == NEURALRECON.name else NO_LIMIT_M,
        only_where=truth if protocol.name == VORTX.name else None,
    )
    vertices = fused.vertices.astype(np.float64)
    if protocol.name == VORTX.name:
        vertices = vertices[_within_true_volume(vertices, truth)]
    if not len(vertices):
        return _missing(protocol, len(truth.vertices), "no frame sees the predicted mesh")
    return _scored(protocol, voxel_down_sample(vertices, _THINNING_M), true_points(protocol, truth))


def _judge_unoccluded(
    protocol: Protocol, points: Points, truth: Mesh, frames: Sequence[Frame], occlusion: OcclusionMask | None
) -> ProtocolScores:
    """Protocol C: completeness asks all samples, accuracy only those that are not occluded."""
    mask: OcclusionMask | VisibleVolume
    if occlusion is not None:
        mask, visibility = occlusion, "official"
    else:
        mask = visible_volume(frames, truth, voxel_size_m=_OWN_MASK_VOXEL_M, behind_m=_OWN_MASK_BEHIND_M)
        visibility = "from depth"
    kept = points[mask.visibility(points) >= _FULLY_VISIBLE]
    note = ""
    if not len(kept):
        kept, note = points, "every predicted point is occluded: all are judged"
    return _scored(protocol, kept, true_points(protocol, truth), points, visibility, note)


def _judge_visible(protocol: Protocol, points: Points, truth: Mesh, frames: Sequence[Frame]) -> ProtocolScores:
    """Protocol D: the volume is made of the true mesh's depth."""
    rendered = with_true_depth(frames, truth, _DOUBLETAKE_WIDTH, _DOUBLETAKE_HEIGHT)
    volume = visible_volume(rendered, truth, voxel_size_m=_DOUBLETAKE_VOXEL_M, behind_m=_DOUBLETAKE_BEHIND_M)
    kept = points[volume.visibility(points) > 0.5]
    visibility = "from the true mesh"
    if not len(kept):
        return _missing(protocol, len(truth.vertices), "no predicted point lies in the visible volume", visibility)
    return _scored(protocol, kept, true_points(protocol, truth), points, visibility)


def _scored(
    protocol: Protocol,
    judged: Points,
    truth: Points,
    everything: Points | None = None,
    visibility: str | None = None,
    note: str = "",
) -> ProtocolScores:
    """Accuracy of the ``judged`` points, completeness by ``everything`` that was predicted (None = the judged)."""
    limit = math.inf if protocol.max_distance_m is None else protocol.max_distance_m
    everything = judged if everything is None else everything
    scores = score_points(
        judged, truth, protocol.threshold_m,
        inclusive=protocol.inclusive, max_distance_m=limit, searched=everything,
    )  # fmt: skip
    return ProtocolScores.of(protocol, scores, len(judged), len(truth), visibility, note)


def _within_true_volume(vertices: Points, truth: Mesh) -> NDArray[np.bool_]:
    """Inside the true mesh's bounds grown by the truncation, which is where a true volume has values."""
    low, high = truth.vertices.min(axis=0) - TRUNCATION_M, truth.vertices.max(axis=0) + TRUNCATION_M
    return ((vertices >= low) & (vertices <= high)).all(axis=1)


def _missing(protocol: Protocol, truth_points: int, note: str, visibility: str | None = None) -> ProtocolScores:
    return ProtocolScores.of(protocol, protocol.missing, 0, truth_points, visibility, note)
