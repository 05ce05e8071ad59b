"""One side of a best-effort image stream between two processes.

Arguments: ``publish`` or ``subscribe``, images per stream, streams. The subscriber prints, per stream, how many whole
images it has got.
"""

import os
import sys
import time

import numpy as np
import rclpy
from sensor_msgs.msg import Image

from showroom_ros.ros.cdr import image_bytes, read_image
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.qos import input_qos

RATE_HZ = 30.0


def publish(node, count, streams):
    publishers = [node.create_publisher(Image, f"image_{i}", input_qos("SENSOR_DATA")) for i in range(streams)]
    while any(publisher.get_subscription_count() == 0 for publisher in publishers):
        time.sleep(0.01)
    time.sleep(1.0)  # the other side has to have matched as well
    image = np.zeros((480, 640, 3), np.uint8)
    start = time.monotonic()
    for index in range(count):
        image[:] = index % 256
        data = image_bytes(image, "rgb8", "camera", index)
        for publisher in publishers:
            publisher.publish(data)
        time.sleep(max(0.0, start + (index + 1) / RATE_HZ - time.monotonic()))
    time.sleep(1.0)


def subscribe(node, count, streams):
    received = [0] * streams

    def receiver(stream):
        def receive(data):
            image = read_image(data, "image").pixels(np.uint8, 3)
            assert image.min() == image.max()
            received[stream] += 1

        return receive

    for i in range(streams):
        node.create_subscription(Image, f"image_{i}", receiver(i), input_qos("SENSOR_DATA"), raw=True)
    deadline = time.monotonic() + 30.0
    silent_since = None
    while min(received) < count and time.monotonic() < deadline:
        before = sum(received)
        rclpy.spin_once(node, timeout_sec=0.1)
        if sum(received) > before:
            silent_since = time.monotonic()
        if silent_since is not None and time.monotonic() - silent_since > 3.0:
            break
    sys.stdout.write(" ".join(map(str, received)) + "\n")


def main():
    role, count, streams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if os.environ.get("WITHOUT_PROFILE") is None:
        configure_dds(os.environ)
    rclpy.init()
    node = rclpy.create_node(f"traffic_{role}")
    {"publish": publish, "subscribe": subscribe}[role](node, count, streams)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
