"""What ``showroom benchmark posed_rgb`` reconstructs, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError, ShowroomError
from showroom_ros.evaluation.refusion import Frame, light_frame
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.keyframes import KeyframeSelector
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.rectification import undistort_depth
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import SensorFrame, Sequence, View
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import KeyframeSettings, MapSettings

SYNTHETIC = "synthetic"
SYNTHETIC_KEYFRAMES = 40
"""Of a made-up room; what later frames see is no part of the truth either."""

_SIZE = 320, 240
_JUDGING_FRAMES = 80


@dataclass(frozen=True, eq=False)
class JudgedScene:
    """Colour and poses to reconstruct from, and the truth.

    Attributes:
        data: the rows of the table it counts for.
        name: of the recording.
        keyframes: views without depth, in the order of their stamps.
        true_depths: by stamp, float32 [H, W] metres of the keyframe's camera, NaN unknown.
        truth: the true mesh of what the recording sees.
        frames: what the protocols judge by, with true depth.
        up: the axis of the world that points up, as ``reconstruction.up`` names it.
    """

    data: str
    name: str
    keyframes: list[View]
    true_depths: dict[int, NDArray[np.float32]]
    truth: Mesh
    frames: list[Frame]
    up: str


class Views:
    """Views as a ``Sequence``."""

    def __init__(self, name: str, views: list[View]) -> None:
        """Keeps them."""
        self.name, self._views = name, views

    def __len__(self) -> int:
        """How many there are."""
        return len(self._views)

    def __getitem__(self, index: int) -> View:
        """One of them."""
        return self._views[index]

    def frame(self, index: int) -> SensorFrame:
        """The same as a camera without lens would deliver it."""
        view = self._views[index]
        return SensorFrame(
            view.image, view.camera, view.depth, T_world_camera=view.T_world_camera, stamp_ns=view.stamp_ns
        )


def synthetic_scenes(count: int) -> list[int]:
    """Numbers of the first test rooms that are one room, every other one: kinds of rooms come in turn.

    Raises:
        DatasetError: there are not so many.
    """
    from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of, settings_of

    numbers = range(0, len(SPLITS["test"]), 2)
    single = [number for number in numbers if settings_of(seed_of("test", number)).rooms == 1]
    if count > len(single):
        raise DatasetError(f"the test split has {len(single)} rooms to choose from, {count} were asked for")
    return single[:count]


def synthetic_scene(
    number: int,
    keyframes: KeyframeSettings,
    map_settings: MapSettings,
    size: tuple[int, int] = _SIZE,
    at_most: int = SYNTHETIC_KEYFRAMES,
    device: str = "cpu",
) -> JudgedScene:
    """A test room: images of a noisy camera at exact poses; the truth is its exact depth, fused.

    Fused, as the true meshes of recorded data sets are: that has the same density of vertices everywhere, and
    nothing of what no frame sees (behind and inside of furniture), which nobody could reconstruct.

    Args:
        number: of the room in the test split.
        keyframes: how they are chosen.
        map_settings: of the fusion.
        size: of the images in pixels.
        at_most: so many keyframes, the first ones.
        device: where the room is lit and rendered.
    """
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of

    seed = seed_of("test", number)
    sequence = SyntheticSequence(
        seed, width=size[0], height=size[1], settings=settings_of(seed), registered=True, device=device
    )
    selector, chosen = KeyframeSelector(keyframes), []
    depths: dict[int, NDArray[np.float32]] = {}
    for index, pose in enumerate(sequence.trajectory):
        stamp_ns = sequence.stamp_ns(index)
        if not selector.consider(pose, stamp_ns).is_keyframe:
            continue
        frame = sequence.frame(index)
        if selector.select(frame.image, pose, stamp_ns).is_keyframe:
            chosen.append(View(frame.image, frame.color_camera, T_world_camera=pose, stamp_ns=stamp_ns))
            true_depth = sequence.renderer.render(frame.color_camera, pose, shaded=False).depth
            depths[stamp_ns] = true_depth.cpu().numpy()
        if len(chosen) == at_most:
            break
    volume, frames = TsdfVolume(map_settings), []
    for view in chosen:
        seen = replace(view, depth=depths[view.stamp_ns])
        volume.integrate(seen)
        frames.append(light_frame(seen, size[0], with_depth=True))
    return JudgedScene(SYNTHETIC, f"synthetic:test/{number}", chosen, depths, volume.extract_mesh(), frames, "+z")


def recorded_scene(path: Path, keyframes: KeyframeSettings, map_settings: MapSettings) -> JudgedScene:
    """A recording with colour, measured depth and poses; the truth is the measured depth of all frames, fused.

    Args:
        path: whatever ``open_sequence`` opens; a folder that has the folder ``redkitchen`` stands for that.
        keyframes: how they are chosen.
        map_settings: of the fusion.

    Raises:
        DatasetError: not there, not a recording, or no frame with colour, depth and pose.
    """
    path = path / "redkitchen" if (path / "redkitchen").is_dir() else path
    sequence = open_sequence(path)
    selector, chosen, frames = KeyframeSelector(keyframes), [], []
    depths: dict[int, NDArray[np.float32]] = {}
    volume = TsdfVolume(map_settings)
    judging = set(evenly_spread(len(sequence), _JUDGING_FRAMES))
    for index, (frame, view) in _usable(sequence):
        volume.integrate(_depth_view(frame))
        if index in judging:
            frames.append(light_frame(view, _SIZE[0], with_depth=True))
        if selector.select(view.image, view.T_world_camera, view.stamp_ns).is_keyframe:
            chosen.append(replace(view, depth=None, provenance=None, confidence=None))
            depths[view.stamp_ns] = view.require_depth()
    if not chosen or not frames:
        raise DatasetError(f"{path}: none of its {len(sequence)} frames has colour, depth and pose")
    up = up_axis(np.stack([view.require_pose() for view in chosen]))
    return JudgedScene(path.resolve().name, str(path), chosen, depths, volume.extract_mesh(), frames, up)


def up_axis(poses: NDArray[np.float64]) -> str:
    """The axis of the world nearest to where images point up on average; poses ``T_world_camera`` [N, 4, 4]."""
    up = -poses[:, :3, 1].mean(axis=0)
    axis = int(np.argmax(np.abs(up)))
    return f"{'+' if up[axis] > 0 else '-'}{'xyz'[axis]}"


def _usable(sequence: Sequence) -> Iterator[tuple[int, tuple[SensorFrame, View]]]:
    for index in range(len(sequence)):
        try:
            frame, view = sequence.frame(index), sequence[index]
        except ShowroomError:
            continue
        if frame.depth is not None and view.depth is not None and view.T_world_camera is not None:
            yield index, (frame, view)


def _depth_view(frame: SensorFrame) -> View:
    """What the depth camera measured, where it was, without colour."""
    assert frame.depth is not None
    assert frame.T_world_camera is not None
    camera: Camera = frame.depth_camera or frame.color_camera
    depth = undistort_depth(frame.depth, camera)
    T_color_depth = np.eye(4) if frame.T_color_depth is None else frame.T_color_depth
    grey = np.full((*depth.shape, 3), 128, np.uint8)
    return View(grey, camera.without_distortion(), depth, T_world_camera=frame.T_world_camera @ T_color_depth)
