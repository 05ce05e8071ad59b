"""What every node has: parameters, lifecycle, diagnostics, and one name for one node."""

import itertools
import time

import pytest

pytest.importorskip("rclpy")

import ros_harness
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import FakeCamera, Spinner, parameters, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from showroom_ros.errors import OutputError, SettingsError
from showroom_ros.ros.cdr import stamp_and_frame
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import input_qos
from showroom_ros.settings import Settings, setting_infos

pytestmark = pytest.mark.ros
NUMBERS = itertools.count()
GROUPS = ("pose", "sync", "keyframes", "publish")


class Probe(ShowroomNode):
    """A node that notes what happens to it."""

    def __init__(self, name="probe", configure_error=None, **options):
        super().__init__(name, GROUPS, **options)
        self.events, self.received, self.changes = [], 0, []
        self.configure_error = configure_error

    def configure(self):
        if self.configure_error is not None:
            raise self.configure_error
        self.events.append("configure")

    def activate(self):
        self.events.append("activate")
        self.create_input(Image, "camera/color/image", self._receive, input_qos(self.settings.sync.input_qos))

    def deactivate(self):
        self.events.append("deactivate")

    def cleanup(self):
        self.events.append("cleanup")

    def on_settings(self, old, new):
        self.changes.append((old, new))

    def on_time_jump(self):
        self.events.append("jump")

    def diagnostic_values(self):
        return {"received": self.received}

    def _receive(self, data):
        self.received += 1
        return stamp_and_frame(data, "image")[0]


@pytest.fixture
def spinner():
    ros_harness.init()
    spinner = Spinner()
    spinner.nodes = []
    yield spinner
    for node in spinner.nodes:
        if isinstance(node, ShowroomNode):
            node.shut_down()
    try:
        spinner.close()
    finally:
        for node in spinner.nodes:
            node.destroy_node()


def add(spinner, node):
    spinner.nodes.append(node)
    spinner.executor.add_node(node)
    return node


def probe(spinner, namespace=None, **options):
    overrides = options.pop("overrides", {})
    namespace = namespace or f"/base_{next(NUMBERS)}"
    node = Probe(namespace=namespace, parameter_overrides=parameters(**overrides), **options)
    return add(spinner, node)


def test_every_setting_of_the_groups_is_a_described_parameter(spinner):
    node = probe(spinner)
    infos = [info for info in setting_infos() if info.name.split(".")[0] in GROUPS]
    for info in infos:
        descriptor = node.describe_parameter(info.name)
        assert node.get_parameter(info.name).value == info.default
        assert info.doc in descriptor.description
        assert descriptor.read_only == (not info.live)
        if info.type in (int, float) and info.minimum is not None:
            ranges = descriptor.integer_range or descriptor.floating_point_range
            assert (ranges[0].from_value, ranges[0].to_value) == (info.minimum, info.maximum)
    assert not node.has_parameter("map.voxel_size_m")
    assert node.settings == Settings()


def test_overrides_become_settings_and_whole_numbers_do_for_floats(spinner):
    node = probe(spinner, overrides={"pose__max_wait_s": 3, "pose__source": "odom", "map__voxel_size_m": 0.05})
    assert node.settings.pose.max_wait_s == 3.0
    assert node.settings.pose.source == "odom"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"keyframes__min_rotaton_deg": 5.0}, ["unknown setting 'keyframes.min_rotaton_deg'", "min_rotation_deg"]),
        ({"pose__max_wait_s": -1.0}, ["'pose.max_wait_s' is -1.0", "0.0 to 60.0"]),
        ({"pose__max_wait_s": "soon"}, ["'pose.max_wait_s' is 'soon'", "float"]),
        ({"pose__source": "gps"}, ["'pose.source' is 'gps'", "tf, odom, pose, none"]),
        ({"map__voxel_size_m": 77.0}, ["'map.voxel_size_m' is 77.0"]),
    ],
)
def test_bad_overrides_are_refused_with_the_nodes_name(overrides, words):
    ros_harness.init()
    with pytest.raises(SettingsError) as caught:
        Probe(namespace="/bad", parameter_overrides=parameters(**overrides))
    assert all(word in str(caught.value) for word in ["/bad/probe", *words])


