"""What training tells while it runs: ``metrics.jsonl``, TensorBoard where installed, a bar, pictures."""

from __future__ import annotations

import importlib
import json
import logging
import struct
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, OutputError
from showroom_ros.scene.output_file import atomic_output

_log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


class Progress:
    """Where a training tells how it goes; the process that does not lead takes ``Silent``."""

    def __init__(self, out: Path, done: int, total: int) -> None:
        """Goes on in ``out`` after ``done`` of ``total`` steps: lines of later steps, of a run that died, go.

        Raises:
            OutputError: it cannot be written there.
        """
        self._path, self._out, self._total = out / METRICS, out, total
        _drop_lines_after(self._path, done)
        self._board = _tensorboard(out, done)
        self._bar = _bar(done, total)

    def step(self, done: int) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def metrics(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Values measured after ``step`` steps; ``kind`` is ``train`` or ``validation``.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror}") from error
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is None or kind != "train":
            _log.info("step %d/%d, %s: %s", step, self._total, kind, text)
        else:
            self._bar.set_postfix_str(text[:100], refresh=False)

    def picture(self, step: int, image: NDArray[np.uint8]) -> None:
        """A picture of what the network makes of a batch after ``step`` steps, RGB uint8 [H, W, 3].

        Raises:
            OutputError: it cannot be written.
        """
        write_png(self._out / "pictures" / f"{step:07d}.png", image)
        if self._board is not None:
            self._board.add_image("picture", image, step, dataformats="HWC")

    def close(self) -> None:
        """Ends bar and board."""
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()


class Silent(Progress):
    """Tells nothing."""

    def __init__(self) -> None:
        """Opens nothing."""

    def step(self, done: int) -> None:
        """Nothing."""

    def metrics(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Nothing."""

    def picture(self, step: int, image: NDArray[np.uint8]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes RGB uint8 [H, W, 3] as PNG (RFC 2083), without a library of images.

    Raises:
        InputError: another shape or type.
        OutputError: it cannot be written.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError(f"{path}: picture is {image.dtype} {image.shape}, expected uint8 [H, W, 3]")
    height, width = image.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], 1)  # 0: no filter
    with atomic_output(path) as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, body in (
            (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        ):
            file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of a ``metrics.jsonl``; the last may be cut short and is then left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def _drop_lines_after(path: Path, step: int) -> None:
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with atomic_output(path) as file:
        file.write("".join(json.dumps(line) + "\n" for line in kept).encode())


def _tensorboard(out: Path, done: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter(
            str(out / "tensorboard"), purge_step=done
        )
    except ImportError:
        return None


def _bar(done: int, total: int) -> Any:
    """A bar on the terminal, or None where there is no terminal or no tqdm: then lines are logged."""
    if not sys.stderr.isatty():
        return None
    try:
        return importlib.import_module("tqdm").tqdm(initial=done, total=total, unit="step", dynamic_ncols=True)
    except ImportError:
        return None
