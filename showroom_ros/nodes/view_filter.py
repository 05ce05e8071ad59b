"""A node that gets views, adds to them what they lack, and sends them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from showroom_ros.ros.cdr import read_view, stamp_and_frame, view_bytes
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.worker import Worker
from showroom_ros.scene.view import View

_QUEUE_SIZE = 32


class ViewFilterNode(ShowroomNode):
    """Subclasses override ``load`` and ``filtered``; both may raise ``ShowroomError``."""

    def __init__(self, name: str, topic: str, groups: tuple[str, ...], **node_options: Any) -> None:
        """Declares parameters; ``topic`` is where views come from."""
        super().__init__(name, groups, **node_options)
        self._topic, self._sent = topic, 0

    def load(self) -> None:
        """Loads models, in ``configure``."""

    def filtered(self, view: View, number: int) -> View:
        """The view that is sent on; ``number`` counts them."""
        raise NotImplementedError

    def configure(self) -> None:
        """Loads models and offers the output."""
        self.load()
        self._views = self.create_publisher(ViewMessage, "~/view", view_qos())
        self._worker: Worker[bytes] = Worker(
            self._process, queue_size=_QUEUE_SIZE, on_error=self.report, on_fatal=self.fail, name=self.get_name()
        )
        self._worker.start()

    def activate(self) -> None:
        """Opens the input."""
        self.create_input(ViewMessage, self._topic, self._on_view, view_qos(), is_required=False)

    def cleanup(self) -> None:
        """Stops work and withdraws the output."""
        self._worker.stop()
        self.destroy_publisher(self._views)

    def diagnostic_values(self) -> Mapping[str, Any]:
        """Counters for ``/diagnostics``."""
        worker = self._worker
        return {"sent": self._sent, "failed": worker.failed, "dropped": worker.dropped, "waiting": worker.waiting}

    def _on_view(self, data: bytes) -> int:
        stamp_ns, _ = stamp_and_frame(data, "view")
        self._worker.submit(data)
        return stamp_ns

    def _process(self, data: bytes) -> None:
        view, world_frame = read_view(data, "view")
        self._views.publish(view_bytes(self.filtered(view, self._sent), world_frame))
        self._sent += 1
