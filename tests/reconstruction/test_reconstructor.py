import dataclasses

import numpy as np
import pytest
from tsdf_scenes import room_views, triangle_set

from showroom_ros.errors import InputError, MapFileError, SettingsError
from showroom_ros.reconstruction.estimator import make_estimator
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.map_file import read_header
from showroom_ros.settings import MapSettings, ReconstructionSettings, Settings, to_dict

SETTINGS = Settings(map=MapSettings(mesh_tolerance_m=0.0))


def stamped(views):
    return [dataclasses.replace(view, stamp_ns=1000 + n) for n, view in enumerate(views)]


def test_updates_add_up_to_the_map():
    reconstructor, held = Reconstructor(SETTINGS), {}
    for view in stamped(room_views(5)):
        update = reconstructor.process(view)
        assert update.stamp_ns == view.stamp_ns
        assert update.counters["voxels_updated"] > 0
        assert update.counters["blocks"] == reconstructor.volume.block_count
        assert update.counters["memory_bytes"] == reconstructor.volume.memory_bytes
        held.update(update.blocks)
        for index in update.removed:
            del held[index]
    assert triangle_set(*held.values()) == triangle_set(reconstructor.volume.extract_mesh())


def test_what_was_not_meshed_is_owed():
    views = stamped(room_views(5))
    lazy, eager, held = Reconstructor(SETTINGS), Reconstructor(SETTINGS), {}
    for view in views:
        update = lazy.process(view, mesh=False)
        assert (update.blocks, update.removed) == ({}, ())
        assert update.counters["blocks_touched"] > 0
        held.update(eager.process(view).blocks)
    owed = lazy.mesh_update()
    assert owed.stamp_ns == views[-1].stamp_ns
    assert triangle_set(*owed.blocks.values()) == triangle_set(lazy.volume.extract_mesh())
    assert triangle_set(lazy.volume.extract_mesh()) == triangle_set(eager.volume.extract_mesh())
    assert lazy.mesh_update().blocks == {}


@pytest.mark.parametrize(("missing", "message"), [("T_world_camera", "no pose"), ("depth", "no depth")])
def test_views_without_pose_or_depth_are_refused_and_the_map_is_intact(missing, message):
    reconstructor, views = Reconstructor(SETTINGS), stamped(room_views(3))
    reconstructor.process(views[0])
    before = reconstructor.volume.voxels()
    with pytest.raises(InputError, match=f"1001 has {message}"):
        reconstructor.process(dataclasses.replace(views[1], **{missing: None}))
    for old, new in zip(before, reconstructor.volume.voxels(), strict=True):
        assert (old == new).all()
    assert reconstructor.process(views[2]).blocks


def test_reset_takes_everything_back():
    reconstructor, views = Reconstructor(SETTINGS), stamped(room_views(3))
    shown = set(reconstructor.process(views[0]).blocks)
    reconstructor.reset()
    assert reconstructor.volume.block_count == 0
    update = reconstructor.mesh_update()
    assert (update.blocks, set(update.removed)) == ({}, shown)
    assert set(reconstructor.process(views[0]).blocks) == shown


def test_a_loaded_map_replaces_what_was_shown(tmp_path):
    reconstructor, views = Reconstructor(SETTINGS), stamped(room_views(8))
    for view in views[:2]:
        reconstructor.process(view)
    reconstructor.save_map(tmp_path / "first.map", {"data_id": "room"})
    saved = triangle_set(reconstructor.volume.extract_mesh())
    header = read_header(tmp_path / "first.map")
    assert header["settings"] == to_dict(SETTINGS)
    assert header["metadata"]["data_id"] == "room"
    assert header["metadata"]["code_version"]
    other, held = Reconstructor(SETTINGS), {}
    for view in views[3:6]:
        update = other.process(view)
        held.update(update.blocks)
    other.load_map(tmp_path / "first.map")
    update = other.mesh_update()
    assert update.removed, "what the old map showed elsewhere goes"
    for index in update.removed:
        del held[index]
    held.update(update.blocks)
    assert triangle_set(*held.values()) == saved


def test_a_map_that_cannot_be_loaded_leaves_the_current_one(tmp_path):
    reconstructor, views = Reconstructor(SETTINGS), stamped(room_views(3))
    reconstructor.process(views[0])
    before = triangle_set(reconstructor.volume.extract_mesh())
    (tmp_path / "bad.map").write_bytes(b"PK not a zip")
    with pytest.raises(MapFileError):
        reconstructor.load_map(tmp_path / "bad.map")
    assert triangle_set(reconstructor.volume.extract_mesh()) == before


def test_settings_change_in_a_live_map_or_are_refused():
    reconstructor = Reconstructor(SETTINGS)
    near = dataclasses.replace(SETTINGS, map=dataclasses.replace(SETTINGS.map, max_depth_m=0.2))
    reconstructor.settings = near
    assert reconstructor.process(stamped(room_views(1))[0]).counters["voxels_updated"] == 0
    with pytest.raises(SettingsError, match="voxel_size_m"):
        reconstructor.settings = dataclasses.replace(near, map=dataclasses.replace(near.map, voxel_size_m=0.05))
    assert reconstructor.settings == near


def test_sensor_depth_passes_measured_depth_on():
    estimator, view, volume = make_estimator(SETTINGS), room_views(1)[0], Reconstructor(SETTINGS).volume
    assert estimator.estimate(view, volume).view is view
    with pytest.raises(InputError, match="no depth"):
        estimator.estimate(dataclasses.replace(view, depth=None), volume)
    with pytest.raises(SettingsError, match="expected sensor_depth"):
        make_estimator(dataclasses.replace(SETTINGS, reconstruction=ReconstructionSettings(method="tea_leaves")))


def test_the_same_views_make_the_same_map():
    maps = []
    for _ in range(2):
        reconstructor = Reconstructor(SETTINGS)
        for view in stamped(room_views(4)):
            reconstructor.process(view, mesh=False)
        mesh = reconstructor.volume.extract_mesh()
        maps.append([getattr(mesh, name).tobytes() for name in ("vertices", "triangles", "colors", "normals")])
    assert maps[0] == maps[1]
    assert np.frombuffer(maps[0][0], np.float32).size > 1000
