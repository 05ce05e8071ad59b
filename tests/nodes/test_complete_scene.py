"""Completion over real topics: holes go out as views, come back filled, and enter the map as GENERATED."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
import rclpy
from action_msgs.msg import GoalStatus
from multi_view_oracle import textured
from node_bench import ActionCaller, ViewSender, follow, running_node, wait_for_status, wait_until
from tsdf_scenes import room_views

from showroom_ros.benchmarks.completion import changed_voxels
from showroom_ros.nodes.depth_completion_node import DepthCompletionNode
from showroom_ros.nodes.inpainting_node import InpaintingNode
from showroom_ros.ros.cdr import read_view
from showroom_ros.ros.interfaces import CompleteScene
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.runner import run_nodes
from showroom_ros.scene.view import Provenance

pytestmark = pytest.mark.ros

HALF = np.array((1.2, 1.0, 0.8))
VIEWS = [view for view in textured(room_views(24), 0) if view.require_pose()[0, 2] > -0.7]
"""Of the wall at -x they see its ends only."""
LEARNING_FREE = {"completion.inpainter": "telea", "completion.depth_completer": "planes"}
FILTERS = (InpaintingNode, DepthCompletionNode)


def caller() -> ActionCaller:
    return ActionCaller(CompleteScene, "complete_scene")


@contextmanager
def scanned(tmp_path: Path, *others: Any, **parameters: object) -> Iterator[tuple[Any, ActionCaller]]:
    """The node with the views in its map, and somebody who asks it to complete them."""
    node_bench.fresh_namespace()
    with (
        running_node(tmp_path, *others, **{"completion.mode": "on_request", **parameters}) as node,
        follow() as watcher,
    ):
        sender, client = ViewSender(), caller()
        try:
            sender.send(*VIEWS)
            wait_for_status(watcher, views_fused=len(VIEWS))
            yield node, client
        finally:
            client.close()
            sender.close()


def distance_from_walls(points: np.ndarray) -> np.ndarray:
    return np.abs(np.abs(points) - HALF).min(1)


def test_the_wall_nobody_saw_is_generated_and_nothing_measured_changes(tmp_path: Path) -> None:
    with scanned(tmp_path, *FILTERS, **LEARNING_FREE) as (node, client):
        volume = node._reconstructor.volume
        before = volume.voxels()
        answer = client.finish(client.start(max_views=6))
        assert answer.status == GoalStatus.STATUS_SUCCEEDED, answer.result.message
        result = answer.result
        assert 1 <= result.views <= 6
        assert result.pixels_generated > 1000
        assert client.feedback[-1].views == result.views
        assert changed_voxels(before, volume.voxels()) == 0
        mesh = volume.extract_mesh()
        generated = mesh.vertices[mesh.provenance == Provenance.GENERATED]
        assert len(generated) > 500
        assert np.mean(distance_from_walls(generated) < 0.05) > 0.9
        unseen = generated[np.abs(generated[:, 0] + HALF[0]) < 0.05]
        assert len(unseen) > 200


def test_all_the_time(tmp_path: Path) -> None:
    parameters = {**LEARNING_FREE, "completion.mode": "continuous", "completion.max_views": 2}
    with scanned(tmp_path, *FILTERS, **parameters) as (node, _):
        provenances = lambda: node._reconstructor.volume.extract_mesh().provenance  # noqa: E731
        wait_until(lambda: (provenances() == Provenance.GENERATED).sum() > 200, "generated surface", 120.0)


def test_cancelled_between_two_views_the_map_is_whole(tmp_path: Path) -> None:
    with scanned(tmp_path, InpaintingNode, **LEARNING_FREE, **{"completion.timeout_s": 60.0}) as (node, client):
        handle = client.start()
        wait_until(lambda: client.feedback, "the first feedback")
        cancelled = handle.cancel_goal_async()
        wait_until(cancelled.done, "the cancellation")
        answer = client.finish(handle)
        assert answer.status == GoalStatus.STATUS_CANCELED
        assert "0 views, which are in the map" in answer.result.message
        assert not (node._reconstructor.volume.extract_mesh().provenance == Provenance.GENERATED).any()
        assert client.start(max_views=1).accepted


def test_a_map_that_is_emptied_gets_nothing_of_the_old_one(tmp_path: Path) -> None:
    with scanned(tmp_path, InpaintingNode, **LEARNING_FREE) as (node, client):
        handle = client.start()
        wait_until(lambda: client.feedback, "the first feedback")
        node._worker.call(node._reset)
        answer = client.finish(handle)
        assert answer.status == GoalStatus.STATUS_ABORTED
        assert "the map was emptied" in answer.result.message
        assert node._reconstructor.volume.block_count == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with scanned(tmp_path, **{"completion.timeout_s": 0.5}) as (_, client):
        answer = client.finish(client.start())
        assert answer.status == GoalStatus.STATUS_ABORTED
        assert "0 nodes listen" in answer.result.message
        assert "are inpainting_node and depth_completion_node running?" in answer.result.message
    node_bench.fresh_namespace()
    with running_node(tmp_path, **{"completion.mode": "on_request"}):
        client = caller()
        try:
            answer = client.finish(client.start())
            assert "nothing tells where to look from" in answer.result.message
        finally:
            client.close()


def test_a_live_depth_camera_gets_its_holes_filled() -> None:
    node_bench.fresh_namespace()
    view = VIEWS[0]
    depth = view.require_depth().copy()
    depth[40:60, 50:90] = np.nan
    stop, came = threading.Event(), []
    arguments = ["--ros-args", "-r", f"__ns:=/{node_bench.NAMESPACE}", "-r", "inpainting_node/view:=keyframe_node/view"]
    arguments += ["-p", "completion.depth_completer:=planes"]
    thread = threading.Thread(target=lambda: run_nodes([DepthCompletionNode], arguments, stop))
    thread.start()
    sender = ViewSender()
    executor = rclpy.executors.SingleThreadedExecutor(context=sender.context)
    try:
        sender.node.create_subscription(ViewMessage, "depth_completion_node/view", came.append, view_qos(), raw=True)
        executor.add_node(sender.node)
        spinning = threading.Thread(target=executor.spin, daemon=True)
        spinning.start()
        sender.send(b"\x00\x01\x00\x00not a view", dataclasses.replace(view, depth=depth))
        wait_until(lambda: came, "the completed view")
    finally:
        stop.set()
        thread.join(20)
        executor.shutdown()
        spinning.join(10)
        sender.close()
    filled, world_frame = read_view(bytes(came[0]))
    assert world_frame == "odom"
    measured = np.isfinite(depth)
    np.testing.assert_array_equal(filled.require_depth()[measured], depth[measured])
    np.testing.assert_allclose(filled.require_depth()[~measured], view.require_depth()[~measured], rtol=0.03)
    assert filled.provenance is not None
    np.testing.assert_array_equal(filled.provenance, np.where(measured, Provenance.MEASURED, Provenance.PREDICTED))