def test_live_changes_are_checked_and_handed_over(spinner):
    node = probe(spinner)
    results = node.set_parameters(parameters(keyframes__min_translation_m=0.5, keyframes__min_rotation_deg=700.0))
    assert [result.successful for result in results] == [True, False]
    assert "700" in results[1].reason or "range" in results[1].reason
    assert node.settings.keyframes.min_translation_m == 0.5
    assert node.settings.keyframes.min_rotation_deg == Settings().keyframes.min_rotation_deg
    assert [(old.keyframes.min_translation_m, new.keyframes.min_translation_m) for old, new in node.changes] == [
        (0.1, 0.5)
    ]
    assert not node.set_parameters(parameters(pose__world_frame="map"))[0].successful
    assert not node.set_parameters(parameters(keyframes__min_translation_m="far"))[0].successful


def test_a_refused_change_leaves_the_settings_alone(spinner):
    node = probe(spinner)

    def refuse(old, new):
        raise SettingsError("not now")

    node.on_settings = refuse
    result = node.set_parameters(parameters(keyframes__min_translation_m=0.5))[0]
    assert (result.successful, result.reason) == (False, "not now")
    assert node.settings == Settings()
    assert node.get_parameter("keyframes.min_translation_m").value == 0.1


def test_it_starts_itself_and_ends_in_order(spinner):
    node = probe(spinner)
    wait_until(lambda: node.events == ["configure", "activate"])
    node.shut_down()
    node.shut_down()
    assert node.events == ["configure", "activate", "deactivate", "cleanup"]


def test_transitions_by_service_while_messages_come(spinner):
    namespace = f"/base_{next(NUMBERS)}"
    node = probe(spinner, namespace, overrides={"autostart": False})
    camera = FakeCamera(namespace=namespace)
    add(spinner, camera.node)
    client = camera.node.create_client(ChangeState, "probe/change_state")
    assert client.wait_for_service(10)
    assert node.events == []
    stamps = itertools.count(1)
    for cycle in range(3):
        for transition in ("CONFIGURE", "ACTIVATE", "DEACTIVATE", "CLEANUP"):
            request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{transition}")))
            future = client.call_async(request)
            wait_until(future.done)
            assert future.result().success, (cycle, transition)
            if transition == "ACTIVATE":
                before = node.received
                wait_until(lambda: camera.send_color(next(stamps)) or node.received > before)  # noqa: B023
    assert node.events == ["configure", "activate", "deactivate", "cleanup"] * 3
    assert node.fatal_error is None


def test_a_configuration_that_fails_says_why_and_can_be_retried(spinner):
    node = probe(spinner, overrides={"autostart": False}, configure_error=OutputError("no such model file"))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.errors.last == "no such model file"
    node.configure_error = None
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.fatal_error is None


def test_autostart_that_fails_ends_the_node_with_the_reason(spinner):
    node = probe(spinner, configure_error=OutputError("no such model file"))
    wait_until(lambda: node.fatal_error is not None)
    assert "/probe could not start: no such model file" in str(node.fatal_error)


def test_a_defect_in_a_transition_is_not_swallowed(spinner):
    node = probe(spinner, configure_error=ZeroDivisionError("a defect"))
    wait_until(lambda: node.fatal_error is not None)
    assert isinstance(node.fatal_error, ZeroDivisionError)


def test_the_second_node_of_a_name_gives_way(spinner):
    namespace = f"/base_{next(NUMBERS)}"
    first = probe(spinner, namespace)
    wait_until(first._name_timer.is_canceled, 20.0)
    second = probe(spinner, namespace)
    other = probe(spinner, namespace, name="other_probe")
    wait_until(lambda: second.fatal_error is not None)
    assert f"another node is named {namespace}/probe already" in str(second.fatal_error)
    assert "__node:=" in str(second.fatal_error)
    wait_until(other._name_timer.is_canceled, 20.0)
    assert (first.fatal_error, other.fatal_error) == (None, None)


class Listener:
    """Collects the newest diagnostics by name."""

    def __init__(self, node):
        self.statuses = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._receive, 10)

    def _receive(self, message):
        self.statuses.update({status.name: status for status in message.status})

    def expect(self, name, level, *words):
        def matches():
            status = next((s for n, s in self.statuses.items() if n.endswith(name)), None)
            return status is not None and status.level == level and all(word in status.message for word in words)

        wait_until(
            matches, what=f"{name} {level} {words}, have {[(s.name, s.message) for s in self.statuses.values()]}"
        )
        status = next(s for n, s in self.statuses.items() if n.endswith(name))
        return {pair.key: pair.value for pair in status.values}


