"""Frames of a video file by their number."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import DatasetError


class VideoFrames:
    """Frames of a video, decoded when asked for.

    Frames are counted, not sought: seeking lands on the wrong frame in videos with frames that depend on others.
    In order of time each frame is decoded once; going back starts the video anew. Safe in forked workers, not in
    threads.

    Attributes:
        path: the file.
        count: number of frames, as the container states it.
    """

    def __init__(self, path: Path) -> None:
        """Opens the video; raises ``DatasetError`` where it is missing or cannot be decoded."""
        self.path = path
        self._opened_by, self._next = -1, 0
        self._open()
        self.count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB of a frame; raises ``DatasetError`` where the video ends before it."""
        if number < self._next or self._opened_by != os.getpid():
            self._open()
        while self._next < number and self._capture.grab():
            self._next += 1
        found, image = self._capture.read() if self._next == number else (False, None)
        if not found or image is None:
            raise DatasetError(f"{self.path}: ends after {self._next} frames, expected frame {number}")
        self._next += 1
        return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def __getstate__(self) -> dict[str, object]:
        """For worker processes: they open the file themselves."""
        return {"path": self.path, "count": self.count, "_opened_by": -1, "_next": 0}

    def _open(self) -> None:
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: no such file, expected a video")
        self._capture = cv2.VideoCapture(str(self.path))
        self._opened_by, self._next = os.getpid(), 0
        if not self._capture.isOpened():
            raise DatasetError(f"{self.path}: cannot be decoded as a video ({self.path.stat().st_size} bytes)")
