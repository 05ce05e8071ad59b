"""A user's own recording makes the network better at it: tuned on one half, judged on the other."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from stereo_room import CAMERA, picture, sideways, true_depth

from showroom_ros.cli import train
from showroom_ros.datasets.tum_writer import write_tum
from showroom_ros.geometry.se3 import look_at
from showroom_ros.networks.plane_sweep import KIND
from showroom_ros.networks.weights import load_weights, save_weights
from showroom_ros.scene.view import SensorFrame, View
from showroom_ros.training.clips import ClipSettings
from showroom_ros.training.plane_sweep import PlaneSweepTask, PlaneSweepTaskSettings
from showroom_ros.training.trainer import WEIGHTS

CLIPS = ClipSettings(views=3, width=64, height=48, max_turn_deg=60.0)


class Recording:
    """The patterned room from some poses."""

    def __init__(self, name: str, poses: list[np.ndarray]) -> None:
        self.name, self.poses = name, poses

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> View:
        pose = self.poses[index]
        return replace(picture(pose, stamp_ns=10**9 + index * 10**8), depth=true_depth(CAMERA, pose))

    def frame(self, index: int) -> SensorFrame:
        view = self[index]
        return SensorFrame(view.image, view.camera, view.depth, T_world_camera=view.T_world_camera)


def elsewhere(count: int) -> list[np.ndarray]:
    """Along the opposite wall, which is nearer and has no ball."""
    eyes = [np.array([-0.5, 0.5 - 0.08 * n, 0.1]) for n in range(count)]
    return [look_at(eye, eye + np.array([-2.0, 0.3, 0.2])) for eye in eyes]


def abs_rel(weights: Path, data: Path) -> float:
    """Mean relative error of depth over the clips of a recording."""
    task = PlaneSweepTask(PlaneSweepTaskSettings(clips=CLIPS, hint_share=0.0), str(data), 0)
    samples = task.samples(True)
    network = load_weights(weights, KIND).network
    with torch.no_grad():
        return float(task.loss(network, task.collate([samples[n] for n in range(4)]), 0)["abs_rel"])


def tuned(init: Path, data: Path, out: Path, steps: int) -> Path:
    """``showroom train plane_sweep --init ... --data ...``; the weights that come out."""
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    settings = {f"task.clips.{name}": getattr(CLIPS, name) for name in ("views", "width", "height", "max_turn_deg")}
    settings |= {"learning_rate": 0.003, "validate_every": 0, "task.references": 1, "clip_norm": 1.0}
    words = ["plane_sweep", "--preset", "tiny", "--init", init, "--data", data, "--out", out, "--steps", steps]
    words += ["--batch", 2, "--device", "cpu", *(f"--set={name}={value}" for name, value in settings.items())]
    assert train.run(parser.parse_args([str(word) for word in words])) == 0
    return out / WEIGHTS


def test_tuned_on_one_half_of_a_recording_the_other_half_improves(tmp_path: Path) -> None:
    recordings = {"before": elsewhere(8), "first": sideways(16)[:8], "second": sideways(16)[8:]}
    for name, poses in recordings.items():
        write_tum(Recording(name, poses), tmp_path / name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = KIND.build(KIND.presets["tiny"])
        save_weights(tmp_path / "fresh.safetensors", KIND, KIND.presets["tiny"], network.state_dict(), {})
        general = tuned(tmp_path / "fresh.safetensors", tmp_path / "before", tmp_path / "general", 15)
        own = tuned(general, tmp_path / "first", tmp_path / "own", 30)
    before, after = abs_rel(general, tmp_path / "second"), abs_rel(own, tmp_path / "second")
    assert after < 0.7 * before, (before, after)
