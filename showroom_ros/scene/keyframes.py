"""Which frames are worth keeping: those that show something new and are not blurred."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import rotation_angle_deg
from showroom_ros.settings import KeyframeSettings

_SHARPNESS_WINDOW = 30
_SHARPNESS_HEIGHT = 240
_THUMBNAIL = (32, 24)


@dataclass(frozen=True)
class KeyframeDecision:
    """Whether a frame is a keyframe and why.

    Reasons for are ``first``, ``moved``, ``turned``, ``changed`` and ``interval``, against ``still`` and ``blurred``.
    """

    is_keyframe: bool
    reason: str


class KeyframeSelector:
    """Takes frames in the order of their stamps.

    ``consider`` asks only the pose and the time, which are cheap; ``select`` also looks at the image.
    Without poses the image's change since the last keyframe stands for motion. Stamps that go back
    start anew.

    Attributes:
        settings: thresholds; may be replaced at any time.
    """

    def __init__(self, settings: KeyframeSettings) -> None:
        """Starts without a keyframe: the first sharp frame will be one."""
        self.settings = settings
        self._pose: NDArray[np.float64] | None = None
        self._stamp_ns: int | None = None
        self._newest_ns: int | None = None
        self._thumbnail: NDArray[np.float32] | None = None
        self._sharpness: deque[float] = deque(maxlen=_SHARPNESS_WINDOW)

    def reset(self) -> None:
        """Forgets everything: the next sharp frame is a keyframe."""
        self._pose = self._stamp_ns = self._newest_ns = self._thumbnail = None
        self._sharpness.clear()

    def consider(self, T_world_camera: NDArray[np.float64] | None, stamp_ns: int) -> KeyframeDecision:
        """Whether a frame may be a keyframe as far as its pose [4, 4] and stamp can tell."""
        if self._newest_ns is not None and stamp_ns < self._newest_ns:
            self.reset()
        self._newest_ns = stamp_ns
        if self._stamp_ns is None:
            return KeyframeDecision(True, "first")
        if 0 < self.settings.max_interval_s <= (stamp_ns - self._stamp_ns) / 1e9:
            return KeyframeDecision(True, "interval")
        if T_world_camera is None or self._pose is None:
            return KeyframeDecision(True, "changed")
        if np.linalg.norm(T_world_camera[:3, 3] - self._pose[:3, 3]) >= self.settings.min_translation_m:
            return KeyframeDecision(True, "moved")
        if rotation_angle_deg(self._pose, T_world_camera) >= self.settings.min_rotation_deg:
            return KeyframeDecision(True, "turned")
        return KeyframeDecision(False, "still")

    def select(
        self, image: NDArray[np.uint8], T_world_camera: NDArray[np.float64] | None, stamp_ns: int
    ) -> KeyframeDecision:
        """Whether the frame is a keyframe; if so, later ones are compared to it.

        Args:
            image: uint8 [H, W, 3] or [H, W].
            T_world_camera: float64 [4, 4], or None without poses.
            stamp_ns: time of the image.
        """
        decision = self.consider(T_world_camera, stamp_ns)
        if not decision.is_keyframe:
            return decision
        gray = _small_gray(image)
        thumbnail = _thumbnail(gray)
        if decision.reason == "changed" and self._change(thumbnail) < self.settings.min_appearance_change:
            return KeyframeDecision(False, "still")
        if self._is_blurred(gray):
            return KeyframeDecision(False, "blurred")
        self._pose, self._stamp_ns, self._thumbnail = T_world_camera, stamp_ns, thumbnail
        return decision

    def _is_blurred(self, gray: NDArray[np.uint8]) -> bool:
        """Compares to the frames seen lately, so that a plain wall is no blur for ever."""
        value = sharpness(gray)
        usual = float(np.median(self._sharpness)) if self._sharpness else value
        self._sharpness.append(value)
        return value < self.settings.min_sharpness * usual

    def _change(self, thumbnail: NDArray[np.float32]) -> float:
        if self._thumbnail is None:
            return np.inf
        return 1.0 - float(np.mean(thumbnail * self._thumbnail))


def sharpness(gray: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of uint8 [H, W] (Pech-Pacheco et al., 2000): low for a blurred image."""
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def _small_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = max(1, image.shape[0] // _SHARPNESS_HEIGHT)
    small = np.ascontiguousarray(image[::step, ::step])
    return small if small.ndim == 2 else np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def _thumbnail(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Small image of zero mean and unit variance: exposure does not matter."""
    small = cv2.resize(gray, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(small.std()), 1.0))
