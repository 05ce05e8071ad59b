"""Prediction of tiles and scenes, with a network that knows the truth: what comes out must be the scene."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree

torch = pytest.importorskip("torch")

from exact_network import (  # noqa: E402
    BALL,
    BALL_RADIUS_M,
    CAMERA,
    ROOM_HIGH,
    ROOM_LOW,
    ExactNetwork,
    room_distance,
    walk,
)

from showroom_ros.errors import InputError, SettingsError, WeightsError  # noqa: E402
from showroom_ros.geometry.camera import Camera  # noqa: E402
from showroom_ros.geometry.se3 import look_at, pose_from  # noqa: E402
from showroom_ros.networks.ioar import KIND, PRESETS, IoarNet  # noqa: E402
from showroom_ros.networks.weights import save_weights  # noqa: E402
from showroom_ros.reconstruction.keyframe_memory import Keyframe, KeyframeMemory  # noqa: E402
from showroom_ros.reconstruction.reconstructor import Reconstructor  # noqa: E402
from showroom_ros.reconstruction.tiles import TileGrid, grid_rotation  # noqa: E402
from showroom_ros.reconstruction.volumetric import (  # noqa: E402
    VolumetricEstimator,
    VolumetricOptions,
    make_volumetric,
)
from showroom_ros.scene.mesh import Mesh  # noqa: E402
from showroom_ros.scene.view import Provenance, View  # noqa: E402
from showroom_ros.scene.volume import TsdfVolume  # noqa: E402
from showroom_ros.settings import MapSettings, ReconstructionSettings, Settings  # noqa: E402

torch.set_num_threads(1)  # its threads and numba's get in each other's way
MAP = MapSettings(voxel_size_m=0.04, truncation_m=0.12)
OPTIONS = VolumetricOptions(tiles_per_view=3, views_per_tile=6, image_width=96, margin_voxels=0)


def make(network=None, options=OPTIONS, map_settings=MAP, up="+z"):
    settings = Settings(map=map_settings, reconstruction=ReconstructionSettings(up=up))
    network = network or ExactNetwork(room_distance)
    return VolumetricEstimator(network, settings, options), TsdfVolume(map_settings)


def feed(estimator, volume, views) -> list:
    estimates = []
    for view in views:
        estimate = estimator.estimate(view, volume)
        if estimate.voxels is not None:
            volume.put_predicted(estimate.voxels, view.T_world_camera[:3, 3])
        estimates.append(estimate)
    return estimates


def feed_then_predict_all(estimator, volume, views) -> None:
    """Every tile once, each on its own."""
    estimator.options = dataclasses.replace(estimator.options, tiles_per_view=0)
    feed(estimator, volume, views[:-1])
    estimator.options = dataclasses.replace(estimator.options, tiles_per_view=100)
    feed(estimator, volume, views[-1:])


def finished(estimator, volume) -> None:
    voxels = estimator.finish(volume)
    assert voxels is not None
    volume.put_predicted(voxels, np.zeros(3))


def true_surface(count: int = 20_000) -> np.ndarray:
    """Points on the walls and the ball."""
    rng = np.random.default_rng(0)
    points = rng.uniform(ROOM_LOW, ROOM_HIGH, (count, 3))
    axis, side = rng.integers(0, 3, count), rng.integers(0, 2, count)
    points[np.arange(count), axis] = np.where(side, ROOM_HIGH[axis], ROOM_LOW[axis])
    ball = rng.normal(size=(count // 20, 3))
    ball = BALL + BALL_RADIUS_M * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    return np.concatenate([points, ball])


def f_score(mesh: Mesh, at_m: float = 0.05) -> float:
    truth = true_surface()
    precision = (np.abs(room_distance(mesh.vertices.astype(np.float64))) < at_m).mean()
    away, _ = cKDTree(mesh.vertices).query(truth)
    recall = (away < at_m).mean()
    return float(2 * precision * recall / (precision + recall))


def open_edges(mesh: Mesh) -> np.ndarray:
    """Middles [E, 3] of the edges that belong to one triangle only."""
    edges = np.sort(np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]]))
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    return mesh.vertices[unique[counts == 1]].mean(1)


@pytest.mark.parametrize("voxel_size_m", [0.03, 0.04])
def test_exact_distances_give_the_exact_room_without_seams(voxel_size_m):
    """Also where blocks of the map straddle the borders of tiles."""
    map_settings = MapSettings(voxel_size_m=voxel_size_m, truncation_m=0.1)
    network = ExactNetwork(room_distance, sees_all=True)
    estimator, volume = make(network, map_settings=map_settings)
    feed_then_predict_all(estimator, volume, walk(16))
    mesh = volume.extract_mesh()
    assert f_score(mesh) > 0.98
    assert len(open_edges(mesh)) == 0
    off = np.abs(room_distance(mesh.vertices.astype(np.float64)))
    assert np.quantile(off, 0.9) < 0.002
    assert off.max() < 0.03, "at the edges of the room, which a grid rounds"
    assert set(mesh.provenance) == {Provenance.PREDICTED}


def test_what_the_cameras_see_is_reconstructed_live():
    estimator, volume = make()
    estimates = feed(estimator, volume, walk(28))
    assert f_score(volume.extract_mesh()) > 0.95
    assert all(estimate.view.depth is None for estimate in estimates)
    assert (volume.extract_mesh().colors > 0).any(1).mean() > 0.9


def test_at_most_so_many_tiles_are_predicted_per_view():
    network = ExactNetwork(room_distance)
    estimator, volume = make(network, dataclasses.replace(OPTIONS, tiles_per_view=2, views_per_tile=4))
    for view in walk(12):
        network.runs.clear()
        feed(estimator, volume, [view])
        coarse = [voxels for level, voxels in network.runs if level == 0]
        assert len(coarse) <= 2
        assert all(voxels == 16 * 16 * 12 for voxels in coarse)
    assert max(network.views) == 4


def test_live_and_whole_scene_agree_and_the_3d_networks_run_once():
    network = ExactNetwork(room_distance)
    estimator, volume = make(network)
    feed_then_predict_all(estimator, volume, walk(20))
    network.runs.clear()
    whole = TsdfVolume(MAP)
    finished(estimator, whole)
    assert [level for level, _ in network.runs] == [0, 1, 2]
    assert f_score(whole.extract_mesh()) > 0.95
    finished(estimator, volume)
    assert sorted(map(bytes, volume.extract_mesh().vertices)) == sorted(map(bytes, whole.extract_mesh().vertices)), (
        "nothing of the tiles predicted live is left"
    )


def test_left_to_the_end_nothing_is_predicted_before():
    network = ExactNetwork(room_distance)
    estimator, volume = make(network)
    estimator.leave_to_finish()
    assert all(estimate.voxels is None for estimate in feed(estimator, volume, walk(20)))
    assert network.runs == []
    finished(estimator, volume)
    assert f_score(volume.extract_mesh()) > 0.95


@pytest.mark.parametrize("up", ["-y", "+x"])
def test_any_axis_of_the_world_may_point_up(up):
    """The same room and walk in a turned world: the network must still see it upright."""
    R = grid_rotation(up)
    turned = []
    for view in walk(16):
        pose = view.T_world_camera.copy()
        pose[:3] = R @ pose[:3]
        turned.append(dataclasses.replace(view, T_world_camera=pose))
    upright, upright_volume = make()
    feed_then_predict_all(upright, upright_volume, walk(16))
    estimator, volume = make(up=up)
    feed_then_predict_all(estimator, volume, turned)
    mesh, expected = volume.extract_mesh(), upright_volume.extract_mesh()
    back = Mesh(mesh.vertices @ R.astype(np.float32), mesh.triangles, mesh.colors, mesh.normals, mesh.provenance)
    assert len(mesh.vertices) == pytest.approx(len(expected.vertices), rel=0.02)
    assert np.quantile(np.abs(room_distance(back.vertices.astype(np.float64))), 0.99) < 0.02
    away, _ = cKDTree(back.vertices).query(expected.vertices)
    assert np.quantile(away, 0.99) < 0.05


def test_measured_depth_passes_and_wins():
    estimator, volume = make(ExactNetwork(lambda points: room_distance(points) + 0.03))
    views = walk(6)
    camera = views[0].camera
    rays = camera.rays()
    depths = []
    for view in views:
        pose = view.T_world_camera
        directions = rays @ pose[:3, :3].T
        t = np.maximum((ROOM_LOW - pose[:3, 3]) / directions, (ROOM_HIGH - pose[:3, 3]) / directions).min(-1)
        depths.append(np.where(np.arange(camera.width) < 40, t, np.nan).astype(np.float32))
    for view, depth in zip(views, depths, strict=True):
        with_depth = dataclasses.replace(view, depth=depth)
        estimate = estimator.estimate(with_depth, volume)
        assert estimate.view is with_depth
        volume.integrate(estimate.view)
        before = volume.voxels()
        measured = (before.weight >> 2 > 0) & (before.weight & 3 == Provenance.MEASURED)
        if estimate.voxels is not None:
            volume.put_predicted(estimate.voxels, view.T_world_camera[:3, 3])
            after = volume.voxels()
            rows = {tuple(position): n for n, position in enumerate(after.position.tolist())}
            same = [rows[tuple(position)] for position in before.position[measured.any(1)].tolist()]
            kept = measured[measured.any(1)]
            for name in ("tsdf", "weight", "color"):
                old, new = getattr(before, name)[measured.any(1)], getattr(after, name)[same]
                assert (old[kept] == new[kept]).all()
    kinds = set(volume.extract_mesh().provenance)
    assert kinds == {Provenance.MEASURED, Provenance.PREDICTED}


def test_the_weight_carries_confidence():
    class Unsure(ExactNetwork):
        def run_level(self, level, coordinates, fused, parent):
            state = super().run_level(level, coordinates, fused, parent)
            left = fused[:, 0] < 0
            return state._replace(
                class_logits=torch.where(left[:, None], state.class_logits * 0.08, state.class_logits)
            )

    weights = {}
    for name, network in (("sure", ExactNetwork(room_distance)), ("unsure", Unsure(room_distance))):
        estimator, volume = make(network)
        feed_then_predict_all(estimator, volume, walk(16))
        voxels = volume.voxels()
        left = voxels.position[:, 0] * 8 * MAP.voxel_size_m < -0.5
        weights[name] = [float((voxels.weight[side] >> 2)[voxels.weight[side] > 0].mean()) for side in (left, ~left)]
    assert weights["unsure"][0] < 0.8 * weights["sure"][0]
    assert weights["unsure"][1] == pytest.approx(weights["sure"][1], rel=0.1)
    estimator, volume = make(Unsure(room_distance), dataclasses.replace(OPTIONS, min_confidence=0.0))
    estimator.apply(Settings(reconstruction=ReconstructionSettings(min_confidence=0.95)))
    feed_then_predict_all(estimator, volume, walk(16))
    assert volume.extract_mesh().vertices[:, 0].min() > -0.2


class TestBadInput:
    def test_the_first_frame_says_what_is_missing(self):
        estimator, volume = make()
        (estimate,) = feed(estimator, volume, walk(1))
        assert estimate.voxels is None
        assert "at least 2" in estimate.note
        assert estimator.finish(volume) is None

    def test_pure_rotation_is_told_and_nothing_is_made_up(self):
        estimator, volume = make()
        views = [
            View(view.image, CAMERA, T_world_camera=look_at((0, 0, 1), (np.cos(n), np.sin(n), 1)), stamp_ns=n)
            for n, view in enumerate(walk(12))
        ]
        estimates = feed(estimator, volume, views)
        assert all(estimate.voxels is None for estimate in estimates)
        assert "no parallax" in estimates[-1].note
        assert estimator.finish(volume) is None
        assert volume.block_count == 0

    def test_standing_still_adds_nothing(self):
        estimator, volume = make()
        view = walk(1)[0]
        estimates = feed(estimator, volume, [dataclasses.replace(view, stamp_ns=n) for n in range(5)])
        assert "1 keyframe" in estimates[-1].note

    def test_stamps_that_go_back_start_anew(self):
        estimator, volume = make()
        views = walk(10)
        estimates = feed(estimator, volume, [*views, views[0]])
        assert "stamps went back" in estimates[-1].note
        assert estimates[-1].voxels is None
        assert not any("stamps" in estimate.note for estimate in estimates[:-1])

    def test_reset_forgets(self):
        estimator, volume = make()
        feed(estimator, volume, walk(10))
        estimator.reset()
        assert estimator.finish(volume) is None
        assert "1 keyframe" in feed(estimator, volume, walk(1))[0].note

    def test_images_below_the_stride_are_refused_and_the_next_goes_on(self):
        estimator, volume = make()
        tiny = Camera(40, 24, 30.0, 30.0, 19.5, 11.5)
        with pytest.raises(InputError, match="40x24, expected sides of at least 32"):
            estimator.estimate(walk(1, tiny)[0], volume)
        feed(estimator, volume, walk(10))
        assert volume.block_count > 0

    def test_a_view_without_a_pose_is_refused(self):
        estimator, volume = make()
        with pytest.raises(InputError, match="no pose"):
            estimator.estimate(dataclasses.replace(walk(1)[0], T_world_camera=None), volume)

    def test_cameras_may_change_between_frames(self):
        wide = Camera(80, 72, 45.0, 45.0, 39.5, 35.5)
        views = [one if n % 2 else other for n, (one, other) in enumerate(zip(walk(24), walk(24, wide), strict=True))]
        estimator, volume = make()
        feed_then_predict_all(estimator, volume, views)
        assert f_score(volume.extract_mesh()) > 0.9

    def test_a_margin_that_is_no_whole_coarse_voxel_is_refused(self):
        with pytest.raises(SettingsError, match="multiple of 4"):
            make(options=dataclasses.replace(OPTIONS, margin_voxels=3))

    def test_full_memory_gives_advice(self):
        class Full(ExactNetwork):
            def run_level(self, *args):
                raise torch.OutOfMemoryError("tried to allocate 3 GiB")

        estimator, volume = make(Full(room_distance))
        with pytest.raises(InputError, match=r"lower reconstruction\.image_width"):
            feed(estimator, volume, walk(10))

    def test_a_scene_too_big_for_the_memory_is_predicted_tile_by_tile(self, caplog):
        class Small(ExactNetwork):
            def run_level(self, level, coordinates, fused, parent):
                if level == 0 and len(coordinates) > 16 * 16 * 12:
                    raise torch.OutOfMemoryError("tried to allocate 3 GiB")
                return super().run_level(level, coordinates, fused, parent)

        estimator, volume = make(Small(room_distance))
        estimator.leave_to_finish()
        feed(estimator, volume, walk(20))
        finished(estimator, volume)
        assert "tile by tile instead" in caplog.text
        assert f_score(volume.extract_mesh()) > 0.95

    def test_ioar_needs_a_network(self):
        with pytest.raises(SettingsError, match="without a network"):
            make_volumetric(Settings(reconstruction=ReconstructionSettings(method="ioar", model_file="none")))


def test_memory_is_bounded():
    options = dataclasses.replace(OPTIONS, max_keyframes=12, max_tiles=6)
    estimator, volume = make(options=options)
    feed_then_predict_all(estimator, volume, walk(24))
    assert len(estimator._memory.keyframes) == 12
    assert len(estimator._field._tiles) <= 6


def test_the_most_redundant_keyframe_goes():
    """A walk along x that lingers at 2 m: the lingering is thinned out, the way stays; far too far, the start goes."""
    memory = KeyframeMemory(TileGrid(), 10)

    def at(x):
        return Keyframe(walk(1)[0], pose_from((x, 0, 0)), None, {})

    for x in [0.0, 0.5, 1.0, 1.5, 2.0, *(2.0 + 0.1 * np.arange(1, 10)), 3.3]:
        memory.add(at(x))
    kept = [keyframe.T_grid_camera[0, 3] for keyframe in memory.keyframes]
    assert len(kept) == 10
    assert kept[0] == 0.0
    assert kept[-1] == 3.3
    assert np.diff(kept).max() < 0.7
    for x in np.arange(1, 12) * 10.0:
        memory.add(at(x))
    assert [keyframe.T_grid_camera[0, 3] for keyframe in memory.keyframes] == list(np.arange(2, 12) * 10.0)


@pytest.mark.parametrize("margin", [0, 8])
def test_the_small_network_runs_with_random_weights(margin):
    torch.manual_seed(0)
    network = IoarNet(PRESETS["small"]).eval()
    options = dataclasses.replace(OPTIONS, tiles_per_view=1, views_per_tile=3, margin_voxels=margin)
    estimator, volume = make(network, options)
    estimates = feed(estimator, volume, walk(8)[:4])
    assert all(np.isfinite(estimate.view.T_world_camera).all() for estimate in estimates)
    assert any(estimate.voxels is not None for estimate in estimates)


def test_weights_of_a_file_run_through_the_one_verb(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_weights(path, KIND, PRESETS["small"], IoarNet(PRESETS["small"]).state_dict(), {})
    chosen = ReconstructionSettings(method="ioar", model_file=str(path), image_width=96, min_confidence=0.0)
    reconstructor = Reconstructor(Settings(map=MAP, reconstruction=chosen))
    notes = [reconstructor.process(view, mesh=False).note for view in walk(24)[:3]]
    assert "at least 2" in notes[0]
    assert notes[2] == ""
    reconstructor.finish()


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        make_volumetric(Settings(reconstruction=ReconstructionSettings(method="ioar", model_file=str(path))))
