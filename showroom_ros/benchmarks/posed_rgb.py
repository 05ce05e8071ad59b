"""``showroom benchmark posed_rgb``: meshes from colour and poses, by every method, in one table.

``f5_*`` is the F-score at 5 cm by protocol C (TransformerFusion), ``f5b_*`` by protocol B (VoRTX, IOAR), both of a
recording as ``showroom reconstruct`` makes it; ``f5live_*`` is protocol C of what a live node has after the last
keyframe. Accuracy, completeness, precision and recall go with ``f5``. The truth of made-up test rooms is their exact
depth, of a recording its measured depth, fused from all frames that are given: what no frame sees is not asked for.

``absrel``, ``delta105``, ``delta110`` and ``share`` (of pixels with depth) are of the depth estimated for each
keyframe as it came, ``mesh_absrel`` and ``mesh_delta105`` of the mesh rendered into the recording's frames.
``ms_estimate`` is the estimator's time per keyframe, live, ``growth`` that of the last quarter of the keyframes over
that of the first, ``ms_offline`` all of its time for a recording per keyframe, ``ms_keyframe_*`` the network's alone.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from showroom_ros.benchmarks.plane_sweep_latency import latencies_ms
from showroom_ros.benchmarks.posed_rgb_data import (
    SYNTHETIC,
    SYNTHETIC_KEYFRAMES,
    JudgedScene,
    recorded_scene,
    synthetic_scene,
    synthetic_scenes,
)
from showroom_ros.benchmarks.posed_rgb_run import METHODS, THRESHOLD_M, SceneScores, run_method, warm_up
from showroom_ros.errors import InputError, WeightsError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.evaluation.protocol import mean_of
from showroom_ros.settings import Settings, to_dict

RECORDING = Path("../shared/data/redkitchen")
SCENES = 3

Say = Callable[[str], None]


def run(
    recording: Path | None = None,
    methods: Sequence[str] = tuple(METHODS),
    scenes: int = SCENES,
    device: str = "cpu",
    *,
    settings: Settings | None = None,
    latency_presets: Sequence[str] = ("small", "base"),
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Measures all methods on made-up test rooms and on a recording.

    Args:
        recording: with colour, depth and poses; None = RedKitchen where it lies beside the repository, else none.
        methods: names of ``METHODS``; ``NAME=FILE`` takes the weights of a file.
        scenes: made-up rooms; 0 = none.
        device: where networks and the map live.
        settings: but for the methods'.
        latency_presets: of the plane-sweep network whose latency is measured.
        say: told what is done next.

    Raises:
        InputError: an unknown method, a negative number of scenes, nothing to run on.
        ShowroomError: a recording or weights that were asked for cannot be used.
    """
    chosen = _chosen(methods)
    settings = settings or Settings()
    settings = dataclasses.replace(settings, reconstruction=dataclasses.replace(settings.reconstruction, device=device))
    missing = _missing(chosen)
    sources, left_out = _sources(recording, scenes, settings, device)
    if not sources:
        raise InputError(f"nothing to run on: {scenes} made-up rooms, {left_out.get('recording')}")
    warm: set[str] = set()
    scores: dict[tuple[str, str], list[SceneScores]] = {}
    described: list[dict[str, Any]] = []
    for source in sources:
        scene = source()
        described.append({"scene": scene.name, "data": scene.data, "keyframes": len(scene.keyframes), "scores": {}})
        for name, model_file in chosen.items():
            if name in missing:
                continue
            say(f"{scene.name}: {name}")
            if name not in warm:
                warm_up(METHODS[name], scene, settings, model_file)
                warm.add(name)
            gc.collect()
            found = run_method(METHODS[name], scene, settings, model_file)
            scores.setdefault((scene.data, name), []).append(found)
            described[-1]["scores"][name] = _as_dict(found)
    rows = [row for (data, name), found in scores.items() for row in _rows(f"{data}_{name}", found)]
    if latency_presets:
        say("latency of the networks")
        rows += [Row(f"ms_keyframe_{k}", v, "ms") for k, v in latencies_ms(latency_presets).items()]
    about = {**to_dict(settings), **_about(device), "scenes": described, "missing": {**missing, **left_out}}
    return BenchmarkResult("posed_rgb", about, _headline_first(rows))


