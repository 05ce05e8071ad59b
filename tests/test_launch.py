"""The launch file: what its arguments lead to, and that it is what the documentation says."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import sys
from pathlib import Path

import pytest
import yaml

from showroom_ros.errors import SettingsError
from showroom_ros.nodes.launch_plan import ARGUMENTS, bag_parameters, make_plan, node_parameters
from showroom_ros.nodes.sensors import INPUTS, load_sensor, remappings_of
from showroom_ros.settings import Settings, load_settings, override, setting_infos

ROOT = Path(__file__).parents[1]
SENSORS = sorted((ROOT / "config" / "sensors").glob("*.yaml"))
DEFAULTS = {item.name: item.default for item in ARGUMENTS}
EXPECTED_ARGUMENTS = {
    *("rosbag", "rosbag_args", "use_sim_time", "rviz", "rviz_cfg", "viewer", "params_file", "sensor", "namespace"),
    *("log_level", "autostart", "method", "device", "model_file", "use_depth", "pose_source", "world_frame"),
    *("color_transport", "depth_transport", "rgb_topic", "depth_topic", "odom_topic", "pose_topic"),
    *("camera_info_topic", "depth_camera_info_topic", "host", "port", "completion", "inpainter", "depth_completer"),
}


def plan(**values):
    return make_plan({**DEFAULTS, **values}, ROOT)


def test_the_arguments_are_the_documented_ones():
    assert {item.name for item in ARGUMENTS} == EXPECTED_ARGUMENTS
    assert len(ARGUMENTS) == len(EXPECTED_ARGUMENTS)
    assert all(item.doc for item in ARGUMENTS)


def test_arguments_set_parameters_that_exist():
    names = {info.name for info in setting_infos()} | {"", "autostart"}
    assert {item.parameter for item in ARGUMENTS} <= names
    assert {item.topic for item in ARGUMENTS} <= {"", *INPUTS}


def test_a_live_camera_by_default():
    live = plan()
    assert live.nodes == ("keyframe_node", "reconstruction_node")
    assert not live.use_sim_time
    assert live.remappings == []
    assert live.bag_parameters is None
    assert live.rviz_config is None


def test_completion_brings_its_nodes():
    values = plan(completion="on_request", depth_completer="planes")
    assert values.nodes[-2:] == ("inpainting_node", "depth_completion_node")
    assert plan(completion="off").nodes == plan().nodes
    chosen = {**DEFAULTS, "completion": "on_request", "depth_completer": "planes"}
    assert node_parameters("reconstruction_node", chosen)["completion.mode"] == "on_request"
    assert node_parameters("depth_completion_node", chosen) == {
        "autostart": True, "completion.depth_completer": "planes",
    }  # fmt: skip


def test_a_bag_brings_its_time(tmp_path):
    bag = str(tmp_path)
    replay = plan(rosbag=bag, rosbag_args="--rate 0.5 -l --start-offset 3", viewer="true")
    assert replay.use_sim_time
    assert replay.nodes[-1] == "viewer_node"
    assert replay.bag_parameters["bag"] == bag
    assert (replay.bag_parameters["rate"], replay.bag_parameters["loop"]) == (0.5, True)
    assert replay.bag_parameters["start_s"] == 3.0
    assert replay.bag_parameters["wait_for_subscribers_s"] > 0
    assert not plan(rosbag=bag, use_sim_time="false").use_sim_time
    assert plan(use_sim_time="true").use_sim_time


def test_bag_parameters_are_those_of_the_player():
    pytest.importorskip("rclpy")
    from showroom_ros.nodes.bag_player_node import PARAMETERS

    given = bag_parameters("my_bag", "--topics /a /b")
    assert set(given) <= set(PARAMETERS)
    assert given["topics"] == ["/a", "/b"]
    assert {name: type(value) for name, value in given.items()} == {name: type(PARAMETERS[name]) for name in given}


def test_topic_arguments_win_against_the_sensor():
    remappings = dict(plan(sensor="realsense_d435", rgb_topic="/other/image").remappings)
    assert remappings["camera/color/image"] == "/other/image"
    assert remappings["camera/color/image/compressed"] == "/other/image/compressed"
    assert remappings["camera/depth/image"] == "/camera/camera/depth/image_rect_raw"
    assert remappings["camera/depth/image/compressedDepth"] == "/camera/camera/depth/image_rect_raw/compressedDepth"
    assert remappings["camera/color/camera_info"] == "/camera/camera/color/camera_info"


def test_a_compressed_topic_sets_the_transport():
    values = {**DEFAULTS, "rgb_topic": "/c/image/compressed", "depth_topic": "/d/image/compressedDepth"}
    assert dict(make_plan(values, ROOT).remappings)["camera/color/image/compressed"] == "/c/image/compressed"
    assert node_parameters("keyframe_node", values) == {
        "autostart": True,
        "sync.color_transport": "compressed",
        "sync.depth_transport": "compressedDepth",
    }


def test_arguments_reach_the_nodes_they_concern():
    values = {**DEFAULTS, "device": "cuda", "world_frame": "map", "port": "9000", "autostart": "false"}
    assert node_parameters("keyframe_node", values) == {"autostart": False, "pose.world_frame": "map"}
    assert node_parameters("reconstruction_node", values) == {
        "autostart": False,
        "reconstruction.device": "cuda",
        "pose.world_frame": "map",
    }
    assert node_parameters("viewer_node", values) == {"autostart": False, "viewer.port": 9000}


def test_a_method_that_predicts_comes_with_its_network(tmp_path):
    values = {**DEFAULTS, "method": "ioar", "model_file": "mine.safetensors", "use_depth": "false"}
    assert node_parameters("reconstruction_node", values) == {
        "autostart": True,
        "reconstruction.method": "ioar",
        "reconstruction.model_file": "mine.safetensors",
    }
    assert node_parameters("keyframe_node", values) == {"autostart": True, "keyframes.use_depth": False}
    (tmp_path / "mine.yaml").write_text("reconstruction: {method: plane_sweep}")
    assert plan(params_file=str(tmp_path / "mine.yaml"), model_file="none").nodes, "the file may name the method"


def test_rviz_follows_the_namespace():
    with_namespace = plan(rviz="true", namespace="robot1")
    assert ("/reconstruction_node/mesh", "/robot1/reconstruction_node/mesh") in with_namespace.rviz_remappings
    assert plan(rviz="true").rviz_remappings == []
    assert plan(rviz="true").rviz_config.is_file()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rosbag": "/nowhere/bag"}, r"rosbag: no such file /nowhere/bag"),
        ({"params_file": "/nowhere.yaml"}, r"params_file: no such file"),
        ({"rviz_cfg": "/nowhere.rviz"}, r"rviz_cfg: no such file"),
        ({"sensor": "kodak"}, r"sensor 'kodak': .* one of azure_kinect, .*realsense_d435"),
        ({"method": "lidar"}, r"argument method: .* expected one of sensor_depth, plane_sweep, ioar"),
        ({"use_depth": "maybe"}, r"argument use_depth: 'keyframes.use_depth' is 'maybe', expected bool"),
        ({"device": "tpu"}, r"argument device: 'reconstruction.device' is 'tpu', expected one of cpu, cuda"),
        ({"pose_source": "gps"}, r"argument pose_source: .* expected one of tf, odom, pose, none"),
        ({"port": "http"}, r"argument port: 'viewer.port' is 'http', expected int"),
        ({"port": "99999"}, r"argument port: .* expected 1 to 65535"),
        ({"rviz": "maybe"}, r"argument rviz is 'maybe', expected true or false"),
        ({"autostart": "2"}, r"argument autostart is '2', expected true or false"),
        ({"model_file": "a.safetensors"}, r"model_file is 'a.safetensors', but method sensor_depth has no network"),
        ({"rosbag": ".", "rosbag_args": "--qos x"}, r"rosbag_args: unrecognized arguments: --qos x"),
        (
            {"rosbag": ".", "rosbag_args": "--rate fast"},
            r"rosbag_args: argument -r/--rate: .* 'fast'",
        ),
    ],
)
def test_wrong_arguments_are_named(values, message):
    with pytest.raises(SettingsError, match=message):
        plan(**values)


@pytest.mark.parametrize("path", SENSORS, ids=lambda path: path.stem)
def test_sensor_overlays_hold_known_inputs_and_settings(path):
    sensor = load_sensor(path.stem, path.parent)
    assert override(Settings(), sensor.settings) != Settings() or sensor.topics
    assert all(topic.startswith("/") for topic in sensor.topics.values())
    assert len(dict(remappings_of(sensor.topics))) == len(remappings_of(sensor.topics))
    assert load_sensor(str(path), Path("/nowhere")) == sensor


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topics: {camera/image: /a}", r"'camera/image' is no input, expected one of camera/color/image"),
        ("settings: {map: {voxel_m: 1}}", r"unknown setting 'map.voxel_m'"),
        ("settings: {map: {voxel_size_m: 9.0}}", r"'map.voxel_size_m' is 9.0, expected"),
        ("- 1", r"expected a mapping with 'topics' and 'settings'"),
        ("remaps: {}", r"expected a mapping with 'topics' and 'settings'"),
        ("a: [", r"cannot be read as YAML"),
    ],
)
def test_wrong_overlays_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_sensor("mine", tmp_path)
    assert "mine.yaml" in str(caught.value)


def test_the_shipped_parameter_file_changes_nothing():
    text = (ROOT / "config" / "showroom.yaml").read_text()
    assert load_settings(ROOT / "config" / "showroom.yaml") == Settings()
    commented = [re.sub(r"^( *)# ", r"\1", line) for line in text.splitlines()[5:]]
    everything = yaml.safe_load("\n".join(commented))["/**"]["ros__parameters"]
    assert override(Settings(), everything) == Settings(), "what is commented out shows the defaults"


@pytest.mark.parametrize("path", sorted((ROOT / "launch").rglob("*.launch.py")), ids=lambda path: path.stem)
def test_launch_files_define_what_ros_looks_for(path):
    tree = ast.parse(path.read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["generate_launch_description"]
    imported = {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    defined = {
        node.name
        for node in ast.parse((ROOT / "showroom_ros" / "nodes" / "launch_actions.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert imported - {"LaunchDescription"} <= defined


def test_every_part_is_there():
    text = (ROOT / "showroom_ros" / "nodes" / "launch_actions.py").read_text()
    named = {
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".launch.py")
    }
    assert {path.name for path in (ROOT / "launch" / "parts").glob("*.py")} == {n for n in named if " " not in n}


RECORDER = """#!{python}
import json, os, sys, pathlib
name = pathlib.Path(sys.argv[0]).name
variables = {{key: value for key, value in os.environ.items() if key.endswith("PROFILES_FILE")}}
pathlib.Path({folder!r}, name + ".json").write_text(json.dumps([sys.argv[1:], variables]))
"""


def install_recorders(prefix, folder):
    """An install space whose programs write down how they were started."""
    for package, programs in (
        ("showroom_ros", ("keyframe_node", "reconstruction_node", "viewer_node", "bag_player_node")),
        ("rviz2", ("rviz2",)),
    ):
        (prefix / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True, exist_ok=True)
        (prefix / "share" / "ament_index" / "resource_index" / "packages" / package).touch()
        (prefix / "share" / package).mkdir(parents=True)
        (prefix / "lib" / package).mkdir(parents=True)
        for program in programs:
            path = prefix / "lib" / package / program
            path.write_text(RECORDER.format(python=sys.executable, folder=str(folder)))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
    for name in ("launch", "config"):
        (prefix / "share" / "showroom_ros" / name).symlink_to(ROOT / name)


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Runs the real launch file against programs that record their arguments."""
    pytest.importorskip("launch.actions", reason="ROS launch is not installed (apt: ros-jazzy-launch-ros)")
    pytest.importorskip("launch_ros.actions")
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    import launch

    records = tmp_path / "records"
    records.mkdir()
    install_recorders(tmp_path / "prefix", records)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'prefix'}:{os.environ.get('AMENT_PREFIX_PATH', '')}")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(**arguments):
        source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "showroom.launch.py"))
        service = launch.LaunchService()
        service.include_launch_description(
            launch.LaunchDescription([IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))])
        )
        assert service.run() == 0
        return {path.stem: json.loads(path.read_text()) for path in records.glob("*.json")}

    return run


