"""keyframe_node and a fake camera before it, spinning in this process."""

import itertools
import time

import ros_harness
from ros_harness import START_NS, FakeCamera, Spinner, parameters, wait_until

from showroom_ros.nodes.keyframe_node import KeyframeNode

NUMBERS = itertools.count()
STEP_NS = 100_000_000
FAST = {"sync__depth_timeout_s": 5.0, "pose__max_wait_s": 1.0}


class Bench:
    """A fake camera and the node under test, spinning."""

    def __init__(self):
        ros_harness.init()
        self.spinner = Spinner()
        self.camera = None
        self.node = None

    def start(self, transport=("raw", "raw"), reliability=None, **settings):
        namespace = f"/test_{next(NUMBERS)}"  # nodes of earlier tests are not heard
        self.camera = FakeCamera(namespace=namespace, transport=transport, reliability=reliability)
        names = {"sync__color_transport": transport[0], "sync__depth_transport": transport[1]}
        overrides = parameters(**{**FAST, **names, **settings})
        self.node = KeyframeNode(namespace=namespace, parameter_overrides=overrides)
        for node in (self.camera.node, self.node):
            self.spinner.executor.add_node(node)
        wait_until(lambda: self.node._is_open, what="node active")
        inputs = [self.camera.color, self.camera.color_info, self.camera.tf, self.camera.tf_static]
        if settings.get("keyframes__use_depth", True):
            inputs.append(self.camera.depth)
        if reliability is None:
            wait_until(lambda: all(p.get_subscription_count() for p in inputs), what="inputs matched")
        wait_until(lambda: self.node._views.get_subscription_count() == 1, what="output matched")
        return self.camera

    def close(self):
        if self.node is not None:
            self.node.shut_down()
        try:
            self.spinner.close()
        finally:
            for node in (self.node, self.camera and self.camera.node):
                if node is not None:
                    node.destroy_node()

    @property
    def views(self):
        return self.camera.views

    def expect(self, count, timeout_s=10.0):
        wait_until(lambda: len(self.views) >= count, timeout_s, f"{count} views (have {len(self.views)})")
        time.sleep(0.05)
        assert len(self.views) == count
        return self.views

    def expect_error(self, *parts):
        def has_come():
            return all(part in self.node.errors.last for part in parts)

        wait_until(has_come, what=f"error with {parts}, last is {self.node.errors.last!r}")
        assert self.views == []

    def send_frame(self, index, x=None, **kwargs):
        """Depth, colour, calibration and pose of frame ``index``, which is ``index`` metres to the right."""
        stamp_ns = START_NS + index * STEP_NS
        self.camera.send_color_info(stamp_ns=stamp_ns)
        self.camera.send_depth(stamp_ns, **kwargs)
        self.camera.send_color(stamp_ns)
        self.camera.send_pose(stamp_ns, float(index) if x is None else x)

    def expect_good_frame_still_works(self, index=50):
        """A good frame after the bad ones becomes a view."""
        self.send_frame(index)
        expected_ns = START_NS + index * STEP_NS
        wait_until(
            lambda: any(view.stamp_ns == expected_ns for view in self.views), what="a good frame after a bad one"
        )
