"""The table of scores with a row per scene, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column: where its number lies in a row, its heading, factor and decimals."""

    path: tuple[str, ...]
    heading: str
    factor: float = 1.0
    decimals: int = 3

    def text(self, row: Mapping[str, Any]) -> str:
        """The number of a row, or a dash."""
        value = value_at(row, self.path)
        return f"{value * self.factor:.{self.decimals}f}" if isinstance(value, int | float) else "–"


_DISTANCES = (
    Column(("accuracy_m",), "Acc [cm]", 100, 2),
    Column(("completeness_m",), "Comp [cm]", 100, 2),
    Column(("chamfer_m",), "Chamfer [cm]", 100, 2),
)
_SHARES = (("precision", "Prec"), ("recall", "Recall"), ("f_score", "F"))
_REST = (
    Column(("normal_consistency",), "Normals"),
    Column(("depth", "abs_diff"), "AbsDiff [cm]", 100, 2),
    Column(("depth", "abs_rel"), "AbsRel", 1, 4),
    Column(("depth", "delta_1_05"), "δ<1.05"),
    Column(("depth", "delta_1_25"), "δ<1.25"),
    Column(("depth", "complete"), "Complete"),
    Column(("trajectory", "ate_m", "rmse"), "ATE [cm]", 100, 2),
    Column(("trajectory", "rpe_translation_m", "rmse"), "RPE [cm]", 100, 2),
    Column(("trajectory", "rpe_rotation_deg", "rmse"), "RPE [°]", 1, 2),
)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns for which some row has a number; precision, recall and F-score by threshold."""
    thresholds = sorted({key for row in rows for key in row.get("f_score", {})}, key=float)
    shares = [
        Column((name, threshold), f"{label} {float(threshold) * 100:g} cm")
        for threshold in thresholds
        for name, label in _SHARES
    ]
    candidates = [*_DISTANCES, *shares, *_REST]
    return [column for column in candidates if any(value_at(row, column.path) is not None for row in rows)]


def text_table(report: Mapping[str, Any]) -> str:
    """The scenes of an evaluation and their mean in columns, the protocol above them."""
    lines = [caption(report)]
    cells = _cells(report)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        first, *others = row
        lines.append(
            "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))])
        )
    lines += [f"{row['scene']}: {row['note']}" for row in report["scenes"] if row.get("note")]
    return "\n".join(lines)


def html_table(report: Mapping[str, Any]) -> str:
    """The same as a section of the page."""
    head, *body = _cells(report)
    headings = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in others)}</tr>"
        for first, *others in body
    )
    notes = "".join(
        f'<p class="about">{escape(str(row["scene"]))}: {escape(str(row["note"]))}</p>'
        for row in report["scenes"]
        if row.get("note")
    )
    return (
        f'<h2>Scenes</h2><p class="about">{escape(caption(report))}</p><div class="card"><table>'
        f"<thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>{notes}"
    )


def caption(report: Mapping[str, Any]) -> str:
    """The protocol in one line: every table is under it."""
    protocol = report["protocol"]
    sign = "up to" if protocol["inclusive"] else "below"
    sources = sorted({str(row["visibility"]) for row in report["scenes"] if row.get("visibility")})
    mask = f"; visibility {', '.join(sources)}" if sources else ""
    return f"Protocol {protocol['name']} ({protocol['title']}; {protocol['citation']}), a point is right {sign} " + (
        f"{protocol['threshold_m'] * 100:g} cm{mask}"
    )


def value_at(row: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What lies at the path, None where nothing does."""
    value: Any = row
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    rows = [*report["scenes"], *([{"scene": "mean", **report["mean"]}] if len(report["scenes"]) > 1 else [])]
    columns = columns_of(rows)
    table = [["scene", *(column.heading for column in columns)]]
    return table + [[str(row["scene"]), *(column.text(row) for column in columns)] for row in rows]
