"""Space seen to be free: equal to asking cell by cell, nothing behind surface, nothing generated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.coverage import Coverage, free_cells_reference
from showroom_ros.scene.view import Provenance, View

CAMERA = Camera(64, 48, 55.0, 55.0, 31.5, 23.5)


def wall(distance_m: float = 2.0, pose: np.ndarray | None = None) -> View:
    """Looks along its axis at a wall, with a hole in the depth."""
    depth = np.full((48, 64), distance_m, np.float32)
    depth[10:14, 20:30] = np.nan
    rgb = np.zeros((48, 64, 3), np.uint8)
    return View(rgb, CAMERA, depth=depth, T_world_camera=np.eye(4) if pose is None else pose)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_asking_cell_by_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = look_at(rng.uniform(-3, 3, 3), rng.uniform(-3, 3, 3))
    view = wall(pose=pose)
    view = dataclasses.replace(
        view, depth=view.depth * rng.uniform(0.3, 1.5, (6, 8)).repeat(8, 0).repeat(8, 1).astype("f4")
    )
    coverage = Coverage(0.1, 2.5)
    count = coverage.observe(view)
    free = coverage.free_cells()
    assert count == len(free) > 100
    low = np.floor(pose[:3, 3] / 0.1).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(k - 32, k + 33, 2) for k in low), indexing="ij"), -1).reshape(-1, 3)
    centres = (grid + 0.5) * 0.1
    expected = free_cells_reference(view, centres, 0.1, 2.5)
    assert expected.sum() > 20
    np.testing.assert_array_equal(coverage.is_free(centres), expected)
    assert coverage.observe(view) == 0


def test_nothing_at_behind_or_beside_the_wall_is_free() -> None:
    coverage = Coverage(0.1)
    coverage.observe(wall())
    z = np.linspace(0.1, 3, 59)
    along = np.column_stack([np.zeros_like(z), np.zeros_like(z), z])
    free = coverage.is_free(along)
    assert free[(z > 0.3) & (z < 1.75)].all()
    assert not free[z > 1.9].any()
    assert not coverage.is_free([5.0, 0.0, 1.0])
    assert not coverage.is_free([np.nan, 0.0, 1.0])
    through_the_hole = (np.array([24.5, 11.5]) - [CAMERA.cx, CAMERA.cy]) / 55.0
    assert not coverage.is_free([*(through_the_hole * 1.0), 1.0])
    coverage.clear()
    assert len(coverage.free_cells()) == 0
    assert not coverage.is_free(along).any()


def test_generated_depth_frees_nothing() -> None:
    generated = np.full((48, 64), Provenance.GENERATED, np.uint8)
    generated[:, :32] = Provenance.PREDICTED
    coverage = Coverage(0.1)
    coverage.observe(dataclasses.replace(wall(), provenance=generated))
    free = coverage.free_cells()
    assert len(free) > 100
    assert (free[:, 0] < 0.05).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Coverage(0.0), "cell_m is 0.0"),
        (lambda: Coverage(1.0, 0.5), "max_depth_m 0.5"),
        (lambda: Coverage().observe(dataclasses.replace(wall(), depth=None)), "depth"),
        (lambda: Coverage().observe(dataclasses.replace(wall(), T_world_camera=None)), "pose"),
        (lambda: Coverage().is_free([1.0, 2.0]), r"points are \(2,\)"),
        (lambda: Coverage().observe(wall(pose=look_at((1e6, 0, 0), (1e6, 1, 0)))), "from the origin"),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
