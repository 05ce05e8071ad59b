"""A real recording beside Open3D's VoxelBlockGrid on the same frames and poses."""

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from tsdf_scenes import ENGINES, make_engine

from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.view import View
from showroom_ros.settings import MapSettings

DEPTH_CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
FRAMES = range(120, 700, 12)
SETTINGS = MapSettings()


def read_view(folder, number: int) -> View:
    depth = cv2.imread(str(folder / f"frame-{number:06d}.depth.png"), cv2.IMREAD_UNCHANGED)
    image = cv2.imread(str(folder / f"frame-{number:06d}.color.jpg"))[..., ::-1].copy()
    metres = np.where((depth == 0) | (depth == 65535), np.nan, depth / 1000).astype(np.float32)
    return View(image, DEPTH_CAMERA, metres, T_world_camera=np.loadtxt(folder / f"frame-{number:06d}.pose.txt"))


def surface_points(vertices, triangles, count=200_000):
    a, b, c = vertices[triangles].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rng = np.random.default_rng(0)
    pick = rng.choice(len(triangles), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[pick] + u * (b - a)[pick] + v * (c - a)[pick]


@pytest.fixture(scope="module")
def recorded(redkitchen):
    """The views, and points on the mesh Open3D makes of them."""
    pytest.importorskip("open3d")
    from showroom_ros.benchmarks.open3d_peer import fuse_with_open3d

    views = [read_view(redkitchen, number) for number in FRAMES]
    peer = fuse_with_open3d(views, SETTINGS)
    return views, surface_points(peer.vertices, peer.triangles)


@pytest.mark.recorded
def test_our_mesh_is_the_peers(recorded):
    views, peer_points = recorded
    volume = make_engine("numba", SETTINGS)
    for view in views:
        volume.integrate(view)
    mesh = volume.extract_mesh()
    points = surface_points(mesh.vertices, mesh.triangles)
    precision = (cKDTree(peer_points).query(points)[0] < 0.02).mean()
    recall = (cKDTree(points).query(peer_points)[0] < 0.02).mean()
    assert 2 * precision * recall / (precision + recall) > 0.985


@pytest.mark.recorded
def test_the_engines_agree_on_it(recorded):
    views, _ = recorded
    maps = []
    for name in ENGINES:
        volume = make_engine(name, SETTINGS)
        for view in views[:6]:
            volume.integrate(view)
        maps.append(volume.voxels())
    one, other = maps
    assert (one.position == other.position).all()
    assert (one.weight == other.weight).mean() > 0.9999
    assert (np.abs(one.tsdf.astype(int) - other.tsdf) <= 1).mean() > 0.9999
    assert (one.color == other.color).mean() > 0.999
