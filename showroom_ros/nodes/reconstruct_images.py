"""The action ``~/reconstruct_images``: photos of one place become surface of the map; it tells and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rclpy.node import Node

from showroom_ros.datasets.photo_files import read_photo
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.nodes.one_goal import CancelledError, OneGoalServer
from showroom_ros.reconstruction.multi_view import (
    MultiViewResult,
    MultiViewSettings,
    PointmapNetwork,
    reconstruct_photos,
)
from showroom_ros.reconstruction.photos import Photo
from showroom_ros.ros.conversions import color_from_compressed, pose_matrix, pose_message
from showroom_ros.ros.interfaces import ReconstructImages
from showroom_ros.scene.view import View
from showroom_ros.settings import Settings


class ReconstructImagesAction:
    """Offers the action. The network works beside the map; only what it found is handed to the map's thread."""

    def __init__(
        self,
        node: Node,
        settings: Callable[[], Settings],
        is_empty: Callable[[], bool],
        fuse: Callable[[Sequence[View]], str],
    ) -> None:
        """Offers it; the network is loaded with the first goal.

        Args:
            node: owns the action.
            settings: in force.
            is_empty: whether the map is.
            fuse: puts posed views with depth into the map; returns what was done.
        """
        self._settings, self._is_empty, self._fuse = settings, is_empty, fuse
        self._network: tuple[str, PointmapNetwork] | None = None
        self._server = OneGoalServer(node, ReconstructImages, "~/reconstruct_images", self._execute)

    def close(self) -> None:
        """Withdraws it."""
        self._server.close()

    def _execute(self, handle: Any) -> Any:
        result = ReconstructImages.Result()
        try:
            found = self._reconstructed(handle)
            self._tell(handle, "fusing", 0, 1)
            said = self._fuse(found.views)
            self._tell(handle, "fusing", 1, 1)
        except CancelledError:
            handle.canceled()
            result.message = "cancelled: the map is as it was"
            return result
        except ShowroomError as error:
            handle.abort()
            result.message = str(error)
            return result
        handle.succeed()
        result.success, result.scale, result.images_placed = True, found.scale, len(found.views)
        result.message = "; ".join([said, *found.notes])
        result.poses = [pose_message(view.require_pose()) for view in found.views]
        result.placed = list(found.numbers)
        return result

    def _reconstructed(self, handle: Any) -> MultiViewResult:
        photos = self._photos(handle)
        if all(photo.T_world_camera is None for photo in photos) and not self._is_empty():
            raise InputError(
                "the map is not empty and no pose is known: give poses, or reset the map first (~/reset); nothing "
                "would tell where the images belong"
            )
        network = self._loaded()
        self._tell(handle, "looking", 0, 1)
        settings = MultiViewSettings()
        return reconstruct_photos(photos, network, settings, lambda a, b: self._tell(handle, "looking", a, b))

    def _photos(self, handle: Any) -> list[Photo]:
        goal = handle.request
        total = len(goal.file_paths) + len(goal.images)
        if len(goal.poses) not in (0, total):
            raise InputError(f"poses: {len(goal.poses)} for {total} images, expected none or as many")
        given = [pose_matrix(pose, f"poses[{number}]") for number, pose in enumerate(goal.poses)]
        poses: Sequence[Any] = given or [None] * total
        photos = []
        for number in range(total):
            self._tell(handle, "reading", number, total)
            if number < len(goal.file_paths):
                path = Path(goal.file_paths[number])
                image, camera = read_photo(path)
                photos.append(Photo(image, camera, poses[number], name=path.name))
            else:
                name = f"images[{number - len(goal.file_paths)}]"
                image = color_from_compressed(goal.images[number - len(goal.file_paths)], name)
                photos.append(Photo(image, T_world_camera=poses[number], name=name))
        return photos

    def _loaded(self) -> PointmapNetwork:
        from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network

        chosen = self._settings().reconstruction
        model_file = chosen.model_file if chosen.method == "multi_view" else ""
        if self._network is None or self._network[0] != model_file:
            self._network = model_file, load_pointmap_network(model_file, chosen.device)
        return self._network[1]

    def _tell(self, handle: Any, stage: str, done: int, total: int) -> None:
        if handle.is_cancel_requested:
            raise CancelledError
        handle.publish_feedback(ReconstructImages.Feedback(stage=stage, done=done, total=total))
