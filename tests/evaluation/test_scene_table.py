"""The table with a row per scene, in the terminal and on the page."""

from __future__ import annotations

from pathlib import Path

from showroom_ros.evaluation.protocol import TRANSFORMER_FUSION, mean_of
from showroom_ros.evaluation.report import write_html
from showroom_ros.evaluation.scene_table import text_table

ROWS = [
    {"scene": "kitchen <1>", "accuracy_m": 0.0123, "f_score": {"0.05": 0.8}, "precision": {"0.05": 0.9},
     "recall": {"0.05": 0.72}, "visibility": "official", "note": "", "depth": {"abs_rel": 0.05}},
    {"scene": "office", "accuracy_m": 1.0, "f_score": {"0.05": 0.0}, "precision": {"0.05": 1.0},
     "recall": {"0.05": 0.0}, "visibility": None, "note": "nothing was predicted"},
]  # fmt: skip
REPORT = {"protocol": TRANSFORMER_FUSION.to_dict(), "scenes": ROWS, "mean": mean_of(ROWS), "settings": {"seed": 3}}


def test_text_names_the_protocol_and_has_a_row_per_scene() -> None:
    head, columns, kitchen, office, mean, note = text_table(REPORT).splitlines()
    assert head.startswith("Protocol C (TransformerFusion; Bozic et al., NeurIPS 2021)")
    assert "up to 5 cm; visibility official" in head
    assert columns.split("  ")[0] == "scene"
    assert columns.split()[1:] == ["Acc", "[cm]", "Prec", "5", "cm", "Recall", "5", "cm", "F", "5", "cm", "AbsRel"]
    assert kitchen.split()[2:] == ["1.23", "0.900", "0.720", "0.800", "0.0500"]
    assert office.split()[1:] == ["100.00", "1.000", "0.000", "0.000", "–"]
    assert mean.split()[1:] == ["50.62", "0.950", "0.360", "0.400", "0.0500"]
    assert note == "office: nothing was predicted"


def test_one_scene_needs_no_mean() -> None:
    assert "mean" not in text_table({**REPORT, "scenes": ROWS[:1]})


def test_page(tmp_path: Path) -> None:
    write_html(tmp_path / "page.html", REPORT, title="Evaluation")
    page = (tmp_path / "page.html").read_text()
    assert "kitchen &lt;1&gt;" in page
    assert "<td>0.800</td>" in page
    assert "Bozic et al." in page
    assert "nothing was predicted" in page
    assert "<1>" not in page
    assert page.count("{&#x27;") == 0, "no dictionary is printed as text"
