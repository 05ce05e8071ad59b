"""Files that belong to the package, in a checkout and installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from showroom_ros import installation
from showroom_ros.errors import ShowroomError


def test_files_of_the_checkout_are_found() -> None:
    root = Path(__file__).parents[1]
    assert installation.share_file("config", "showroom.yaml") == root / "config" / "showroom.yaml"
    assert installation.share_file("models") == root / "models"


def test_installed_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "share" / "showroom_ros" / "config" / "recipes"
    share.mkdir(parents=True)
    (share / "a.yaml").write_text("")
    monkeypatch.setattr(installation, "SOURCE", tmp_path / "nowhere")
    monkeypatch.setattr(
        installation, "__file__", str(tmp_path / "lib/python3/site-packages/showroom_ros/installation.py")
    )
    assert installation.share_file("config", "recipes", "a.yaml") == share / "a.yaml"


def test_what_is_missing_is_named() -> None:
    expected = r"b.yaml was not found, expected .*config/recipes/b.yaml or <prefix>/share/showroom_ros/config/recipes"
    with pytest.raises(ShowroomError, match=expected):
        installation.share_file("config", "recipes", "b.yaml")


def test_the_machine_has_a_name() -> None:
    assert installation.cpu_name()
    assert (installation.usable_cores() or 0) >= 1