def resolved(record):
    """The parameters that ROS itself makes of a recorded command line."""
    import ros_harness  # noqa: F401, sets the domain
    from rclpy.context import Context
    from rclpy.node import Node

    arguments = record[0]
    name = next(text for text in arguments if text.startswith("__node:=")).removeprefix("__node:=")
    context = Context()
    context.init(args=["program", *arguments])
    node = Node(name, context=context, automatically_declare_parameters_from_overrides=True)
    try:
        return {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_launch_starts_the_graph_with_the_stated_precedence(launched, tmp_path):
    params = tmp_path / "mine.yaml"
    params.write_text(
        yaml.safe_dump(
            {
                "/robot1/reconstruction_node": {"ros__parameters": {"reconstruction": {"device": "cuda"}}},
                "/**": {"ros__parameters": {"map": {"max_depth_m": 3.0}, "pose": {"world_frame": "of_file"}}},
            },
            sort_keys=False,
        )
    )

    records = launched(
        sensor="realsense_d435",
        params_file=str(params),
        namespace="robot1",
        device="cpu",
        world_frame="map",
        rgb_topic="/mine/image/compressed",
        log_level="warn",
        rviz="true",
    )

    assert set(records) == {"keyframe_node", "reconstruction_node", "rviz2"}
    arguments, variables = records["reconstruction_node"]
    assert "__ns:=/robot1" in arguments
    assert "__node:=reconstruction_node" in arguments
    assert arguments[arguments.index("--log-level") + 1] == "warn"
    assert {Path(value).name for value in variables.values()} == {"fastdds_profile.xml"}
    parameters = resolved(records["reconstruction_node"])
    assert parameters["reconstruction.device"] == "cpu", "a launch argument wins against a file that names the node"
    assert parameters["pose.world_frame"] == "map"
    assert parameters["map.max_depth_m"] == 3.0, "the file wins against the overlay (4.0)"
    assert parameters["map.min_depth_m"] == 0.2, "the overlay wins against the default"
    assert parameters["use_sim_time"] is False
    keyframes = records["keyframe_node"][0]
    assert "camera/color/image/compressed:=/mine/image/compressed" in keyframes
    assert "camera/depth/image:=/camera/camera/depth/image_rect_raw" in keyframes
    assert resolved(records["keyframe_node"])["sync.color_transport"] == "compressed"
    rviz = records["rviz2"][0]
    assert rviz[rviz.index("--fixed-frame") + 1] == "map"
    assert "/reconstruction_node/mesh:=/robot1/reconstruction_node/mesh" in rviz


def test_launch_replays_a_bag_with_its_time(launched, tmp_path):
    records = launched(rosbag=str(tmp_path), rosbag_args="--rate 2.0", viewer="true", port="9001")

    assert set(records) == {"keyframe_node", "reconstruction_node", "viewer_node", "bag_player_node"}
    for node in ("keyframe_node", "reconstruction_node", "viewer_node"):
        assert resolved(records[node])["use_sim_time"] is True
    assert resolved(records["viewer_node"])["viewer.port"] == 9001
    player = resolved(records["bag_player_node"])
    assert player["bag"] == str(tmp_path)
    assert player["rate"] == 2.0
    assert not player["use_sim_time"], "the player makes the time"


def test_launch_names_what_is_wrong(launched):
    with pytest.raises(AssertionError):
        launched(sensor="kodak")
