"""Mesh scores with answers known by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_meshes import mesh_of, plane, room, sphere

from showroom_ros.errors import InputError
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.surface import Surface, sample_surface
from showroom_ros.evaluation.triangle_tree import TriangleTree, nearest_reference
from showroom_ros.scene.mesh import Mesh

SAMPLES = 20_000


def test_identical_meshes_are_perfect() -> None:
    scores = evaluate_mesh(room(), room(), samples=SAMPLES)
    assert scores.accuracy_m == pytest.approx(0, abs=1e-6)
    assert scores.completeness_m == pytest.approx(0, abs=1e-6)
    assert scores.f_score == {0.02: 1.0, 0.05: 1.0}
    assert scores.normal_consistency == pytest.approx(1, abs=1e-6)
    assert scores.color_error == pytest.approx(0, abs=0.01)
    assert scores.predicted_samples == scores.truth_samples == SAMPLES


def test_parallel_planes_a_centimetre_apart() -> None:
    scores = evaluate_mesh(plane(z=0.01), plane(), thresholds_m=(0.009, 0.011), samples=SAMPLES)
    assert scores.accuracy_m == pytest.approx(0.01, rel=1e-4)
    assert scores.completeness_m == pytest.approx(0.01, rel=1e-4)
    assert scores.chamfer_m == pytest.approx(0.01, rel=1e-4)
    assert scores.precision == {0.009: 0.0, 0.011: 1.0}
    assert scores.f_score == {0.009: 0.0, 0.011: 1.0}
    assert scores.normal_consistency == pytest.approx(1)


def test_half_of_it_reconstructed() -> None:
    """All of what is there is right, half of what should be is there: F = 2/3."""
    half = plane()
    half = replace(half, triangles=half.triangles[half.vertices[half.triangles][:, :, 0].max(axis=1) <= 1.0 + 1e-6])
    scores = evaluate_mesh(half, plane(), thresholds_m=(0.001,), samples=SAMPLES)
    assert scores.precision[0.001] == 1
    assert scores.recall[0.001] == pytest.approx(0.5, abs=0.01)
    assert scores.f_score[0.001] == pytest.approx(2 / 3, abs=0.01)
    assert scores.accuracy_m == pytest.approx(0, abs=1e-6)
    # the other half is 0 to 1 m away from the edge, 0.5 m on average
    assert scores.completeness_m == pytest.approx(0.25, abs=0.01)


def test_larger_sphere() -> None:
    scores = evaluate_mesh(sphere(1.03), sphere(1.0), samples=SAMPLES)
    assert scores.accuracy_m == pytest.approx(0.03, rel=0.02)
    assert scores.completeness_m == pytest.approx(0.03, rel=0.02)
    assert (scores.f_score[0.02], scores.f_score[0.05]) == (0.0, 1.0)
    assert scores.normal_consistency > 0.99


def test_shifted_sphere() -> None:
    """A shift by s moves the surface by s |cos| along its normal: s / 2 on average over a sphere."""
    scores = evaluate_mesh(sphere(center=(0, 0, 0.04)), sphere(), samples=SAMPLES)
    assert scores.accuracy_m == pytest.approx(0.02, rel=0.03)
    # |cos| is uniform on a sphere: half of the surface moved by less than 2 cm
    assert scores.precision[0.02] == pytest.approx(0.5, abs=0.02)


def test_perpendicular_normals() -> None:
    flat = plane(0.1)
    upright = mesh_of(flat.vertices[:, [0, 2, 1]], flat.triangles)
    assert evaluate_mesh(upright, flat, samples=2000).normal_consistency == pytest.approx(0, abs=1e-6)


def test_color_error_is_the_mean_absolute_difference() -> None:
    scores = evaluate_mesh(plane(z=0.01, color=(140, 120, 128)), plane(color=(128, 128, 128)), samples=SAMPLES)
    assert scores.color_error == pytest.approx((12 + 8 + 0) / 3)
    far = evaluate_mesh(plane(z=1.0), plane(), samples=100)
    assert math.isnan(far.color_error)


def test_invented_surface_costs_precision_only() -> None:
    both = Mesh.concatenate([plane(), plane(z=0.5)])
    scores = evaluate_mesh(both, plane(), samples=SAMPLES)
    assert scores.precision[0.05] == pytest.approx(0.5, abs=0.01)
    assert scores.recall[0.05] == 1


def test_masks_choose_what_is_judged() -> None:
    both = Mesh.concatenate([plane(), plane(z=0.5)])
    low = lambda points: points[:, 2] < 0.2  # noqa: E731
    asked = evaluate_mesh(plane(), both, samples=SAMPLES, visible=low)
    assert asked.recall[0.05] == 1
    assert asked.truth_samples == pytest.approx(SAMPLES / 2, rel=0.02)
    assert evaluate_mesh(plane(), both, samples=SAMPLES).recall[0.05] == pytest.approx(0.5, abs=0.01)
    assert evaluate_mesh(both, plane(), samples=SAMPLES, judged=low).precision[0.05] == 1


@pytest.mark.parametrize(
    ("predicted", "judged"), [(Mesh.empty(), None), (plane(), lambda points: np.zeros(len(points), bool))]
)
def test_nothing_predicted_scores_zero(predicted: Mesh, judged: object) -> None:
    scores = evaluate_mesh(predicted, plane(), samples=1000, judged=judged)  # type: ignore[arg-type]
    assert scores.f_score == scores.precision == scores.recall == {0.02: 0.0, 0.05: 0.0}
    assert math.isnan(scores.accuracy_m)
    assert scores.predicted_samples == 0
    assert scores.to_dict()["accuracy_m"] is None


def test_dictionary_is_ready_for_json() -> None:
    written = evaluate_mesh(plane(z=0.01), plane(), samples=1000).to_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["f_score"] == {"0.02": 1.0, "0.05": 1.0}


def test_the_seed_decides() -> None:
    first, again, other = (evaluate_mesh(sphere(1.02), sphere(), samples=500, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first != other


def test_bad_input() -> None:
    with pytest.raises(InputError, match="the true mesh is empty"):
        evaluate_mesh(plane(), Mesh.empty())
    with pytest.raises(InputError, match="none of the 100 points of the true mesh is visible"):
        evaluate_mesh(plane(), plane(), samples=100, visible=lambda points: np.zeros(len(points), bool))
    with pytest.raises(InputError, match="1 triangles without area"):
        sample_surface(mesh_of(np.zeros((3, 3)), [[0, 1, 2]]), 10, 0)
    with pytest.raises(InputError, match="not finite"):
        evaluate_mesh(mesh_of(np.full((3, 3), np.nan), [[0, 1, 2]]), plane())


def test_samples_are_even_over_the_area() -> None:
    """Triangles of very different size get points by their area; colours and normals are theirs."""
    mesh = mesh_of([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 5], [0.1, 0, 5], [0, 0.1, 5]], [[0, 1, 2], [3, 4, 5]])
    mesh.colors[:] = [[0, 0, 0], [100, 0, 0], [0, 200, 0], [9, 9, 9], [9, 9, 9], [9, 9, 9]]
    samples = sample_surface(mesh, 50_000, 1)
    large = samples.triangles == 0
    assert np.mean(~large) == pytest.approx(1e-4, abs=2e-5)
    np.testing.assert_allclose(samples.points[large].mean(axis=0), (10 / 3, 10 / 3, 0), atol=0.05)
    assert np.mean(samples.points[large][:, 0] > 5) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(samples.normals, np.tile((0, 0, 1), (50_000, 1)), atol=1e-9)
    np.testing.assert_allclose(samples.colors[large][:, 0], samples.points[large][:, 0] * 10, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([0.01, 0.1, 2.0]))
def test_nearest_equals_reference_on_a_soup_of_triangles(seed: int, count: int, size: float) -> None:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 1, (count, 1, 3)) + generator.uniform(-size, size, (count, 3, 3))
    points = generator.uniform(-0.5, 1.5, (30, 3))
    fast, slow = TriangleTree(corners).nearest(points), nearest_reference(points, corners)
    np.testing.assert_allclose(fast.distance_m, slow.distance_m, atol=1e-12)
    found = np.einsum("nk,nkd->nd", fast.weights, corners[fast.triangle])
    np.testing.assert_allclose(np.linalg.norm(found - points, axis=1), slow.distance_m, atol=1e-12)
    assert (fast.weights >= -1e-12).all()


def test_nearest_on_a_large_mesh_equals_the_distance_to_the_sphere() -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (5000, 3))
    ball = sphere(steps=160)
    distance = Surface(ball).nearest(points).distance_m
    np.testing.assert_allclose(distance, np.abs(np.linalg.norm(points, axis=1) - 1), atol=2e-4)


def test_closest_point_of_one_triangle() -> None:
    """All seven regions: inside, three edges, three corners."""
    corners = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    points = np.array([[0.2, 0.2, 3], [0.5, -2, 0], [-2, 0.5, 0], [1, 1, 0], [-3, -4, 0], [4, -4, 0], [-4, 4, 0]])
    expected = [3, 2, 2, math.sqrt(0.5), 5, 5, 5]
    np.testing.assert_allclose(nearest_reference(points, corners).distance_m, expected)
    np.testing.assert_allclose(TriangleTree(corners).nearest(points).distance_m, expected)
