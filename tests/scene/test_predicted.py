"""Predicted voxels in a map: they replace predictions, never what was measured; both engines and the reference."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsdf_scenes import CAMERA, ENGINES, make_engine, triangle_set, view_of

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.block_store import HAS_COLOR, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume_reference import ReferenceVolume, Voxel
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

EXACT = MapSettings(mesh_tolerance_m=0.0)
FRONT = look_at((-1.0, 0.0, 0.0), (0.0, 0.0, 0.0))
EYE = FRONT[:3, 3]


@pytest.fixture(params=ENGINES)
def volume_of(request):
    return lambda settings=EXACT: make_engine(request.param, settings)


def wall(depth_m: float = 1.0, kind: Provenance = Provenance.MEASURED, rows: slice = slice(None)):
    depth = np.full((CAMERA.height, CAMERA.width), np.nan)
    depth[rows] = depth_m
    return view_of(depth, FRONT, provenance=np.full(depth.shape, kind, np.uint8))


def predicted_wall(offset_m: float = 0.0, reach: int = 3, weight: float = 4.0, settings: MapSettings = EXACT) -> Voxels:
    """The plane x = ``offset_m`` with free space at lower x, in blocks around the origin."""
    axis = np.arange(-reach, reach, dtype=np.int32)
    position = np.stack(np.meshgrid(np.array([-1, 0], np.int32), axis, axis, indexing="ij"), -1).reshape(-1, 3)
    n = np.arange(512)
    x = (position[:, :1] * 8 + n % 8) * settings.voxel_size_m
    units = np.round(np.clip((offset_m - x) / settings.truncation_m, -1, 1) * TSDF_UNITS).astype(np.int16)
    tsdf = np.where(units == 0, 1, units).astype(np.int16)
    stored = np.uint16(int(weight * WEIGHT_UNITS) << 2 | Provenance.PREDICTED)
    return Voxels(position, tsdf, np.full_like(tsdf, stored, np.uint16), np.full(tsdf.shape, HAS_COLOR, np.uint32))


def emptied(voxels: Voxels) -> Voxels:
    return Voxels(voxels.position, *(np.zeros_like(array) for array in voxels[1:]))


def held(volume) -> dict:
    """Voxels as (tsdf, weight, color) by block and number, those without weight left out."""
    voxels = volume.voxels()
    return {
        (tuple(position), int(m)): (
            int(voxels.tsdf[n, m]), int(voxels.weight[n, m]), int(voxels.color[n, m])
        )
        for n, position in enumerate(voxels.position.tolist())
        for m in np.flatnonzero(voxels.weight[n] >> 2)
    }  # fmt: skip


def test_a_predicted_wall_is_meshed_where_it_is(volume_of):
    volume = volume_of()
    stats = volume.put_predicted(predicted_wall(0.01), EYE)
    assert stats.blocks_allocated == stats.blocks_touched == volume.block_count == 72
    assert stats.voxels_updated == 72 * 512
    changed, removed = volume.update_mesh()
    mesh = volume.extract_mesh()
    assert not removed
    assert triangle_set(*changed.values()) == triangle_set(mesh)
    assert np.abs(mesh.vertices[:, 0] - 0.01).max() < 1e-4
    assert set(mesh.provenance) == {Provenance.PREDICTED}


def test_a_new_prediction_leaves_nothing_of_the_old_one(volume_of):
    volume, fresh = volume_of(), volume_of()
    volume.put_predicted(predicted_wall(0.01), EYE)
    handed_out, _ = volume.update_mesh()
    second = predicted_wall(-0.03)
    second.weight[::2] = 0
    volume.put_predicted(second, EYE)
    fresh.put_predicted(second, EYE)
    assert held(volume) == held(fresh)
    assert volume.block_count == fresh.block_count == 36
    assert triangle_set(volume.extract_mesh()) == triangle_set(fresh.extract_mesh())
    volume.put_predicted(emptied(second), EYE)
    assert volume.block_count == 0
    assert volume.update_mesh() == ({}, tuple(sorted(handed_out)))
    assert len(volume.extract_mesh().vertices) == 0


def test_what_was_measured_stays_to_the_last_bit(volume_of):
    volume = volume_of()
    volume.integrate(wall(1.0, rows=slice(0, 70)))
    before = held(volume)
    predicted = predicted_wall(0.05, reach=6)
    volume.put_predicted(predicted, EYE)
    after = held(volume)
    assert {key: after[key] for key in before} == before
    assert set(after) > set(before), "beside what was measured the prediction is there"
    volume.put_predicted(emptied(predicted), EYE)
    assert held(volume) == before
    mesh = volume.extract_mesh()
    assert set(mesh.provenance) == {Provenance.MEASURED}


def test_measured_depth_replaces_predictions(volume_of):
    volume = volume_of()
    volume.put_predicted(predicted_wall(0.05, reach=8, weight=60.0), EYE)
    volume.integrate(wall(1.0))
    mesh = volume.extract_mesh()
    near = (np.abs(mesh.vertices[:, 1:]) < 0.2).all(1) & (mesh.provenance == Provenance.MEASURED)
    assert near.sum() > 100
    assert np.abs(mesh.vertices[near, 0]).max() < 0.002, "at once, whatever the prediction's weight"


def test_predictions_replace_what_was_generated(volume_of):
    volume = volume_of()
    volume.integrate(wall(1.06, Provenance.GENERATED))
    predicted = predicted_wall(0.0)
    volume.put_predicted(predicted, EYE)
    inside = volume.contains(predicted.position)
    assert inside.all()
    blocks = {tuple(position) for position in predicted.position.tolist()}
    kinds = {word[1] & 3 for (block, _), word in held(volume).items() if block in blocks}
    assert kinds == {Provenance.PREDICTED}


def test_mesh_blocks_handed_out_follow_every_prediction(volume_of):
    volume, meshes = volume_of(), {}
    views = [wall(1.0, rows=slice(0, 60)), wall(0.96, rows=slice(50, 90))]
    steps = [predicted_wall(0.0), predicted_wall(0.02), emptied(predicted_wall(reach=2)), predicted_wall(-0.02, 2)]
    for step in [steps[0], views[0], steps[1], steps[2], views[1], steps[3]]:
        if isinstance(step, Voxels):
            volume.put_predicted(step, EYE)
        else:
            volume.integrate(step)
        changed, removed = volume.update_mesh()
        for index in removed:
            del meshes[index]
        meshes.update(changed)
        assert triangle_set(*meshes.values()) == triangle_set(volume.extract_mesh())


def test_what_hardly_changes_is_not_meshed_again(volume_of):
    volume = volume_of(MapSettings(mesh_tolerance_m=0.002))
    volume.put_predicted(predicted_wall(0.01), EYE)
    assert volume.update_mesh()[0]
    volume.put_predicted(predicted_wall(0.011), EYE)
    assert volume.update_mesh() == ({}, ())
    volume.put_predicted(predicted_wall(0.016), EYE)
    assert volume.update_mesh()[0]


def test_the_cap_holds_and_the_farthest_go_first(volume_of):
    volume = volume_of(MapSettings(max_bytes=1_500_000))
    many = predicted_wall(0.0, reach=12)
    stats = volume.put_predicted(many, EYE)
    assert stats.blocks_refused > 0
    assert stats.blocks_allocated + stats.blocks_refused == len(many.position)
    assert volume.memory_bytes <= 1_500_000
    block_m = 8 * EXACT.voxel_size_m
    away = np.linalg.norm((many.position + 0.5) * block_m - EYE, axis=1)
    kept = volume.contains(many.position)
    assert away[kept].max() <= away[~kept].min()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda v: v._replace(weight=v.weight & 0xFFFC | 1), "MEASURED, expected PREDICTED"),
        (lambda v: v._replace(weight=v.weight & 0xFFFC), "UNKNOWN, expected PREDICTED"),
        (lambda v: v._replace(position=v.position * 0), "twice"),
        (lambda v: v._replace(position=v.position + (1 << 23)), "too far out"),
        (lambda v: v._replace(tsdf=v.tsdf[:, :8]), "expected"),
    ],
)
def test_voxels_that_are_no_prediction_are_refused(volume_of, change, error):
    volume = volume_of()
    volume.integrate(wall())
    before = held(volume)
    with pytest.raises(InputError, match=error):
        volume.put_predicted(change(predicted_wall()), EYE)
    assert held(volume) == before


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_both_engines_hold_what_the_reference_holds(seed):
    """Random blocks, provenances and gaps, put in one after the other."""
    rng = np.random.default_rng(seed)
    small = dataclasses.replace(EXACT, voxel_size_m=0.05, truncation_m=0.2)
    engines = [make_engine(name, small) for name in ENGINES]
    reference = ReferenceVolume(small)
    positions = np.stack(np.meshgrid(*[np.arange(-1, 1, dtype=np.int32)] * 3), -1).reshape(-1, 3)
    for step in range(3):
        chosen = positions[rng.random(len(positions)) < 0.6]
        shape = (len(chosen), 512)
        known = (rng.random(shape) < 0.7) & (rng.random((len(chosen), 1)) < 0.7)
        kinds = rng.integers(1, 4, shape) if step == 0 else np.full(shape, Provenance.PREDICTED)
        tsdf = np.where(known, rng.integers(1, TSDF_UNITS, shape), 0).astype(np.int16)
        weight = np.where(known, rng.integers(1, 1024, shape) << 2 | kinds, 0).astype(np.uint16)
        voxels = Voxels(chosen, tsdf, weight, np.where(known, rng.integers(0, HAS_COLOR, shape), 0).astype(np.uint32))
        blocks = {
            tuple(position): [
                Voxel(float(tsdf[n, m]), (weight[n, m] >> 2) / WEIGHT_UNITS, None, int(weight[n, m] & 3))
                for m in range(512)
            ]
            for n, position in enumerate(chosen.tolist())
        }
        if step == 0:
            for engine in engines:
                engine.insert(voxels)
            reference.blocks = blocks
        else:
            for engine in engines:
                engine.put_predicted(voxels, EYE)
            reference.put_predicted(blocks)
    expected = {
        (block, m): (int(voxel.distance_m), int(voxel.weight * WEIGHT_UNITS) << 2 | voxel.provenance)
        for block, voxels_of in reference.blocks.items()
        for m, voxel in enumerate(voxels_of)
        if voxel.weight > 0
    }
    found = [held(engine) for engine in engines]
    assert found[0] == found[1]
    assert {key: value[:2] for key, value in found[0].items()} == expected
