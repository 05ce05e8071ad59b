"""Photos through the action ``~/reconstruct_images``, over real topics, with a network that knows the truth."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
from action_msgs.msg import GoalStatus
from multi_view_oracle import Oracle, textured
from node_bench import ActionCaller, follow, running_node, wait_until
from sensor_msgs.msg import CompressedImage
from tsdf_scenes import room_views

from showroom_ros.ros.conversions import pose_message
from showroom_ros.ros.interfaces import ReconstructImages
from showroom_ros.scene.view import Provenance

pytestmark = pytest.mark.ros

VIEWS = textured(room_views(12), 0)


def caller() -> ActionCaller:
    return ActionCaller(ReconstructImages, "reconstruct_images")


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    oracle = Oracle(VIEWS)
    monkeypatch.setattr("showroom_ros.reconstruction.multi_view_torch.load_pointmap_network", lambda *_: oracle)
    return oracle


def png(view: Any) -> CompressedImage:
    _, data = cv2.imencode(".png", cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR))
    return CompressedImage(format="png", data=data.tobytes())


def test_images_with_poses_become_predicted_surface(tmp_path: Path, oracle: Oracle) -> None:
    node_bench.fresh_namespace()
    files = []
    for number, view in enumerate(VIEWS[:6]):
        files.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(files[-1], cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR))
    with running_node(tmp_path) as node, follow() as watcher:
        client = caller()
        try:
            answer = client.call(
                file_paths=files,
                images=[png(view) for view in VIEWS[6:]],
                poses=[pose_message(view.require_pose()) for view in VIEWS],
            )
            assert answer.status == GoalStatus.STATUS_SUCCEEDED
            assert answer.result.success, answer.result.message
            assert (answer.result.images_placed, answer.result.scale) == (12, "poses")
            assert {feedback.stage for feedback in client.feedback} == {"reading", "looking", "fusing"}
            wait_until(lambda: len(watcher.mesh().triangles) > 1000, "the mesh")
            mesh = watcher.mesh()
            assert set(mesh.provenance) == {Provenance.PREDICTED}
            distance = np.min(abs(abs(mesh.vertices) - np.array((1.2, 1.0, 0.8))), axis=1)
            assert np.quantile(distance, 0.9) < 0.03
            refused = client.call(images=[png(VIEWS[0]), png(VIEWS[1])])  # no poses, and there is a map
            assert refused.status == GoalStatus.STATUS_ABORTED
            assert "give poses, or reset the map" in refused.result.message
            assert node._reconstructor.volume.block_count > 0
        finally:
            client.close()


def test_a_goal_can_be_cancelled_and_bad_ones_say_why(tmp_path: Path, oracle: Oracle) -> None:
    node_bench.fresh_namespace()
    go_on = threading.Event()
    look = oracle.pointmaps

    def slowly(images: Any) -> Any:
        go_on.wait(60)
        return look(images)

    oracle.pointmaps = slowly  # type: ignore[method-assign]
    with running_node(tmp_path) as node:
        client = caller()
        try:
            handle = client.start(images=[png(view) for view in VIEWS])
            wait_until(lambda: any(f.stage == "looking" for f in client.feedback), "the network at work")
            assert not client.start(images=[png(VIEWS[0])]).accepted  # one at a time
            cancelled = handle.cancel_goal_async()
            wait_until(cancelled.done, "the cancellation")
            go_on.set()
            answer = client.finish(handle)
            assert answer.status == GoalStatus.STATUS_CANCELED
            assert node._reconstructor.volume.block_count == 0
            time.sleep(0.2)
            for goal, message in (
                ({"file_paths": ["/nowhere/a.jpg"]}, "/nowhere/a.jpg: no such file"),
                ({}, "no photos"),
                ({"images": [CompressedImage(format="jpeg", data=b"x")]}, r"images[0]"),
                ({"images": [png(VIEWS[0])], "poses": [pose_message(np.eye(4))] * 2}, "2 for 1 images"),
            ):
                answer = client.call(**goal)
                assert answer.status == GoalStatus.STATUS_ABORTED
                assert message in answer.result.message
        finally:
            client.close()
