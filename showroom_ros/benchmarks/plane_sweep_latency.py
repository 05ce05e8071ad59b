"""How long the plane-sweep networks take per keyframe, as the live matcher calls them.

Encoding one image and its depth from seven sources, whose features are there already; weights are random, for
they do not matter. Needs torch and numpy only, so it runs on a machine with a GPU and nothing else:
``python -m showroom_ros.benchmarks.plane_sweep_latency --device cuda --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.scene.output_file import atomic_output

SIZES = {"small": (320, 240), "base": (640, 480)}
"""Presets and the image sizes they are for."""
SOURCES = 7

_REPEATS = {"cpu": 3, "cuda": 30}


def latencies_ms(presets: Sequence[str] = tuple(SIZES), devices: Sequence[str] | None = None) -> dict[str, float]:
    """Median milliseconds by ``{preset}_{cpu|gpu}``.

    Args:
        presets: of ``networks.plane_sweep``, with a size in ``SIZES``.
        devices: as torch names them; None = all kinds there are.

    Raises:
        InputError: an unknown preset.
    """
    import torch

    if unknown := sorted(set(presets) - set(SIZES)):
        raise InputError(f"preset '{unknown[0]}' has no size to be timed at, expected one of {', '.join(SIZES)}")
    if devices is None:
        devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return {
        f"{preset}_{'gpu' if device.startswith('cuda') else 'cpu'}": latency_ms(preset, *SIZES[preset], device)
        for device in devices
        for preset in presets
    }


def latency_ms(preset: str, width: int, height: int, device: str, sources: int = SOURCES) -> float:
    """Median milliseconds for one keyframe of ``width`` x ``height`` pixels, copies to and from the device included."""
    import torch

    from showroom_ros.networks.plane_sweep import KIND
    from showroom_ros.reconstruction.plane_sweep_torch import LearnedMatcher
    from showroom_ros.reconstruction.source_views import Keyframe

    with torch.random.fork_rng(devices=[]):
        matcher = LearnedMatcher(KIND.build(KIND.presets[preset]), device)  # type: ignore[arg-type]
    camera = assumed_camera(width, height)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    others: list[Any] = [
        Keyframe(camera, pose_from((0.05 * (number + 1), 0.0, 0.0)), SimpleNamespace(prepared=matcher.prepare(image)))
        for number in range(sources)
    ]
    times_ms = []
    for _ in range(1 + _REPEATS["cuda" if device.startswith("cuda") else "cpu"]):
        start = time.perf_counter()
        reference: Any = Keyframe(camera, np.eye(4), SimpleNamespace(prepared=matcher.prepare(image)))
        matcher.match(reference, others, None)  # returns arrays: what the device had queued is done
        times_ms.append((time.perf_counter() - start) * 1e3)
    return median(times_ms[1:])


def main(argv: list[str] | None = None) -> int:
    """Measures where only torch and numpy are installed, and writes JSON."""
    import torch

    parser = argparse.ArgumentParser(description="Latency of the plane-sweep networks.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args(argv)
    cuda = chosen.device.startswith("cuda")
    content = {
        "benchmark": "plane_sweep_latency",
        "device": torch.cuda.get_device_name(chosen.device) if cuda else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "ms_keyframe": latencies_ms(devices=(chosen.device,)),
    }
    with atomic_output(chosen.json) as file:
        file.write(json.dumps(content, indent=2).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
