"""``showroom generate`` with a network of random weights: everything is written, and holds together."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from showroom_ros.cli.main import main
from showroom_ros.completion.splats import load_gaussians
from showroom_ros.networks.depth_completion import KIND
from showroom_ros.networks.weights import save_weights
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance


@pytest.fixture
def image(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (96, 72), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    return tmp_path / "photo.png"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    settings = KIND.presets["tiny"]
    path = tmp_path / "tiny.safetensors"
    save_weights(path, KIND, settings, KIND.build(settings).state_dict(), {})
    return str(path)


def test_a_stage_from_one_image(image: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "scene.ply"
    words = ["--image", str(image), "--out", str(out), "--depth-completer-file", weights, "--turntable", "2"]
    assert main(["generate", *words, "--splat-iterations", "1"]) == 0
    report = json.loads(out.with_name("scene.json").read_text())
    assert report["views"] == 3
    cloud = load_mesh(out)
    assert len(cloud.vertices) == report["points"] > 96 * 72
    assert set(cloud.provenance) == {Provenance.PREDICTED, Provenance.GENERATED}
    assert len(load_gaussians(out.with_name("scene_splats.ply")).means) == report["points"]
    assert len(load_mesh(out.with_name("scene_mesh.ply")).triangles) == report["triangles"] > 0
    assert len(list(out.with_name("scene_pictures").glob("*.png"))) == 5 == report["pictures"]
    assert "written to" in capsys.readouterr().out


def test_measured_depth_stays_measured(image: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((72, 96), 2000, np.uint16))
    out = tmp_path / "scene.ply"
    words = ["--image", str(image), "--depth", str(tmp_path / "depth.png"), "--out", str(out), "--mode", "single"]
    assert main(["generate", *words, "--depth-completer", "planes", "--splat-iterations", "0", "--turntable", "0"]) == 0
    cloud = load_mesh(out)
    assert set(cloud.provenance) == {Provenance.MEASURED}
    np.testing.assert_allclose(cloud.vertices[:, 2], 2.0)


def test_bad_input(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "scene.ply")
    assert main(["generate", "--image", str(tmp_path / "no.png"), "--out", out]) == 1
    assert "no.png" in capsys.readouterr().err
    assert main(["generate", "--image", str(image), "--out", out, "--depth-completer", "planes"]) == 1
    assert "no pixel has depth" in capsys.readouterr().err
    assert main(["generate", "--image", str(image), "--out", out, "--depth-completer", "guess"]) == 1
    assert "guess" in capsys.readouterr().err
