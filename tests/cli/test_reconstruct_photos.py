"""``showroom reconstruct PHOTO...``, with a network that knows the truth."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from multi_view_oracle import Oracle, textured
from tsdf_scenes import room_views

from showroom_ros.cli.main import main
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance

NETWORK = ["--method", "multi_view"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Files, and the oracle in the network's place; PNG, so that it knows its images again."""
    views = textured(room_views(16), 0)
    for number, view in enumerate(views):
        cv2.imwrite(str(tmp_path / f"p{number:02d}.png"), cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR))
    oracle = Oracle(views)
    oracle.metric = True
    oracle._rng = _Steady(oracle._rng)
    monkeypatch.setattr("showroom_ros.reconstruction.multi_view_torch.load_pointmap_network", lambda *_: oracle)
    return tmp_path


class _Steady:
    """A generator whose units are all one: the network knows metres."""

    def __init__(self, rng):
        self._rng = rng

    def __getattr__(self, name):
        return getattr(self._rng, name)

    def uniform(self, low, high, size=None):
        return 1.0 if size is None else self._rng.uniform(low, high, size)


def test_photos_become_a_mesh_a_cloud_poses_and_a_report(photos, tmp_path, capsys):
    out = tmp_path / "out"
    files = sorted(map(str, photos.glob("*.png")))
    assert main(["reconstruct", *files, "--out", str(out), "--set", "map.voxel_size_m=0.04", *NETWORK]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["photos_placed"] == 16
    assert report["scale"] == "network"
    for name in ("mesh.ply", "cloud.ply"):
        mesh = load_mesh(out / name)
        assert len(mesh.vertices) > 1000
        assert (mesh.provenance == Provenance.PREDICTED).all()
    assert len(load_mesh(out / "mesh.ply").triangles) > 1000
    poses = np.loadtxt(out / "trajectory.txt")
    assert poses.shape == (16, 8)
    images = [line for line in (out / "colmap" / "images.txt").read_text().splitlines() if line.endswith(".png")]
    cameras = (out / "colmap" / "cameras.txt").read_text().splitlines()[1:]
    assert len(images) == len(cameras) == 16
    assert images[0].split()[-1] == "p00.png"
    assert cameras[0].split()[1:4] == ["PINHOLE", "160", "120"]
    assert (out / "report.html").is_file()
    assert "photos_placed        16" in capsys.readouterr().out


def test_a_folder_will_do_and_a_broken_photo_is_named(photos, tmp_path, capsys):
    (photos / "p99.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--mesher", "tsdf", "--set", "map.voxel_size_m=0.04", *NETWORK]
    assert main(["reconstruct", str(photos), *arguments]) == 0
    report = json.loads((out / "report.json").read_text())
    assert list(report["photos_rejected"]) == ["p99.png"]
    assert report["photos_placed"] == 16
    assert len(load_mesh(out / "mesh.ply").triangles) > 1000


def test_several_sources_must_be_photos(photos, tmp_path, capsys):
    assert main(["reconstruct", str(photos / "p00.png"), "synthetic:7", "--out", str(tmp_path / "o")]) != 0
    assert "synthetic:7: several sources, expected photos" in capsys.readouterr().err


def test_photos_that_cannot_be_read_end_with_a_reason(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"nothing")
    assert main(["reconstruct", str(tmp_path / "a.png"), "--out", str(tmp_path / "o")]) != 0
    assert "none of the 1 photos can be read" in capsys.readouterr().err


def test_weights_that_are_not_there_are_named(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    code = main(["reconstruct", str(photos), "--out", str(tmp_path / "o"), "--model-file", "/nowhere.safetensors",
                 "--method", "multi_view"])  # fmt: skip
    assert code != 0
    assert "/nowhere.safetensors: no such file" in capsys.readouterr().err


def test_photos_of_views_keep_what_is_known():
    from showroom_ros.reconstruction.photos import Photo, duplicates

    view = textured(room_views(4), 1)
    photos = [Photo(v.image, v.camera) for v in (*view, view[2])]
    assert duplicates(photos) == {4: 2}
    shifted = dataclasses.replace(photos[0], image=np.roll(photos[0].image, 20, 1))
    assert duplicates([photos[0], shifted]) == {}