def _chosen(methods: Sequence[str]) -> dict[str, str]:
    """Weights files by the method's name; "" = those shipped."""
    chosen = {}
    for text in methods:
        name, _, model_file = text.partition("=")
        if name not in METHODS:
            raise InputError(f"method '{name}' is unknown, expected one of {', '.join(METHODS)}")
        if model_file and not METHODS[name].network:
            raise InputError(f"method '{name}' has no network to give the weights {model_file} to")
        chosen[name] = model_file
    return chosen


def _missing(chosen: dict[str, str]) -> dict[str, str]:
    """Why methods cannot be run, by their names."""
    missing = {}
    for name, model_file in chosen.items():
        try:
            METHODS[name].weights(model_file)
        except WeightsError as error:
            missing[name] = str(error)
    return missing


def _sources(
    recording: Path | None, scenes: int, settings: Settings, device: str
) -> tuple[list[Callable[[], JudgedScene]], dict[str, str]]:
    """What makes the scenes, one after the other, and why there is no recording."""
    if scenes < 0:
        raise InputError(f"scenes is {scenes}, expected 0 or more")
    sources: list[Callable[[], JudgedScene]] = [
        lambda number=number: synthetic_scene(number, settings.keyframes, settings.map, device=device)  # type: ignore[misc]
        for number in synthetic_scenes(scenes)
    ]
    path = RECORDING if recording is None else recording
    if recording is None and not path.is_dir():
        return sources, {"recording": f"there is no {path}"}
    return [*sources, lambda: recorded_scene(path, settings.keyframes, settings.map)], {}


def _rows(ending: str, found: list[SceneScores]) -> list[Row]:
    """Means over the scenes of one kind of data, by one method; medians of times are averaged too."""
    mean = mean_of([_as_dict(scores) for scores in found])
    headline, refused, threshold = mean["headline"], mean["refused"], f"{THRESHOLD_M:g}"
    values = {
        "f5": (headline["f_score"][threshold], "score"),
        "f5b": (refused["f_score"][threshold], "score"),
        "f5live": (mean["live"]["f_score"][threshold], "score"),
        "accuracy": (headline["accuracy_m"], "m"),
        "completeness": (headline["completeness_m"], "m"),
        "precision": (headline["precision"][threshold], "score"),
        "recall": (headline["recall"][threshold], "score"),
        "absrel": (mean["depth"].get("abs_rel"), "ratio"),
        "delta105": (mean["depth"].get("delta_1_05"), "share"),
        "delta110": (mean["depth"].get("delta_1_1"), "share"),
        "share": (mean["depth"].get("complete"), "share"),
        "mesh_absrel": (mean["mesh_depth"].get("abs_rel"), "ratio"),
        "mesh_delta105": (mean["mesh_depth"].get("delta_1_05"), "share"),
        "ms_estimate": (mean["ms_keyframe"], "ms"),
        "growth": (mean["growth"], "ratio"),
        "ms_offline": (mean["ms_offline"], "ms"),
        "memory": (mean["memory_mib"], "MiB"),
        "device_memory": (mean.get("device_memory_mib"), "MiB"),
    }
    return [Row(f"{name}_{ending}", value, unit) for name, (value, unit) in values.items() if value is not None]


def _as_dict(scores: SceneScores) -> dict[str, Any]:
    return {
        **dataclasses.asdict(scores),
        "headline": scores.headline.to_dict(),
        "refused": scores.refused.to_dict(),
        "live": scores.live.to_dict(),
        "growth": scores.growth if math.isfinite(scores.growth) else None,
    }


def _headline_first(rows: list[Row]) -> list[Row]:
    """F-scores first, then latencies, then the rest."""
    order = ("f5_", "f5b_", "f5live_", "ms_keyframe_")
    return sorted(rows, key=lambda row: next((i for i, start in enumerate(order) if row.name.startswith(start)), 9))


def _about(device: str) -> dict[str, Any]:
    import torch

    cuda = device.startswith("cuda")
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if cuda else "",
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "headline": "f5: protocol C; f5b: protocol B; threshold 5 cm",
        "truth": f"{SYNTHETIC}: exact depth of at most {SYNTHETIC_KEYFRAMES} keyframes, fused; recordings: measured "
        "depth of all frames, fused",
    }
