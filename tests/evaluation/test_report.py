"""Reports: plain JSON, one page that needs nothing else, written whole or not at all."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from showroom_ros import __version__
from showroom_ros.errors import OutputError
from showroom_ros.evaluation.html_page import format_value
from showroom_ros.evaluation.pictures import Picture
from showroom_ros.evaluation.report import write_bytes, write_json, write_report
from showroom_ros.installation import commit

REPORT = {
    "source": "synthetic:7",
    "f_score": {"0.02": 0.93456, "0.05": 0.99999},
    "precision": {0.02: 0.9, 0.05: 1.0},
    "recall": {0.02: np.float32(0.5), 0.05: 1.0},
    "accuracy_m": 0.00412,
    "completeness_m": math.nan,
    "latency_ms": {"p50": 41.0, "p95": np.float64(88.34)},
    "peer": {"f_score": {"0.02": 0.77}},
    "keyframes_dropped": np.int64(0),
    "settings": {"map": {"voxel_size_m": 0.02}},
    "note": "<script>alert('&')</script>",
}
PICTURES = [
    Picture("outside", "From <outside>", np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)),
    Picture("inside_0", "Wide", np.full((20, 90, 3), (200, 30, 10), np.uint8)),
]


class Page(HTMLParser):
    """Tags, texts and balance of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_report(tmp_path / "out", REPORT, PICTURES, title="Kitchen & co")
    return tmp_path / "out"


def test_files(written: Path) -> None:
    found = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert found == {"report.json", "report.html", "pictures/outside.png", "pictures/inside_0.png"}


def test_json_is_plain_and_stable(written: Path, tmp_path: Path) -> None:
    text = (written / "report.json").read_text()
    report = json.loads(text)
    assert report["f_score"] == {"0.02": 0.93456, "0.05": 0.99999}
    assert report["recall"]["0.02"] == 0.5
    assert report["completeness_m"] is None
    assert report["keyframes_dropped"] == 0
    assert report["environment"]["version"] == __version__
    assert report["environment"]["hardware"]["cores"] >= 1
    assert "NaN" not in text
    write_report(tmp_path / "again", dict(reversed(REPORT.items())), PICTURES)
    assert (tmp_path / "again" / "report.json").read_text() == text


def test_the_commit_is_named_where_there_is_one(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert head.startswith(commit(tmp_path) or "-")


def test_pictures_are_kept_exactly(written: Path) -> None:
    png = cv2.imread(str(written / "pictures" / "outside.png"))[..., ::-1]
    np.testing.assert_array_equal(png, PICTURES[0].image)


def test_page_needs_nothing_else(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    assert page.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    sources = [attributes["src"] for tag, attributes in page.tags if "src" in attributes]
    assert len(sources) == 2
    for source in sources:
        assert source is not None
        jpeg = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"), validate=True)
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) is not None
    style = "".join(page.texts)
    assert not re.search(r"url\(|@import|https?:", style)


def test_page_shows_the_figures(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    text = " ".join(page.texts)
    for wanted in ("Kitchen & co", "93.46 %", "4.1 mm", "88.3 ms", "77.00 %", "synthetic:7", "Within 2 cm"[1:], "Peer"):
        assert wanted in text, wanted
    assert "<script>alert('&')</script>" in text, "text, not a tag"
    folded = (written / "report.html").read_text().partition("<details>")[2]
    assert "voxel_size_m" in folded
    wide = [attributes for tag, attributes in page.tags if tag == "figure" and attributes.get("class") == "wide"]
    assert len(wide) == 2, "the first picture and the one wider than twice its height"


def test_summary_makes_the_tiles(tmp_path: Path) -> None:
    write_report(tmp_path, {"summary": {"views_fused": 314, "accuracy_m": 0.012}, "accuracy_m": 1.0})
    page = (tmp_path / "report.html").read_text()
    assert "<b>314</b><span>Views fused</span>" in page
    assert "<b>12.0 mm</b><span>Accuracy</span>" in page


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("accuracy_m", 0.004, "4.0 mm"),
        ("path_m", 12.345, "12.35 m"),
        ("latency_ms", 12.345, "12.3 ms"),
        ("duration_s", 7, "7 s"),
        ("f_score", 0.99956, "99.96 %"),
        ("map_bytes", 2_500_000, "2.500 MB"),
        ("triangles", 129037, "129\u2009037"),
        ("anything", None, "–"),
        ("flag", True, "yes"),
        ("best_shift_px", [1.0, -2.0], "1, -2"),
        ("name", "room", "room"),
    ],
)
def test_values_as_people_read_them(name: str, value: object, expected: str) -> None:
    assert format_value(name, value) == expected


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.json"
    write_json(target, {"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"report\.json: cannot be written: .*No space left"):
        write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "file", {"a": 1})
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(OutputError, match="cannot be encoded"):
        write_report(tmp_path / "out", {}, [Picture("none", "", np.zeros((0, 0, 3), np.uint8))])
