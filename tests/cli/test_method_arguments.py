"""Methods that predict, from the command line: what is fused, what the report names, which mistakes are told."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from posed_pictures import SECOND_NS
from stereo_room import picture, sideways, true_depth

from showroom_ros.bags.convert import convert
from showroom_ros.cli.common import add_settings_arguments, settings_from
from showroom_ros.cli.main import main
from showroom_ros.cli.method import add_method_arguments, method_report
from showroom_ros.errors import ShowroomError
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance, SensorFrame
from showroom_ros.settings import Settings


class StereoRoom:
    """The patterned room with a depth camera; every step is half a keyframe's."""

    name = "stereo room"

    def __init__(self, count: int, has_depth: bool = True) -> None:
        self._poses, self._has_depth = sideways(count, 0.06), has_depth

    def __len__(self) -> int:
        return len(self._poses)

    def frame(self, index: int) -> SensorFrame:
        pose = self._poses[index]
        view = picture(pose, stamp_ns=SECOND_NS + index * SECOND_NS // 10)
        depth = true_depth(view.camera, pose) if self._has_depth else None
        return SensorFrame(view.image, view.camera, depth, T_world_camera=pose, stamp_ns=view.stamp_ns)


def reconstruct(bag: Path, out: Path, *arguments: str) -> dict:
    coarse = ["--set", "map.voxel_size_m=0.04", "--set", "map.truncation_m=0.16"]
    assert main(["reconstruct", str(bag), "--out", str(out), *coarse, *arguments]) == 0
    return json.loads((out / "report.json").read_text())


def test_colour_alone_is_scored_against_the_sensor(tmp_path: Path) -> None:
    pytest.importorskip("open3d")
    bag = tmp_path / "bag"
    convert(StereoRoom(12), bag, image_format="raw")
    plane_sweep = ["--method", "plane_sweep", "--model-file", "none"]
    report = reconstruct(bag, tmp_path / "colour", *plane_sweep, "--color-only")
    assert set(load_mesh(tmp_path / "colour" / "mesh.ply").provenance) == {Provenance.PREDICTED}
    assert 4 <= report["frames_fused"] <= 8, "keyframes only"
    assert report["frames_without_depth"] == 1
    assert report["reference"] == "Open3D VoxelBlockGrid"
    assert report["f_score"]["0.05"] > 0.75, report["f_score"]
    expected = {"method": "plane_sweep", "weights": None, "min_confidence": 0.2, "depth_of_a_sensor": False}
    assert {name: report[name] for name in expected} == expected


def test_a_recording_without_depth_needs_no_reference(tmp_path: Path) -> None:
    convert(StereoRoom(6, has_depth=False), tmp_path / "bag", image_format="raw")
    report = reconstruct(tmp_path / "bag", tmp_path / "out", "--method", "plane_sweep", "--model-file", "none")
    assert report["triangles"] > 500
    assert "reference" not in report


def settings_of(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_method_arguments(parser)
    add_settings_arguments(parser)
    return settings_from(parser.parse_args(arguments))


def test_arguments_win_against_settings() -> None:
    settings = settings_of(
        *("--set", "reconstruction.method=ioar", "--method", "plane_sweep"),
        *("--model-file", "mine.safetensors", "--device", "cuda", "--color-only"),
    )
    assert settings.reconstruction.method == "plane_sweep"
    assert settings.reconstruction.model_file == "mine.safetensors"
    assert settings.reconstruction.device == "cuda"
    assert not settings.keyframes.use_depth
    assert settings_of("--set", "reconstruction.method=ioar", "--color-only").reconstruction.method == "ioar"
    assert settings_of() == Settings()
    assert method_report(settings_of()) == {"method": "sensor_depth"}
    assert method_report(settings_of("--method", "plane_sweep", "--model-file", "none"))["depth_of_a_sensor"] is True


def test_the_report_names_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    report = method_report(settings_of("--method", "ioar", "--model-file", str(path)))
    assert report["weights"] == {"file": "mine.safetensors", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model-file", "mine.safetensors"], "--model-file is 'mine.safetensors', but method sensor_depth has no"),
        (
            ["--color-only"],
            "--color-only: method sensor_depth needs depth, expected --method plane_sweep or another",
        ),
        (["--method", "plane_sweep", "--model-file", "gone.safetensors"], "gone.safetensors"),
        (["--method", "plane_sweep", "--model-file", "no_such_name"], "'no_such_name' is no file and none of"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ShowroomError, match=message):
        method_report(settings_of(*arguments))
