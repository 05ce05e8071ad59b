"""Services write below ``output.output_dir`` and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from showroom_ros.errors import OutputError
from showroom_ros.reconstruction.outputs import make_parent, resolve_output
from showroom_ros.settings import OutputSettings


def test_relative_paths_are_below_the_output_folder(tmp_path: Path) -> None:
    settings = OutputSettings(output_dir=str(tmp_path))
    assert resolve_output("a/mesh.ply", settings) == tmp_path / "a" / "mesh.ply"
    assert resolve_output(str(tmp_path / "mesh.ply"), settings) == tmp_path / "mesh.ply"
    assert resolve_output("a/../mesh.ply", settings) == tmp_path / "mesh.ply"


@pytest.mark.parametrize("path", ["../mesh.ply", "/etc/mesh.ply", "a/../../mesh.ply", "link/mesh.ply", "", " ", "a\0b"])
def test_everything_else_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "out"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match=r"file_path|output_dir"):
        resolve_output(path, OutputSettings(output_dir=str(root)))


def test_it_may_be_allowed(tmp_path: Path) -> None:
    settings = OutputSettings(output_dir=str(tmp_path / "out"), allow_any_path=True)
    assert resolve_output("../mesh.ply", settings) == tmp_path / "mesh.ply"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        make_parent(tmp_path / "file" / "mesh.ply")
