"""The RViz configuration against what the nodes publish."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import rclpy
import ros_harness  # noqa: F401, sets the domain
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible

from showroom_ros.ros.map_publisher import MapPublisher
from showroom_ros.scene.view import Provenance
from showroom_ros.settings import PoseSettings, PublishSettings

pytestmark = pytest.mark.ros
CONFIG = yaml.safe_load((Path(__file__).parents[1] / "config" / "rviz" / "showroom.rviz").read_text())
MANAGER = CONFIG["Visualization Manager"]
DISPLAYS = MANAGER["Displays"]
OURS = [d for d in DISPLAYS if d.get("Topic", {}).get("Value", "").startswith("/reconstruction_node/")]
MESSAGES = {"MarkerArray": "MarkerArray", "PointCloud2": "PointCloud2", "Path": "Path", "Image": "Image"}


@pytest.fixture(scope="module")
def published():
    """Type and quality of service by topic, as the real publishers offer them."""
    rclpy.init()
    node = Node("reconstruction_node")
    publisher = MapPublisher(node, PublishSettings(), "odom")
    try:
        yield {
            endpoint.topic_name: (endpoint.msg_type.__name__, endpoint.qos_profile)
            for endpoint in node.publishers
            if endpoint.topic_name.startswith("/reconstruction_node/")
        }
    finally:
        publisher.close()
        node.destroy_node()
        rclpy.shutdown()


@pytest.mark.parametrize("display", OURS, ids=lambda display: display["Name"])
def test_topics_types_and_qos_fit_the_node(display, published):
    topic = display["Topic"]
    assert topic["Value"] in published, f"nobody publishes it; there are {sorted(published)}"
    message_type, offered = published[topic["Value"]]
    assert MESSAGES[display["Class"].removeprefix("rviz_default_plugins/")] == message_type
    requested = QoSProfile(
        depth=topic["Depth"],
        reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
        durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
    )
    compatibility, reason = qos_check_compatible(offered, requested)
    assert compatibility != QoSCompatibility.ERROR, reason
    assert requested.durability == offered.durability, "what is kept for late joiners must be asked for"
    assert requested.depth >= offered.depth or topic["Durability Policy"] == "Volatile"


def test_every_part_of_the_map_has_a_display(published):
    shown = {display["Topic"]["Value"] for display in OURS}
    assert shown == set(published) - {f"/reconstruction_node/{name}" for name in ("depth/camera_info", "view")}


def test_the_view_is_that_of_the_map():
    assert MANAGER["Global Options"]["Fixed Frame"] == PoseSettings().world_frame
    (mesh,) = [display for display in DISPLAYS if display["Name"] == "Mesh"]
    assert set(mesh["Namespaces"]) == {kind.name.lower() for kind in Provenance} - {"unknown"}
    assert mesh["Enabled"]
    channels = {d["Channel Name"]: d["Color Transformer"] for d in DISPLAYS if "Color Transformer" in d}
    assert channels == {"rgb": "RGB8", "provenance": "Intensity"}
    assert len({display["Name"] for display in DISPLAYS}) == len(DISPLAYS)
    assert all(display["Enabled"] == display["Value"] for display in DISPLAYS)
