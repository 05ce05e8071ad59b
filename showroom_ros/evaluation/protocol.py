"""The mesh protocols by name. Numbers of different protocols are not comparable."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from showroom_ros.errors import InputError
from showroom_ros.evaluation.plain_values import plain
from showroom_ros.evaluation.point_scores import PointScores

_UNKNOWN = PointScores(math.nan, math.nan, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Protocol:
    """What is compared with what, and how it is counted.

    Attributes:
        name: what ``--protocol`` and every table call it.
        title: who judges by it.
        citation: where it was defined.
        predicted: where the predicted points come from.
        truth: where the true points come from.
        trimming: which predicted points are judged.
        threshold_m: distance within which a point counts as right.
        inclusive: whether one at exactly that distance does.
        max_distance_m: larger distances count as this; None = as they are.
        refusion: whether the prediction is rendered and fused again, and how many walls that gives a surface.
        missing: scores of a scene for which nothing was predicted.
    """

    name: str
    title: str
    citation: str
    predicted: str
    truth: str
    trimming: str
    threshold_m: float = 0.05
    inclusive: bool = False
    max_distance_m: float | None = None
    refusion: Literal["one wall", "two walls"] | None = None
    missing: PointScores = _UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """The description for a report; the rule for missing scenes as a dictionary."""
        return {**dataclasses.asdict(self), "missing": plain(self.missing._asdict())}


@dataclass(frozen=True)
class ProtocolScores:
    """Scores of one scene by one protocol; distances NaN where the protocol defines none.

    Attributes:
        protocol: name of the protocol.
        accuracy_m: mean distance of predicted points to true ones.
        completeness_m: mean distance of true points to predicted ones.
        chamfer_m: mean of the two.
        precision, recall, f_score: by threshold in metres.
        predicted_points: predicted points judged.
        truth_points: true points judged.
        visibility: where the mask of protocols C and D came from: ``official``, ``from depth``,
            ``from the true mesh``; None for protocols without one.
        note: what else a reader must know, or nothing.
    """

    protocol: str
    accuracy_m: float
    completeness_m: float
    chamfer_m: float
    precision: dict[float, float]
    recall: dict[float, float]
    f_score: dict[float, float]
    predicted_points: int
    truth_points: int
    visibility: str | None = None
    note: str = ""

    @staticmethod
    def of(
        protocol: Protocol,
        scores: PointScores,
        predicted_points: int,
        truth_points: int,
        visibility: str | None = None,
        note: str = "",
    ) -> ProtocolScores:
        """From the scores of the points."""
        return ProtocolScores(
            protocol.name,
            scores.accuracy_m,
            scores.completeness_m,
            (scores.accuracy_m + scores.completeness_m) / 2,
            {protocol.threshold_m: scores.precision},
            {protocol.threshold_m: scores.recall},
            {protocol.threshold_m: scores.f_score},
            predicted_points,
            truth_points,
            visibility,
            note,
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: thresholds as strings (``"0.05"``), None for what is not known."""
        values: dict[str, Any] = plain(dataclasses.asdict(self))
        return values


ATLAS = Protocol(
    name="A",
    title="Atlas",
    citation="Murez et al., ECCV 2020",
    predicted="vertices of the mesh rendered into every frame and fused again at 4 cm, thinned to 2 cm",
    truth="vertices of the true mesh, thinned to 2 cm",
    trimming="what no frame sees is not fused again; unseen space counts as free, so surfaces get a second wall",
    refusion="two walls",
)

NEURALRECON = Protocol(
    name="A-NeuralRecon",
    title="NeuralRecon",
    citation="Sun et al., CVPR 2021",
    predicted="as A, fused again up to 5 m",
    truth="vertices of the true mesh, thinned to 2 cm",
    trimming="what no frame sees is not fused again; unseen space is left out, so surfaces have one wall",
    refusion="one wall",
)

VORTX = Protocol(
    name="B",
    title="VoRTX, IOAR",
    citation="Stier et al., 3DV 2021",
    predicted="as A, rendered depth removed where the true mesh renders nothing, within the bounds of the true volume",
    truth="vertices of the true mesh, thinned to 2 cm",
    trimming="what no frame sees or the true mesh does not cover is not fused again; one wall",
    refusion="one wall",
)

TRANSFORMER_FUSION = Protocol(
    name="C",
    title="TransformerFusion",
    citation="Bozic et al., NeurIPS 2021",
    predicted="200 000 points on the surface as predicted",
    truth="vertices of the true mesh",
    trimming="predicted points in or beside occluded voxels do not count; all of them if every one is",
    inclusive=True,
    max_distance_m=1.0,
    missing=PointScores(1.0, 1.0, 1.0, 0.0, 0.0),
)

DOUBLETAKE = Protocol(
    name="D",
    title="DoubleTake",
    citation="Sayed et al., ECCV 2024",
    predicted="200 000 points on the surface as predicted, seed 0",
    truth="vertices of the true mesh in full resolution",
    trimming="predicted points count where more than half of the 2 cm voxels around are seen, or up to 0.3 m behind",
    inclusive=True,
)

SHOWROOM = Protocol(
    name="showroom",
    title="showroom_ros",
    citation="after Knapitsch et al., SIGGRAPH 2017",
    predicted="200 000 points on the surface as predicted; distances are exact, from point to triangle",
    truth="200 000 points on the true mesh that a frame sees",
    trimming="none: surface invented where nothing is counts",
    inclusive=True,
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (ATLAS, NEURALRECON, VORTX, TRANSFORMER_FUSION, DOUBLETAKE, SHOWROOM)
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InputError: there is none; names those there are.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol '{name}' is unknown, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def mean_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of every number over the rows (nested dictionaries too) that have it; None where none has.

    F-scores are averaged, not computed from mean precision and recall: so do all protocols.
    """
    means: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values and all(isinstance(value, Mapping) for value in values):
            means[name] = mean_of(values)
        elif values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            finite = [value for value in values if math.isfinite(value)]
            means[name] = math.fsum(finite) / len(finite) if finite else None
        elif not values:
            means[name] = None
    return means
