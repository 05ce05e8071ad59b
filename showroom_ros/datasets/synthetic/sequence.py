"""A synthetic room as a recording: any frame by its number, the exact mesh and the exact trajectory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.ground_truth import exact_mesh
from showroom_ros.datasets.synthetic.lens import Lens
from showroom_ros.datasets.synthetic.path import RATE_HZ, PathSettings, plan_path
from showroom_ros.datasets.synthetic.renderer import Renderer, Rendering
from showroom_ros.datasets.synthetic.room import Room, RoomSettings, make_room
from showroom_ros.datasets.synthetic.sensor import ColorSensor, DepthSensor, develop
from showroom_ros.datasets.synthetic.shutter import rolled
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix, checked_pose, interpolate, inverse, pose_from
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import SensorFrame, View

FIRST_STAMP_NS = 1_000_000_000

COLOR_CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
DEPTH_CAMERA = Camera(640, 480, 571.0, 571.0, 318.2, 241.7)
DEMO_ROOM = RoomSettings(kind="living room", shape="rectangle")
"""The room of ``synthetic:SEED``."""

T_COLOR_DEPTH = pose_from((0.025, 0.0005, -0.001), (0.9999905, 0.002, -0.0035, 0.0015))
"""Where a separate depth camera sits: 2.5 cm to the right of the colour camera and half a degree askew."""


class SyntheticSequence:
    """A recording in the room of a seed: hand-held RGB-D video, or photos from given poses.

    Implements ``scene.view.Sequence``. Frame ``i`` depends on the seed and ``i`` alone, so frames may be read
    in any order and from several threads. The same seed gives the same bytes on the same device and backend.

    Attributes:
        name: "synthetic:SEED" unless given.
        room: what was made.
        renderer: of the room.
        trajectory: float64 [N, 4, 4], exact ``T_world_camera`` of the colour camera (of its middle row under a
            rolling shutter).
        color_camera, depth_camera: with their lenses; the depth camera is the colour camera when registered.
        moving: whether frames follow each other on a path; photos (False) have no motion blur nor rolling shutter.
    """

    def __init__(
        self,
        seed: int,
        frames: int | None = None,
        width: int = 640,
        height: int = 480,
        *,
        settings: RoomSettings = DEMO_ROOM,
        noisy: bool = True,
        registered: bool = False,
        path: PathSettings | None = None,
        trajectory: ArrayLike | None = None,
        room: Room | None = None,
        name: str | None = None,
        color_camera: Camera = COLOR_CAMERA,
        depth_camera: Camera = DEPTH_CAMERA,
        color_sensor: ColorSensor | None = None,
        depth_sensor: DepthSensor | None = None,
        device: str = "cpu",
        backend: str = "auto",
    ) -> None:
        """Makes the room and plans the path, unless they are given.

        Args:
            seed: of the room, its path and its noise.
            frames: only the first so many frames; None = all.
            width: of both images in pixels.
            height: of both images in pixels.
            settings: what kind of room.
            noisy: whether frames and views pass through the sensor models.
            registered: depth is measured from the colour camera instead of from a camera beside it.
            path: how the camera is carried.
            trajectory: poses [N, 4, 4] ``T_world_camera`` of photos, instead of a path.
            room: already made from ``seed`` and ``settings``.
            name: what to call the recording.
            color_camera: with any lens; scaled to the image size.
            depth_camera: the same for depth; not used when registered.
            color_sensor: model of the colour camera.
            depth_sensor: model of the depth camera.
            device: see ``Renderer``.
            backend: see ``Renderer``.

        Raises:
            InputError: a negative seed, sizes or frame count, a pose that is no rigid transform, a lens that sees
                too wide, an unknown device or backend.
        """
        if width < 8 or height < 8:
            raise InputError(f"image size is {width}x{height}, expected at least 8x8 pixels")
        if frames is not None and frames < 1:
            raise InputError(f"frames is {frames}, expected at least 1")
        self.name = name or f"synthetic:{seed}"
        self.seed = seed
        self.room: Room = room or make_room(seed, settings, device)
        self.renderer = Renderer(self.room, device, backend)
        self.moving = trajectory is None
        planned = plan_path(self.room, path) if trajectory is None else _checked_poses(trajectory)
        if frames is not None and frames > len(planned):
            hint = "; make path.duration_s longer" if self.moving else ""
            raise InputError(f"frames is {frames}, the path of {self.name} has {len(planned)}{hint}")
        self.trajectory: NDArray[np.float64] = planned[:frames]
        self.color_camera = color_camera.scaled(width, height)
        self.registered = registered
        self.depth_camera = self.color_camera if registered else depth_camera.scaled(width, height)
        self._color_lens = Lens(self.color_camera, self.renderer.device)
        self._depth_lens = self._color_lens if registered else Lens(self.depth_camera, self.renderer.device)
        self.noisy = noisy
        self.color_sensor = color_sensor or ColorSensor()
        self.depth_sensor = depth_sensor or DepthSensor()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.trajectory)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: exact (``ideal``) unless noisy, then as ``frame`` undistorted and registered."""
        if not self.noisy:
            return self.ideal(index)
        frame = self.frame(index)
        if self.registered and not self.color_camera.is_distorted:
            return View(
                frame.image,
                frame.color_camera,
                frame.depth,
                T_world_camera=frame.T_world_camera,
                stamp_ns=frame.stamp_ns,
            )
        from showroom_ros.scene.rectification import rectify

        return rectify(frame)

    def stamp_ns(self, index: int) -> int:
        """Time of a frame in nanoseconds."""
        return FIRST_STAMP_NS + round(index * 1e9 / RATE_HZ)

    def depth_camera_pose(self, index: int) -> tuple[Camera, Matrix]:
        """The undistorted camera that measures depth and its ``T_world_camera`` [4, 4] at a frame; renders nothing."""
        pose = self._pose(index)
        return self.depth_camera.without_distortion(), pose if self.registered else pose @ T_COLOR_DEPTH

    def render(self, index: int) -> Rendering:
        """Everything that is known of a frame, as an ideal colour camera sees it: geometry, classes, radiance."""
        return self.renderer.render(self.color_camera.without_distortion(), self._pose(index))

    def ideal(self, index: int) -> View:
        """The frame without any sensor or lens: exact colours and exact depth of the colour camera."""
        rendering = self.render(index)
        assert rendering.radiance is not None
        return View(
            image=develop(rendering.radiance * self.room.exposure).cpu().numpy(),
            camera=rendering.camera,
            depth=rendering.depth.cpu().numpy(),
            T_world_camera=rendering.T_world_camera,
            stamp_ns=self.stamp_ns(index),
        )

    def frame(self, index: int) -> SensorFrame:
        """The frame as the cameras delivered it; its depth is unregistered unless ``registered``."""
        pose = self._pose(index)
        color = self.renderer.render(self._color_lens.ideal, pose)
        lens = self._depth_lens
        depth = color if self.registered else self.renderer.render(lens.ideal, pose @ T_COLOR_DEPTH, shaded=False)
        measured = lens.pick(depth.depth)
        if self.noisy:
            generator = torch.Generator(self.renderer.device).manual_seed((self.seed << 20) + index % len(self))
            exposed = self._exposed(index, color)
            image = self.color_sensor.expose(exposed, self.room.exposure, index / RATE_HZ, generator)
            measured = self.depth_sensor.measure(measured, lens.pick(depth.cosine), self.depth_camera.fx, generator)
        else:
            assert color.radiance is not None
            image = develop(self._color_lens.bend(color.radiance) * self.room.exposure)
        return SensorFrame(
            image=image.cpu().numpy(),
            color_camera=self.color_camera,
            depth=measured.cpu().numpy(),
            depth_camera=None if self.registered else self.depth_camera,
            T_color_depth=None if self.registered else T_COLOR_DEPTH,
            T_world_camera=color.T_world_camera,
            stamp_ns=self.stamp_ns(index),
        )

    def frames(self, workers: int = 2) -> Iterator[SensorFrame]:
        """All frames in order, the next ``workers`` being made in threads meanwhile."""
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[SensorFrame]] = deque()
            for index in range(len(self)):
                waiting.append(pool.submit(self.frame, index))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    @cached_property
    def mesh(self) -> Mesh:
        """The exact mesh of the room, coloured as the camera develops it, edges of at most 5 cm."""
        return exact_mesh(self.room)

    def ground_truth_mesh(self) -> Mesh:
        """The same, as every sequence that knows its true mesh offers it."""
        return self.mesh

    def pose_at(self, index: int, after_s: float = 0.0) -> Matrix:
        """Where the colour camera is so many seconds after a frame, ``T_world_camera`` [4, 4]."""
        here = self._pose(index)
        if not self.moving or len(self) < 2 or after_s == 0:
            return here
        index %= len(self)
        other = index + (1 if after_s > 0 else -1)
        if not 0 <= other < len(self):  # at an end the motion goes on
            return interpolate(here, self.trajectory[2 * index - other], -abs(after_s) * RATE_HZ)
        return interpolate(here, self.trajectory[other], abs(after_s) * RATE_HZ)

    def _pose(self, index: int) -> Matrix:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {self.name}, which has {len(self)}")
        return self.trajectory[index]

    def _exposed(self, index: int, rendering: Rendering) -> Tensor:
        """Radiance through lens and shutter, float32 [H, W, 3]; ``rendering`` is of the lens's ideal camera."""
        readout_s = self.color_sensor.readout_s
        if not readout_s or not self.moving:
            return self._color_lens.bend(self._smeared(index, rendering))
        nearest_m = float(rendering.depth.nan_to_num(torch.inf).amin())
        return rolled(
            self.renderer,
            self.color_camera,
            lambda after_s: self.pose_at(index, after_s),
            readout_s,
            lambda band, _: self._smeared(index, band),
            nearest_m,
        )

    def _smeared(self, index: int, rendering: Rendering) -> Tensor:
        """Radiance of a frame as it moves over the pixels while the shutter is open, float32 [H, W, 3]."""
        assert rendering.radiance is not None
        if not self.color_sensor.exposure_s or not self.moving or len(self) < 2:
            return rendering.radiance
        index %= len(self)
        other = index + 1 if index + 1 < len(self) else index - 1
        motion = inverse(self._pose(other)) @ self._pose(index)
        share = self.color_sensor.exposure_s * RATE_HZ * (1 if other > index else -1)
        return self.renderer.smeared(rendering, motion, share)


def _checked_poses(trajectory: ArrayLike) -> NDArray[np.float64]:
    poses = np.asarray(trajectory, np.float64)
    if poses.ndim != 3 or not len(poses):
        raise InputError(f"trajectory has shape {poses.shape}, expected (frames, 4, 4), at least one frame")
    return np.stack([checked_pose(pose, f"trajectory {number}") for number, pose in enumerate(poses)])