def test_diagnostics_name_the_missing_publisher_then_the_rate(spinner):
    namespace = f"/base_{next(NUMBERS)}"
    listener_node = add(spinner, ros_harness.Node("listener", namespace=namespace))
    listener = Listener(listener_node)
    node = probe(spinner, namespace, overrides={"publish__status_rate_hz": 20.0})
    topic = f"{namespace}/camera/color/image"
    values = listener.expect(topic, DiagnosticStatus.ERROR, f"nobody publishes {topic}")
    assert values["publishers"] == "0"
    camera = FakeCamera(namespace=namespace)
    add(spinner, camera.node)
    values = listener.expect(topic, DiagnosticStatus.ERROR, "nothing has arrived", "1 publisher")
    assert values["offered_qos"] == "reliable volatile"
    wait_until(lambda: camera.color.get_subscription_count() == 1)
    for _ in range(5):
        camera.send_color(node.get_clock().now().nanoseconds)
        time.sleep(0.02)
    wait_until(lambda: node.received == 5)
    listener.statuses.clear()
    values = listener.expect(topic, DiagnosticStatus.OK, "Hz")
    assert values["received"] == "5"
    assert 0.0 <= float(values["stamp_age_s"]) < 5.0
    assert float(values["rate_hz"]) > 1.0
    values = listener.expect("probe: state", DiagnosticStatus.OK, "running")
    assert int(values["memory_bytes"]) > 10_000_000
    assert int(values["received"]) == 5


def test_diagnostics_explain_a_qos_mismatch_and_the_named_parameter_cures_it(spinner):
    namespace = f"/base_{next(NUMBERS)}"
    listener = Listener(add(spinner, ros_harness.Node("listener", namespace=namespace)))
    camera = FakeCamera(namespace=namespace, reliability=ReliabilityPolicy.BEST_EFFORT)
    add(spinner, camera.node)
    overrides = {"publish__status_rate_hz": 20.0, "sync__input_qos": "DEFAULT"}
    node = probe(spinner, namespace, overrides=overrides)
    topic = f"{namespace}/camera/color/image"
    cure = f"qos_overrides.{topic}.subscription.reliability"
    words = ("does not match", "offered best effort volatile", "requested reliable volatile", cure)
    listener.expect(topic, DiagnosticStatus.ERROR, *words)
    node.shut_down()
    cured = probe(spinner, namespace, name="cured", overrides={**overrides, cure: "best_effort"})
    wait_until(lambda: camera.send_color(7) or cured.received > 0)


def test_bad_messages_are_counted_and_shown(spinner):
    namespace = f"/base_{next(NUMBERS)}"
    listener = Listener(add(spinner, ros_harness.Node("listener", namespace=namespace)))
    node = probe(spinner, namespace, overrides={"publish__status_rate_hz": 20.0})
    publisher = listener_publisher(spinner, namespace)
    wait_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(b"\x00\x01\x00\x00\x01")
    values = listener.expect("probe: state", DiagnosticStatus.WARN, "cut short")
    assert values["errors"] == "1"
    assert node.fatal_error is None


def listener_publisher(spinner, namespace):
    node = add(spinner, ros_harness.Node("garbage", namespace=namespace))
    return node.create_publisher(Image, "camera/color/image", QoSProfile(depth=10))


def test_simulated_time_may_stand_still_and_jumps_back_are_told(spinner):
    clock_node = add(spinner, ros_harness.Node(f"clock_{next(NUMBERS)}"))
    clock = clock_node.create_publisher(Clock, "/clock", 10)
    node = probe(spinner, overrides={"use_sim_time": True})
    wait_until(lambda: "activate" in node.events)
    wait_until(lambda: clock.get_subscription_count() >= 1)
    for seconds in (100, 101, 102, 50, 51):
        message = Clock()
        message.clock.sec = seconds
        clock.publish(message)
        wait_until(lambda: node.get_clock().now().nanoseconds == seconds * 10**9)  # noqa: B023
    assert node.events.count("jump") == 1
