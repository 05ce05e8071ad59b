"""A recipe small enough to be killed at every step, and the trees it makes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from showroom_ros.datasets.prepare.output import json_bytes, write_bytes
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.errors import DatasetError
from showroom_ros.settings import setting


@dataclass(frozen=True)
class MadeUpSettings:
    """Settings of the made-up recipe."""

    repeat: int = setting(2, "how often a line is repeated", minimum=1, maximum=9)
    upper: bool = setting(False, "in capitals")
    sign: str = setting("!", "put at the end", choices=("!", "?"))


def write_made_up(root: Path, count: int = 4) -> Path:
    """Files ``a0.txt``... in two folders."""
    for number in range(count):
        path = root / f"part{number % 2}" / f"a{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text {number}\n")
    return root


def find(root: Path, split: str | None) -> list[Item]:
    if split not in (None, "part0", "part1"):
        raise DatasetError(f"{root}: split '{split}' is unknown, expected one of part0, part1")
    files = sorted(root.glob(f"{split or '*'}/*.txt"))
    return [Item(f"{path.parent.name}/{path.stem}", path) for path in files]


def make(item: Item, out: Path, settings: MadeUpSettings) -> list[str]:
    text = item.source.read_text()
    if "defect" in text:
        raise ZeroDivisionError("a defect")
    if "die" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    write_bytes(out / "text.txt", (text.upper() if settings.upper else text).encode() * settings.repeat)
    if "broken" in text:
        raise DatasetError(f"{item.source}: is broken")
    write_bytes(out / "more" / "sign.txt", settings.sign.encode())
    return [f"line 1 of {item.source} is odd"] if "odd" in text else []


def make_slowly(item: Item, out: Path, settings: MadeUpSettings) -> list[str]:
    time.sleep(0.08)
    lines = make(item, out, settings)
    time.sleep(0.08)
    return lines


def combine(items: list[Item], out: Path, settings: MadeUpSettings) -> dict[str, bytes]:
    return {"keys.json": json_bytes([[item.key, (out / item.key / "text.txt").stat().st_size] for item in items])}


RECIPE = Recipe("made-up", "text, repeated", find, make, MadeUpSettings, combine)


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its path, and "" for every folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "showroom_manifest.json").read_text())
