"""``reconstruction.method: multi_view``: colour alone in, no pose, surface and path out over topics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
from multi_view_oracle import Oracle, textured
from node_bench import ViewSender, follow, running_node, wait_for_status, wait_until
from tsdf_scenes import room_views

from showroom_ros.nodes import reconstruction_node
from showroom_ros.reconstruction.multi_view_live import MultiView
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings, Settings

pytestmark = pytest.mark.ros

VIEWS = textured(room_views(12), 0)


class Metric(Oracle):
    """Knows metres."""

    metric = True

    def pointmaps(self, images):  # type: ignore[no-untyped-def]
        state = self._rng.bit_generator.state
        unit = self._rng.uniform(0.3, 3.0)
        self._rng.bit_generator.state = state
        maps = super().pointmaps(images)
        return [m._replace(points=m.points / unit, local_points=m.local_points / unit) for m in maps]


def truth() -> Mesh:
    volume = TsdfVolume(MapSettings(voxel_size_m=0.04, truncation_m=0.16))
    for view in VIEWS:
        volume.integrate(view)
    return volume.extract_mesh()


def height_m(mesh: Mesh) -> float:
    return float(np.ptp(np.quantile(mesh.vertices[:, 2], (0.01, 0.99)))) if len(mesh.vertices) else 0.0


def test_colour_alone_becomes_surface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Metric(VIEWS, outliers=0.0)
    monkeypatch.setattr(reconstruction_node, "make_estimator", lambda settings: MultiView(settings, oracle))
    monkeypatch.setattr(reconstruction_node, "warm_up", lambda settings, estimator: None)
    node_bench.fresh_namespace()
    sender = ViewSender()
    unposed = [
        dataclasses.replace(view, depth=None, T_world_camera=None, stamp_ns=(n + 1) * 10**9)
        for n, view in enumerate(VIEWS)
    ]
    seen_once = {"reconstruction.source_views": 4, "map.min_weight": 0.5}  # is enough here: confidence is below 1
    try:
        with running_node(tmp_path, **seen_once), follow() as client:
            sender.send(*unposed)
            wait_for_status(client, within_s=60.0, views_received=12, views_fused=11)
            height = height_m(truth())  # the map is level, with an origin and a heading of its own
            wait_until(lambda: abs(height_m(client.mesh()) - height) < 0.1, "a mesh as high as the room")
            mesh = client.mesh()
            assert set(mesh.provenance) == {Provenance.PREDICTED}
            assert np.ptp(mesh.vertices[:, :2], axis=0).max() < 3.5  # the room's diagonal is 3.1 m
    finally:
        sender.close()


def test_the_method_without_weights_of_its_own_is_refused_with_a_reason() -> None:
    from showroom_ros.errors import InputError
    from showroom_ros.reconstruction.estimator import make_estimator
    from showroom_ros.settings import override

    chosen = {"reconstruction.method": "multi_view", "reconstruction.model_file": "none"}
    with pytest.raises(InputError, match="no way without a network"):
        make_estimator(override(Settings(), chosen))
