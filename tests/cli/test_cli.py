"""The command line: results on disk, clear errors, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from showroom_ros.cli.main import COMMANDS, main
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small frames of a room, as a bag."""
    from showroom_ros.bags.convert import convert

    path = tmp_path_factory.mktemp("bags") / "room"
    convert(SyntheticSequence(3, frames=30, width=160, height=120), path)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert COMMANDS[command].lower()[:20] in capsys.readouterr().out.lower()


def test_reconstruct_writes_everything_and_is_deterministic(bag: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", str(bag), "--peer", "none", "--set", "map.voxel_size_m=0.04"]
    for name in ("a", "b"):
        assert main([*arguments, "--out", str(tmp_path / name), "--json", str(tmp_path / f"{name}.json")]) == 0
    first, second = (load_mesh(tmp_path / name / "mesh.ply") for name in ("a", "b"))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    assert len(first.triangles) > 1000
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["frames_fused"] == 29  # one is held back
    assert report["settings"]["map"]["voxel_size_m"] == 0.04
    assert report["color_reprojection"]["mean_error"] < 40
    trajectory = np.loadtxt(tmp_path / "a" / "trajectory.txt")
    assert trajectory.shape == (29, 8)
    for name in ("cloud.ply", "map.showroom", "settings.yaml", "report.html", "report.json"):
        assert (tmp_path / "a" / name).stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["reconstruct", "no/such/place"], "no/such/place"),
        (["reconstruct", "synthetic:seven"], "synthetic:seven"),
        (["reconstruct", "{bag}", "--set", "map.voxel_size=0.04"], "voxel_size"),
        (["reconstruct", "{bag}", "--set", "map.voxel_size_m=-1"], "map.voxel_size_m"),
        (["reconstruct", "{bag}", "--set", "map.voxel_size_m"], "NAME=VALUE"),
        (["reconstruct", "{bag}", "--params-file", "{tmp}/bad.yaml"], "bad.yaml"),
        (["reconstruct", "{bag}", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["convert", "{tmp}", "{tmp}/out"], "looked for"),
        (["view", "{tmp}"], "mesh.ply"),
        (["run", "--remap", "a=b"], "FROM:=TO"),
        (["run", "--sensor", "realsense_d999"], "realsense_d435"),
    ],
)
def test_mistakes_are_one_line(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    (tmp_path / "bad.yaml").write_text("map: {voxel_size_m: wide}")
    assert main([item.format(bag=bag, tmp=tmp_path) for item in arguments]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"showroom {arguments[0]}:")
    assert expected in message


def test_reconstruct_completes_what_nobody_saw(bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = [
        "--set",
        "map.voxel_size_m=0.04",
        "--set",
        "completion.max_views=2",
        "--set",
        "completion.image_width=96",
    ]
    assert main(["reconstruct", str(bag), "--complete", "--peer", "none", "--out", str(out), *settings]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["views_generated"] == 2
    seen, whole = load_mesh(out / "mesh.ply"), load_mesh(out / "completed.ply")
    assert not (seen.provenance == Provenance.GENERATED).any()
    assert (whole.provenance == Provenance.GENERATED).mean() > 0.05
    kept = whole.vertices[whole.provenance != Provenance.GENERATED]
    apart = KDTree(kept).query(seen.vertices)[0]
    assert np.quantile(apart, 0.99) < 0.01
    assert main(["reconstruct", str(bag), str(tmp_path), "--complete", "--out", str(out)]) != 0
