"""The page a report is read on: one file, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from showroom_ros.evaluation.scene_table import html_table

_FOLDED = ("settings", "environment")
_BY_THRESHOLD = ("precision", "recall", "f_score")
_SHARES = (*_BY_THRESHOLD, "coverage")
_MAX_TILES = 8

_HEADLINES = (
    (("f_score", "0.05"), "F-score at 5 cm"),
    (("f_score", "0.02"), "F-score at 2 cm"),
    (("accuracy_m",), "accuracy"),
    (("completeness_m",), "completeness"),
    (("latency_ms", "p95"), "latency, 95 %"),
    (("keyframes_dropped",), "keyframes dropped"),
    (("peak_memory_mb",), "peak memory"),
    (("triangles",), "triangles"),
)
"""What the tiles at the top show, where a report has no ``summary``: path in the report, label."""

_UNITS = (
    ("_ms", 1.0, "ms"),
    ("_s", 1.0, "s"),
    ("_mb", 1.0, "MB"),
    ("_gib", 1.0, "GiB"),
    ("_hz", 1.0, "Hz"),
    ("_deg", 1.0, "°"),
    ("_px", 1.0, "px"),
    ("_db", 1.0, "dB"),
    ("_bytes", 1e-6, "MB"),
)
_ENDINGS = ("_m", *(ending for ending, _, _ in _UNITS))

_STYLE = """
:root { --ink: #22252a; --soft: #646b76; --line: #e1e4e9; --paper: #ffffff; --ground: #f4f5f7; --mark: #0f6fb8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa3af; --line: #333941; --paper: #1d2126; --ground: #15181c; --mark: #5fb2f0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 0.8rem; }
.about { color: var(--soft); margin: 0.3rem 0 1.6rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 0.8rem; }
.tile, .card, details { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 0.8rem 1rem; }
.tile b { display: block; font-size: 1.55rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.88rem; }
.card { padding: 0.3rem 1rem; overflow-x: auto; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 0.8rem;
  align-items: start; }
.columns h3 { font-size: 0.95rem; margin: 0.6rem 0 0.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.42rem 0.6rem; border-top: 1px solid var(--line); font-weight: 400; }
tr:first-child > * { border-top: 0; }
thead th { color: var(--soft); font-size: 0.88rem; }
th:first-child { text-align: left; }
td.best { color: var(--mark); font-weight: 600; }
figure { margin: 0 0 1rem; }
figure img { width: 100%; height: auto; display: block; border-radius: 10px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 0.9rem; padding: 0.35rem 0.1rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 0 1rem; }
.gallery .wide { grid-column: 1 / -1; }
details { margin-top: 0.8rem; padding: 0.7rem 1rem; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font-size: 0.85rem; line-height: 1.4; }
@media (max-width: 540px) { .gallery { grid-template-columns: 1fr; } }
"""


def html_page(title: str, report: Mapping[str, Any], pictures: Sequence[tuple[str, str, bytes]]) -> str:
    """The whole page.

    Args:
        title: its heading.
        report: plain values, as in JSON.
        pictures: (name, caption, JPEG file) in the order shown.
    """
    scenes = html_table(report) if report.get("scenes") and report.get("protocol") else ""
    body = "".join(
        [_tiles(report), scenes or _threshold_tables(report), _gallery(pictures), _figures(report), _folded(report)]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="about">{escape(_about(report))}</p>{body}</main></body></html>\n'
    )


def format_value(name: str, value: Any) -> str:
    """A value as a person reads it, in the unit its name ends in: ``format_value("accuracy_m", 0.004)`` = 4.0 mm."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(format_value("", item) for item in value)
    if not isinstance(value, int | float):
        return str(value)
    if name in _SHARES:
        return f"{value * 100:.2f} %"
    if name.endswith("_m"):
        return f"{value * 1000:.1f} mm" if abs(value) < 1 else f"{value:.2f} m"
    for ending, factor, unit in _UNITS:
        if name.endswith(ending):
            return f"{_number(value * factor)} {unit}"
    return _number(value)


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1e5:
        return f"{value:,.0f}".replace(",", "\u2009")
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _about(report: Mapping[str, Any]) -> str:
    environment = report.get("environment") or {}
    hardware = environment.get("hardware") or {}
    parts = [report.get("source") or report.get("data"), f"showroom_ros {environment.get('version', '?')}"]
    if isinstance(hardware, Mapping) and hardware.get("cpu"):
        parts.append(f"{hardware['cpu']}, {hardware.get('cores')} cores")
    return " · ".join(str(part) for part in parts if part)


def _tiles(report: Mapping[str, Any]) -> str:
    summary = report.get("summary")
    if isinstance(summary, Mapping):
        shown = [(_words(name), format_value(name, value)) for name, value in summary.items() if _is_leaf(value)]
    else:
        shown = []
        for path, label in _HEADLINES:
            value = _at(report, path)
            if value is not None:
                shown.append((label, format_value(path[0], value)))
    tiles = [f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in shown[:_MAX_TILES]]
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _threshold_tables(report: Mapping[str, Any]) -> str:
    groups = list(_score_groups(report, ""))
    if not groups:
        return ""
    rows = []
    for name, scores in groups:
        for threshold in sorted(scores["f_score"], key=float):
            cells = [_at(scores, (key, threshold)) for key in _BY_THRESHOLD]
            label = f"{_words(name) + ', ' if name else ''}within {float(threshold) * 100:g} cm"
            numbers = "".join(
                f"<td{' class=best' if key == 'f_score' else ''}>{'–' if cell is None else f'{cell * 100:.2f} %'}</td>"
                for key, cell in zip(_BY_THRESHOLD, cells, strict=True)
            )
            rows.append(f"<tr><th>{escape(label)}</th>{numbers}</tr>")
    head = "<thead><tr><th></th><th>precision</th><th>recall</th><th>F-score</th></tr></thead>"
    return f'<h2>Surface</h2><div class="card"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _score_groups(report: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dictionary with scores by threshold, with the name it has in the report."""
    if isinstance(report.get("f_score"), Mapping):
        yield name, report
    for key, value in report.items():
        if isinstance(value, Mapping) and key not in (*_FOLDED, "summary"):
            yield from _score_groups(value, key)


def _gallery(pictures: Sequence[tuple[str, str, bytes]]) -> str:
    figures = []
    for number, (name, caption, jpeg) in enumerate(pictures):
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        wide = ' class="wide"' if number == 0 or _is_wide(jpeg) else ""
        image = f'<img alt="{escape(caption)}" id="{escape(name)}" src="{source}">'
        figures.append(f"<figure{wide}>{image}<figcaption>{escape(caption)}</figcaption></figure>")
    return f'<h2>Pictures</h2><div class="gallery">{"".join(figures)}</div>' if figures else ""


def _is_wide(jpeg: bytes) -> bool:
    """Whether a JPEG is wider than twice its height, from its frame header."""
    place = 2
    while place + 9 < len(jpeg):
        marker, length = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xC2:
            height, width = (int.from_bytes(jpeg[place + i : place + i + 2], "big") for i in (5, 7))
            return width > 2 * height
        place += 2 + length
    return False


def _figures(report: Mapping[str, Any]) -> str:
    """All other values: loose ones in one table, each dictionary in its own."""
    loose = {k: v for k, v in report.items() if _is_leaf(v) and not _is_table(v)}
    cards = [_card("", loose)] if loose else []
    for name, value in report.items():
        if isinstance(value, Mapping) and name not in (*_FOLDED, "summary", *_BY_THRESHOLD):
            cards.append(_card(name, dict(_leaves(value, ""))))
    return f'<h2>All figures</h2><div class="columns">{"".join(cards)}</div>' if cards else ""


def _card(name: str, values: Mapping[str, Any]) -> str:
    heading = f"<h3>{escape(_words(name))}</h3>" if name else ""
    rows = "".join(
        f"<tr><th>{escape(_words(key))}</th><td>{escape(format_value(_unit_name(name, key), value))}</td></tr>"
        for key, value in values.items()
    )
    return f'<div class="card">{heading}<table>{rows}</table></div>'


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _unit_name(group: str, key: str) -> str:
    """The name that carries the unit: the key's own, or that of its group (``latency_ms: {p95: ...}``)."""
    return key if key.endswith(_ENDINGS) or not group else group


def _folded(report: Mapping[str, Any]) -> str:
    blocks = []
    for name in _FOLDED:
        if report.get(name):
            text = json.dumps(report[name], indent=2, ensure_ascii=False)
            blocks.append(f"<details><summary>{escape(_words(name))}</summary><pre>{escape(text)}</pre></details>")
    return f"<h2>Made with</h2>{''.join(blocks)}" if blocks else ""


def _words(name: str) -> str:
    """A name without its unit and underscores."""
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), "")
    words = name.removesuffix(ending).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _is_table(value: Any) -> bool:
    """A list of dictionaries, which has a table of its own or none."""
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, Mapping)


def _at(report: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = report
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value
