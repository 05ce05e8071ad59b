"""Completion beside the map, by the action ``~/complete_scene`` or all the time: views go out and come back whole."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.completable import VolumeMap
from showroom_ros.completion.complete import Completion, complete
from showroom_ros.completion.holes import PartialView
from showroom_ros.completion.propose import ProposalSettings
from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.nodes.one_goal import CancelledError, OneGoalServer
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.reconstruction.tiles import grid_rotation
from showroom_ros.ros.cdr import read_view, stamp_and_frame, view_bytes
from showroom_ros.ros.interfaces import CompleteScene
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.worker import Worker
from showroom_ros.scene.coverage import Coverage
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

_MAX_POSES = 1000
_POLL_S = 0.1
_PAUSE_S = 0.5


class SharedMap:
    """The node's map as a ``CompletableMap``: every call runs on the map's thread, between two views."""

    def __init__(self, worker: Worker[bytes], scene: Callable[[], VolumeMap], fuse: Callable[[View], None]) -> None:
        """Calls ``scene`` and ``fuse`` on the map's thread only."""
        self._worker, self._scene, self._fuse = worker, scene, fuse

    @property
    def cell_m(self) -> float:
        """See ``CompletableMap``."""
        return self._worker.call(lambda: self._scene().cell_m, ahead=True)

    def free_cells(self) -> NDArray[np.float64]:
        """See ``CompletableMap``."""
        return self._worker.call(lambda: self._scene().free_cells(), ahead=True)

    def is_free(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See ``CompletableMap``."""
        return self._worker.call(lambda: self._scene().is_free(points), ahead=True)

    def mesh(self) -> Mesh:
        """See ``CompletableMap``."""
        return self._worker.call(lambda: self._scene().mesh(), ahead=True)

    def put(self, view: View) -> None:
        """See ``CompletableMap``."""
        self._worker.call(lambda: self._fuse(view), ahead=True)


class SceneCompletion:
    """Remembers where cameras were and what they saw to be free; sends partial views, fuses what comes back."""

    def __init__(
        self, node: ShowroomNode, worker: Worker[bytes], reconstructor: Reconstructor, fuse: Callable[[View], None]
    ) -> None:
        """Offers the action and the topic ``~/partial_view``.

        Args:
            node: owns them; its ``completion.mode`` is not off.
            worker: the map's thread.
            reconstructor: the map.
            fuse: puts a view into the map and publishes what changed, on the map's thread.
        """
        self._node = node
        self._coverage = Coverage(max_depth_m=node.settings.map.max_depth_m)
        self._poses: list[NDArray[np.float64]] = []
        self._camera: Camera | None = None
        self._stamp_ns = 0
        self._worker, self._fuse = worker, fuse
        self._scene = lambda: VolumeMap(reconstructor.volume, self._coverage)
        self._answer = threading.Condition()
        self._awaited: int | None = None
        self._came: View | None = None
        self._number = 0
        self._is_closed, self._has_news = False, False
        self._resets = 0
        self._one_at_a_time = threading.Lock()
        self._partial_views = node.create_publisher(ViewMessage, "~/partial_view", view_qos())
        self._server = OneGoalServer(node, CompleteScene, "~/complete_scene", self._execute)
        self._thread: threading.Thread | None = None
        if node.settings.completion.mode == "continuous":
            self._thread = threading.Thread(target=self._go_on, name="completion", daemon=True)
            self._thread.start()

    def note(self, view: View) -> None:
        """On the map's thread: a view was fused."""
        if view.T_world_camera is None or view.depth is None:
            return
        self._coverage.observe(view)
        self._poses.append(view.T_world_camera)
        if len(self._poses) > _MAX_POSES:
            self._poses = self._poses[::2]
        self._camera, self._stamp_ns, self._has_news = view.camera, view.stamp_ns, True

    def reset(self) -> None:
        """On the map's thread: the map is another; a completion of the old one ends, and puts nothing into this."""
        self._resets += 1
        self._coverage.clear()
        self._poses.clear()

    def on_completed(self, data: bytes) -> int:
        """A view came back; those nobody waits for are left."""
        stamp_ns, _ = stamp_and_frame(data, "view")
        with self._answer:
            if stamp_ns == self._awaited:
                self._came, _ = read_view(data, "view")
                self._answer.notify_all()
        return stamp_ns

    def close(self) -> None:
        """Withdraws everything; a completion under way ends."""
        self._is_closed = True
        with self._answer:
            self._answer.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._server.close()
        self._node.destroy_publisher(self._partial_views)

    def _execute(self, handle: Any) -> Any:
        result = CompleteScene.Result()
        wanted = handle.request.max_views or self._node.settings.completion.max_views
        done = Completion()

        def progress(now: Completion) -> None:
            nonlocal done
            done = now
            handle.publish_feedback(
                CompleteScene.Feedback(
                    views=len(now.views), rejected=now.rejected, max_views=wanted, holes_left=now.holes_left
                )
            )

        try:
            done = self._complete(wanted, progress, lambda: handle.is_cancel_requested)
            handle.succeed()
            result.success = True
            result.message = f"{len(done.views)} views generated" + ("" if done.holes_left else ", nothing is missing")
        except CancelledError:
            if handle.is_cancel_requested:
                handle.canceled()
                result.message = f"cancelled after {len(done.views)} views, which are in the map"
            else:
                handle.abort()
                result.message = f"ended after {len(done.views)} views: the map was emptied or loaded, or the node ends"
        except ShowroomError as error:
            handle.abort()
            result.message = str(error)
        result.views, result.rejected, result.holes_left = len(done.views), done.rejected, float(done.holes_left)
        result.pixels_generated = sum(count.generated for count in done.counts)
        result.pixels_blocking = done.blocking
        return result

    def _go_on(self) -> None:
        """All the time: whenever views came, fills what is missing."""
        while not self._is_closed:
            if self._has_news and not self._server.is_busy:
                self._has_news = False
                try:
                    wanted = self._node.settings.completion.max_views
                    self._complete(wanted, lambda _: None, lambda: self._server.is_busy)
                except CancelledError:
                    pass
                except ShowroomError as error:
                    self._node.report(error)
            with self._answer:
                self._answer.wait(_PAUSE_S)

    def _complete(
        self, max_views: int, progress: Callable[[Completion], None], is_cancelled: Callable[[], bool]
    ) -> Completion:
        resets = self._resets

        def check() -> None:
            if self._is_closed or self._resets != resets or is_cancelled():
                raise CancelledError

        def fuse(view: View) -> None:  # on the map's thread, where it is reset
            check()
            self._fuse(view)

        def tell(done: Completion) -> None:
            check()
            progress(done)

        chosen = self._node.settings.completion
        with self._one_at_a_time:
            if self._camera is None or not self._poses:
                raise InputError("no view with a pose and depth came yet: nothing tells where to look from")
            return complete(
                SharedMap(self._worker, self._scene, fuse),
                np.stack(self._poses),
                self._camera.of_width(chosen.image_width),
                lambda partial: self._filled(partial, check),
                up=grid_rotation(chosen.up)[:, 2],
                max_views=max_views,
                settings=ProposalSettings(min_holes=chosen.min_holes, min_overlap=chosen.min_overlap),
                progress=tell,
            )

    def _filled(self, partial: PartialView, check: Callable[[], None]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Sends a view out and waits until it comes back."""
        timeout_s = self._node.settings.completion.timeout_s
        with self._answer:
            self._number += 1
            self._awaited, self._came = self._stamp_ns + self._number, None
            view = dataclasses.replace(partial.view, stamp_ns=self._awaited)
            self._partial_views.publish(view_bytes(view, self._node.settings.pose.world_frame))
            waited_s = 0.0
            while self._came is None and waited_s < timeout_s:
                check()
                self._answer.wait(_POLL_S)
                waited_s += _POLL_S
            came, self._awaited, self._came = self._came, None, None
        if came is None or came.depth is None:
            listeners = self._partial_views.get_subscription_count()
            raise ShowroomError(
                f"no completed view came back within {timeout_s:g} s (completion.timeout_s); {listeners} nodes listen "
                "to ~/partial_view: are inpainting_node and depth_completion_node running?"
            )
        if came.image.shape != partial.view.image.shape:
            raise InputError(f"a view of {partial.view.image.shape} came back as {came.image.shape}")
        return came.image, came.depth
