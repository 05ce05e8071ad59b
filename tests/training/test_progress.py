"""Metrics that survive, pictures without a library of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from showroom_ros.errors import InputError, OutputError
from showroom_ros.training.progress import Progress, read_metrics, write_png


def test_pictures_are_read_back_as_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 13, 3), dtype=np.uint8)
    write_png(tmp_path / "deep" / "a.png", image)
    read = cv2.imread(str(tmp_path / "deep" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[..., ::-1], image)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"a.png: picture is .*, expected uint8 \[H, W, 3\]"):
        write_png(tmp_path / "a.png", image)


def test_lines_of_a_run_that_died_after_its_checkpoint_go(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 0, 9)
    for step in (1, 2, 3):
        progress.metrics(step, "train", {"loss": 1.0 / step})
    progress.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "kind": "tr')
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    progress = Progress(tmp_path, 2, 9)
    progress.metrics(3, "train", {"loss": 7.0})
    progress.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [(1, 1.0), (2, 0.5), (3, 7.0)]


def test_it_tells_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Progress(tmp_path / "file", 0, 9)
