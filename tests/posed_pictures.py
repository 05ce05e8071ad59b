"""What the tests of learned methods in the node share: settings, a recording of the patterned room, counts."""

from __future__ import annotations

import numpy as np
from stereo_room import picture

from showroom_ros.nodes.map_client import MapClient
from showroom_ros.scene.view import SensorFrame, View

SECOND_NS = 1_000_000_000
PLANE_SWEEP = {"reconstruction.method": "plane_sweep", "reconstruction.model_file": "none"}
"""Without a network, so that what is asserted does not depend on weights."""
SMALL = {"map.voxel_size_m": 0.04, "map.truncation_m": 0.16, "reconstruction.image_width": 128}


class StereoRoom:
    """The patterned room as a recording of colour and poses alone."""

    name = "stereo room"

    def __init__(self, poses: list[np.ndarray]) -> None:
        self.poses = poses

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> View:
        return picture(self.poses[index], stamp_ns=SECOND_NS + index * SECOND_NS // 5)

    def frame(self, index: int) -> SensorFrame:
        view = self[index]
        return SensorFrame(view.image, view.camera, T_world_camera=view.T_world_camera, stamp_ns=view.stamp_ns)


def counts(client: MapClient) -> tuple[int, int, int]:
    """Views dealt with: fused, without depth, rejected."""
    status = client.status
    assert status is not None
    return status.views_fused, status.views_without_depth, status.views_rejected
