"""What the volume must do, of both engines."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tsdf_scenes import (
    CAMERA,
    ENGINES,
    make_engine,
    orbit,
    room_views,
    sphere_depth,
    sphere_views,
    triangle_set,
    view_of,
)

from showroom_ros.errors import InputError, SettingsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.block_store import HAS_COLOR, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import make_volume
from showroom_ros.scene.volume_reference import ReferenceVolume, reference_triangles
from showroom_ros.settings import MapSettings

EXACT = MapSettings(mesh_tolerance_m=0.0)
FRONT = look_at((-1.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@pytest.fixture(params=ENGINES)
def volume_of(request):
    return lambda settings=EXACT: make_engine(request.param, settings)


def wall(depth_m: float = 1.0, color=(200, 100, 50), **planes):
    """A wall ``depth_m`` in front of the camera at (-1, 0, 0), so that 1 m is the plane x = 0."""
    return view_of(np.full((CAMERA.height, CAMERA.width), depth_m), FRONT, color=color, **planes)


def kind_of(value: Provenance, shape=(CAMERA.height, CAMERA.width)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


def middle_x(mesh: Mesh) -> np.ndarray:
    """x of the vertices near the optical axis."""
    near = (np.abs(mesh.vertices[:, 1:]) < 0.2).all(1)
    return mesh.vertices[near, 0]


def test_voxels_are_those_of_the_reference(volume_of):
    settings = MapSettings(voxel_size_m=0.04, truncation_m=0.1, max_weight=2.0)
    camera = Camera(40, 30, 34.0, 33.0, 19.3, 14.2)
    rng = np.random.default_rng(0)
    volume, reference = volume_of(settings), ReferenceVolume(settings)
    for n, pose in enumerate(orbit(3, 0.7)):
        depth = sphere_depth(camera, pose, np.zeros(3), 0.2)
        depth[np.isnan(depth) & (np.arange(40) < 10)] = 0.9
        depth[5:8, 5:20] = np.nan
        provenance = rng.integers(0, 4, depth.shape).astype(np.uint8) if n else None
        confidence = rng.integers(1, 17, depth.shape).astype(np.float32) / 16
        view = view_of(depth, pose, camera, provenance=provenance, confidence=confidence)
        view.image[:] = rng.integers(0, 256, view.image.shape)
        volume.integrate(view)
        reference.integrate(view)
    voxels = volume.voxels()
    positions = [tuple(position) for position in voxels.position.tolist()]
    assert set(positions) == set(reference.blocks)
    expected = [voxel for position in positions for voxel in reference.blocks[position]]
    weight = voxels.weight.astype(np.int64).ravel()
    same = (weight >> 2) / WEIGHT_UNITS == [voxel.weight for voxel in expected]
    same &= (weight & 3) == [voxel.provenance for voxel in expected]
    assert same.mean() > 0.999, "pixels exactly between two voxels' projections may differ, no others"
    distance = voxels.tsdf.ravel() / TSDF_UNITS * settings.truncation_m
    off = np.abs(distance - [voxel.distance_m for voxel in expected])[same]
    assert np.quantile(off, 0.999) < 2e-5
    colored = np.array([voxel.color is not None for voxel in expected]) & same
    word = voxels.color.astype(np.int64).ravel()
    assert ((word & HAS_COLOR > 0) == colored)[same].all()
    rgb = np.stack([word >> 10 * channel & 1023 for channel in range(3)], 1)[colored] / 4
    wanted = np.array([voxel.color for voxel, use in zip(expected, colored, strict=True) if use])
    assert np.quantile(np.abs(rgb - wanted), 0.999) < 0.6


def test_the_engines_make_the_same_map():
    pytest.importorskip("torch")
    maps = []
    for name in ENGINES:
        volume = make_engine(name, EXACT)
        stats = [volume.integrate(view) for view in sphere_views(6)]
        maps.append((volume.voxels(), volume.extract_mesh(), stats))
    (voxels, mesh, stats), (other, other_mesh, other_stats) = maps
    assert (voxels.position == other.position).all()
    assert np.mean(voxels.weight == other.weight) > 0.9999
    assert np.mean(np.abs(voxels.tsdf.astype(int) - other.tsdf) <= 1) > 0.9999
    assert abs(len(mesh.triangles) - len(other_mesh.triangles)) < 0.002 * len(mesh.triangles)
    for a, b in zip(stats, other_stats, strict=True):
        assert a.blocks_allocated == b.blocks_allocated
        assert abs(a.voxels_updated - b.voxels_updated) < 1e-4 * a.voxels_updated


def test_a_sphere_comes_back_round_closed_and_coloured(volume_of):
    volume = volume_of()
    camera = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
    for pose in orbit(40, 1.0):
        volume.integrate(view_of(sphere_depth(camera, pose, np.zeros(3), 0.3), pose, camera))
    mesh = volume.extract_mesh()
    radius = np.linalg.norm(mesh.vertices, axis=1)
    voxel = EXACT.voxel_size_m
    assert np.abs(radius - 0.3).mean() < 0.075 * voxel
    assert np.quantile(np.abs(radius - 0.3), 0.99) < 0.25 * voxel
    outward = mesh.vertices / radius[:, None]
    assert np.quantile((mesh.normals * outward).sum(1), 0.01) > 0.97
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    assert (mesh.colors == (200, 100, 50)).all()
    assert (mesh.provenance == Provenance.MEASURED).all()
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert all((b, a) in directed for a, b in directed)
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2).astype(np.float64)
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)


def test_the_mesh_is_that_of_the_cell_by_cell_reference():
    volume = make_engine("numba", dataclasses.replace(EXACT, voxel_size_m=0.06, truncation_m=0.18, min_weight=2.0))
    for view in sphere_views(24):
        volume.integrate(view)
    voxels = volume.voxels()
    low = voxels.position.min(0)
    shape = (voxels.position.max(0) - low + 1) * 8
    distance, weight = np.zeros(shape), np.zeros(shape)
    for n, position in enumerate(voxels.position):
        x, y, z = (position - low) * 8
        distance[x : x + 8, y : y + 8, z : z + 8] = voxels.tsdf[n].reshape(8, 8, 8).T
        weight[x : x + 8, y : y + 8, z : z + 8] = (voxels.weight[n].reshape(8, 8, 8).T >> 2) / WEIGHT_UNITS
    expected = reference_triangles(distance, weight >= 2.0, 0.06) + low * 8 * 0.06
    mesh = volume.extract_mesh()
    found = mesh.vertices[mesh.triangles]
    assert len(found) == len(expected) > 300
    order_found = np.lexsort(found.mean(1).round(4).T)
    order_expected = np.lexsort(expected.mean(1).round(4).T)
    assert np.abs(found.mean(1)[order_found] - expected.mean(1)[order_expected]).max() < 2e-4


def test_mesh_blocks_handed_out_are_exactly_the_whole_mesh(volume_of):
    """After every view: whatever changed, seams to blocks that changed alone included."""
    volume, held = volume_of(), {}
    views = [*room_views(8), wall(0.9), *sphere_views(3)]
    for view in views:
        volume.integrate(view)
        changed, removed = volume.update_mesh()
        assert not set(removed) & set(changed)
        assert all(len(mesh.triangles) for mesh in changed.values())
        for index in removed:
            del held[index]
        held.update(changed)
        assert triangle_set(*held.values()) == triangle_set(volume.extract_mesh())
    whole = volume.mesh_blocks()
    assert whole.keys() == held.keys()
    for index, mesh in whole.items():
        for name in ("vertices", "triangles", "colors", "normals", "provenance"):
            assert (getattr(mesh, name) == getattr(held[index], name)).all()
        edge = volume.mesh_block_size_m
        assert (mesh.vertices >= np.array(index) * edge - 1e-5).all()
        assert (mesh.vertices <= (np.array(index) + 1) * edge + 1e-5).all()
    assert volume.update_mesh() == ({}, ())


def test_surface_that_hardly_moves_is_not_meshed_again_but_never_lags_far(volume_of):
    tolerance = 0.002
    volume, held = volume_of(MapSettings(mesh_tolerance_m=tolerance)), {}
    rng, handed_out = np.random.default_rng(0), []
    for _ in range(40):
        depth = 1.007 + rng.normal(0, 0.001, (CAMERA.height, CAMERA.width))
        volume.integrate(view_of(depth, FRONT))
        changed, removed = volume.update_mesh()
        held.update(changed)
        assert not removed
        handed_out.append(len(changed))
    whole = volume.mesh_blocks()
    assert sum(handed_out[20:]) < 0.5 * 20 * handed_out[0]
    inner = np.concatenate([mesh.vertices for mesh in whole.values()])
    lag, _ = cKDTree(np.concatenate([mesh.vertices for mesh in held.values()])).query(inner)
    assert np.quantile(lag, 0.999) < 1.5 * tolerance


def test_what_moved_away_vanishes(volume_of):
    """A ball in front of a wall; the ball is taken away."""
    ball = np.fmin(sphere_depth(CAMERA, FRONT, np.array([-0.4, 0, 0]), 0.15), 1.0)
    volume = volume_of()
    for _ in range(3):
        volume.integrate(view_of(ball, FRONT))
    assert middle_x(volume.extract_mesh()).min() < -0.4
    volume.update_mesh()
    removed = set()
    for _ in range(12):
        volume.integrate(wall())
        removed.update(volume.update_mesh()[1])
    assert middle_x(volume.extract_mesh()).min() > -0.05
    assert removed, "mesh blocks that held only the ball are reported as removed"


def test_without_carving_it_stays(volume_of):
    ball = np.fmin(sphere_depth(CAMERA, FRONT, np.array([-0.4, 0, 0]), 0.15), 1.0)
    volume = volume_of(MapSettings(carve=False))
    volume.integrate(view_of(ball, FRONT))
    for _ in range(12):
        volume.integrate(wall())
    assert middle_x(volume.extract_mesh()).min() < -0.4


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Provenance.MEASURED, Provenance.PREDICTED),
        (Provenance.MEASURED, Provenance.GENERATED),
        (Provenance.PREDICTED, Provenance.GENERATED),
    ],
)
class TestProvenance:
    """MEASURED beats PREDICTED beats GENERATED wherever they meet."""

    def test_the_worse_never_alters_the_better(self, volume_of, better, worse):
        volume = volume_of()
        volume.integrate(wall(1.0, provenance=kind_of(better)))
        before = volume.voxels()
        owned = before.weight >> 2 > 0
        for depth in (0.95, 1.05, 3.0):  # moved nearer, farther, and a ray that passes through
            volume.integrate(wall(depth, color=(0, 0, 255), provenance=kind_of(worse)))
        after = volume.voxels()
        rows = [after.position.tolist().index(position) for position in before.position.tolist()]
        for name in ("tsdf", "weight", "color"):
            assert (getattr(after, name)[rows][owned] == getattr(before, name)[owned]).all()
        assert set(after.weight[rows][owned] & 3) == {better}

    def test_the_better_replaces_the_worse(self, volume_of, better, worse):
        volume = volume_of()
        for _ in range(20):
            volume.integrate(wall(1.0, color=(0, 0, 255), provenance=kind_of(worse)))
        volume.integrate(wall(1.03, provenance=kind_of(better)))
        mesh = volume.extract_mesh()
        middle = (np.abs(mesh.vertices[:, 1:]) < 0.2).all(1) & (mesh.provenance == better)
        assert np.abs(mesh.vertices[middle, 0] - 0.03).max() < 0.002, "at once, whatever weight the worse had"
        assert (mesh.colors[middle] == (200, 100, 50)).all()

    def test_free_space_of_the_better_removes_the_worse(self, volume_of, better, worse):
        volume = volume_of()
        for _ in range(20):
            volume.integrate(wall(0.6, provenance=kind_of(worse)))
        volume.integrate(wall(1.0, provenance=kind_of(better)))
        assert middle_x(volume.extract_mesh()).min() > -0.05

    def test_free_space_of_the_worse_leaves_the_better(self, volume_of, better, worse):
        volume = volume_of()
        volume.integrate(wall(0.6, provenance=kind_of(better)))
        for _ in range(50):
            volume.integrate(wall(1.0, provenance=kind_of(worse)))
        assert middle_x(volume.extract_mesh()).min() == pytest.approx(-0.4, abs=0.003)

    def test_a_vertex_between_two_is_of_the_worse(self, volume_of, better, worse):
        volume, kinds = volume_of(), kind_of(better)
        kinds[:, CAMERA.width // 2 :] = worse
        volume.integrate(wall(1.0, provenance=kinds))
        mesh = volume.extract_mesh()
        assert set(mesh.provenance) == {better, worse}
        right = mesh.vertices[:, 1] < -EXACT.voxel_size_m  # image right is -y here
        assert (mesh.provenance[right] == worse).all()


def test_depth_that_says_nothing_is_ignored(volume_of):
    volume = volume_of(MapSettings(min_depth_m=0.5, max_depth_m=2.0))
    depth = np.full((CAMERA.height, CAMERA.width), np.nan)
    depth[:30], depth[30:60], depth[60:90] = 0.0, 0.49, 2.01
    depth[90:100], depth[100:110], depth[110:] = -1.0, np.inf, np.nan
    stats = volume.integrate(view_of(depth, FRONT))
    assert stats.blocks_allocated == stats.voxels_updated == volume.block_count == 0
    unknown = wall(1.0, provenance=kind_of(Provenance.UNKNOWN))
    assert volume.integrate(unknown).voxels_updated == 0
    doubtful = wall(1.0, confidence=np.zeros((CAMERA.height, CAMERA.width), np.float32))
    assert volume.integrate(doubtful).voxels_updated == 0
    assert len(volume.extract_mesh().vertices) == 0
    assert volume.update_mesh() == ({}, ())


def test_confidence_weighs(volume_of):
    volume, shape = volume_of(), (CAMERA.height, CAMERA.width)
    volume.integrate(wall(1.00, confidence=np.full(shape, 1.0, np.float32)))
    volume.integrate(wall(1.04, confidence=np.full(shape, 0.25, np.float32)))
    assert np.median(middle_x(volume.extract_mesh())) == pytest.approx(0.04 * 0.25 / 1.25, abs=0.001)


def test_memory_stays_under_the_cap_and_the_farthest_go_first(volume_of):
    settings = MapSettings(max_bytes=2_500_000, mesh_tolerance_m=0.0)
    volume, held, evicted = volume_of(settings), set(), 0
    block_m = 8 * settings.voxel_size_m
    for view in room_views(24) * 2:
        before = {tuple(position) for position in volume.voxels().position.tolist()}
        stats = volume.integrate(view)
        evicted += stats.blocks_evicted
        assert volume.memory_bytes <= settings.max_bytes
        changed, removed = volume.update_mesh()
        held = (held | set(changed)) - set(removed)
        kept = volume.voxels().position
        gone = before - {tuple(position) for position in kept.tolist()}
        assert len(gone) == stats.blocks_evicted
        if gone:
            eye = view.T_world_camera[:3, 3]
            kept_m = np.linalg.norm((kept + 0.5) * block_m - eye, axis=1)
            gone_m = np.linalg.norm((np.array(list(gone)) + 0.5) * block_m - eye, axis=1)
            assert gone_m.min() >= kept_m.max()
    assert evicted > 100
    assert volume.block_count > 300, "the cap is used"
    assert held == set(volume.mesh_blocks())


def test_blocks_beyond_the_radius_go(volume_of):
    volume = volume_of(MapSettings(radius_m=2.0, mesh_tolerance_m=0.0))
    volume.integrate(wall())
    handed_out, _ = volume.update_mesh()
    assert handed_out
    away = np.eye(4)
    away[:3, 3] = (10, 0, 0)
    view = dataclasses.replace(wall(), T_world_camera=away @ FRONT)
    stats = volume.integrate(view)
    assert stats.blocks_evicted > 0
    changed, removed = volume.update_mesh()
    assert set(removed) == set(handed_out)
    assert all(index[0] > 8 for index in changed)
    far = volume.integrate(dataclasses.replace(wall(3.0), T_world_camera=away @ FRONT))
    assert far.blocks_refused > 0


def test_clear_gives_everything_back(volume_of):
    volume = volume_of()
    empty = volume.memory_bytes
    volume.integrate(wall())
    handed_out, _ = volume.update_mesh()
    volume.clear()
    assert (volume.block_count, volume.memory_bytes) == (0, empty)
    assert volume.update_mesh() == ({}, tuple(sorted(handed_out)))
    assert volume.update_mesh() == ({}, ())
    volume.integrate(wall())
    assert volume.update_mesh()[0].keys() == handed_out.keys()


def test_voxels_put_into_another_volume_make_the_same_map(volume_of):
    volume, other = volume_of(), volume_of()
    for view in room_views(3):
        volume.integrate(view)
    other.insert(volume.voxels())
    assert triangle_set(other.extract_mesh()) == triangle_set(volume.extract_mesh())
    assert triangle_set(*other.update_mesh()[0].values()) == triangle_set(volume.extract_mesh())
    more = room_views(4)[3]
    assert volume.integrate(more) == other.integrate(more)
    assert triangle_set(other.extract_mesh()) == triangle_set(volume.extract_mesh())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"T_world_camera": None}, "no pose"),
        ({"depth": None}, "no depth"),
        ({"T_world_camera": look_at((1e9, 0, 0), (1e9, 1e9, 0))}, "from the origin"),
    ],
)
def test_views_that_cannot_be_fused_leave_the_map_alone(volume_of, change, error):
    volume = volume_of()
    volume.integrate(wall())
    before = volume.voxels()
    with pytest.raises(InputError, match=error):
        volume.integrate(dataclasses.replace(wall(1.1), **change))
    for old, new in zip(before, volume.voxels(), strict=True):
        assert (old == new).all()


def test_settings_that_contradict_each_other_are_refused(volume_of):
    with pytest.raises(SettingsError, match="truncation_m"):
        volume_of(MapSettings(voxel_size_m=0.1, truncation_m=0.1))
    with pytest.raises(SettingsError, match="min_depth_m"):
        volume_of(MapSettings(min_depth_m=3.0, max_depth_m=2.0))
    volume = volume_of()
    volume.settings = dataclasses.replace(volume.settings, max_depth_m=2.0)
    with pytest.raises(SettingsError, match="voxel_size_m"):
        volume.settings = dataclasses.replace(volume.settings, voxel_size_m=0.01)


def test_an_unknown_device_is_refused():
    with pytest.raises(SettingsError, match="expected cpu or cuda"):
        make_volume(MapSettings(), "tpu")
