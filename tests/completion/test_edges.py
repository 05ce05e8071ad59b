"""New depth beside known depth."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.completion.edges import SEAM, aligned_to_rim, snapped_new_depth
from showroom_ros.errors import InputError

SHAPE = 96, 160


def slanted():
    """A wall that recedes to the right, by 2 % a pixel at the end: a plane is linear in inverse depth."""
    u = np.arange(SHAPE[1])
    return np.tile((1 / (1.0 - 0.005 * u)).astype(np.float32), (SHAPE[0], 1))


def left_half():
    known = np.zeros(SHAPE, bool)
    known[:, :90] = True
    return known


def test_right_depth_stays_even_on_a_slope():
    depth, known = slanted(), left_half()
    np.testing.assert_allclose(aligned_to_rim(depth, known), depth, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 0.97, 1.03, 1.3, 4.0])
def test_a_wrong_scale_is_corrected_in_all_of_the_hole(factor):
    truth, known = slanted(), left_half()
    depth = np.where(known, truth, truth * np.float32(factor)).astype(np.float32)
    aligned = aligned_to_rim(depth, known)
    np.testing.assert_array_equal(aligned[known], truth[known])
    np.testing.assert_allclose(aligned, truth, rtol=1e-4)


def test_each_hole_has_its_own_scale():
    truth, known = slanted(), np.ones(SHAPE, bool)
    known[20:40, 30:60] = False
    known[60:80, 90:120] = False
    depth = truth.copy()
    depth[20:40, 30:60] *= 1.5
    depth[60:80, 90:120] *= 0.7
    np.testing.assert_allclose(aligned_to_rim(depth, known), truth, rtol=0.01)


def test_background_beside_an_object_in_front_is_left_where_it_is():
    """A hole between a card and a wall: on one side it continues the wall, on the other the card's edge is real."""
    truth = np.full(SHAPE, 3.0, np.float32)
    truth[:, :60] = 1.2
    known = np.ones(SHAPE, bool)
    known[:, 60:75] = False
    np.testing.assert_allclose(aligned_to_rim(truth, known), truth, rtol=1e-6)


def test_a_seam_fades_with_the_distance_and_large_steps_stay():
    known = np.ones(SHAPE, bool)
    known[:, 60:140] = False
    depth = np.full(SHAPE, 2.0, np.float32)
    depth[48:, :60] = 2.06  # half of the left rim is off by 3 %, below what is taken for an edge
    aligned = aligned_to_rim(depth, known)
    row = aligned[90, 60:140]
    assert row[0] == pytest.approx(2.06, abs=0.012)
    assert (np.diff(row[2:60]) <= 1e-6).all()
    assert row[70] == pytest.approx(2.0, abs=0.002)
    depth[48:, :60] = 2.0 * np.exp(1.5 * SEAM)
    np.testing.assert_allclose(aligned_to_rim(depth, known)[90, 60:140], 2.0, rtol=1e-3)


def test_new_slopes_at_edges_are_snapped_and_known_ones_are_not():
    depth = np.full(SHAPE, 3.0, np.float32)
    depth[:, :60] = 1.0
    depth[:, 60:64] = [1.4, 1.8, 2.2, 2.6]
    known = np.zeros(SHAPE, bool)
    known[:48] = True
    snapped = snapped_new_depth(depth, known)
    np.testing.assert_array_equal(snapped[known], depth[known])
    np.testing.assert_array_equal(np.unique(snapped[56:]), np.array([1.0, 3.0], np.float32))


def test_noise_everywhere_and_nothing_new_stay():
    noise = np.random.default_rng(0).uniform(1, 2, SHAPE).astype(np.float32)
    np.testing.assert_array_equal(snapped_new_depth(noise, np.zeros(SHAPE, bool)), noise)
    for mask in (np.ones(SHAPE, bool), np.zeros(SHAPE, bool)):
        np.testing.assert_array_equal(aligned_to_rim(noise, mask), noise)


@pytest.mark.parametrize("call", [aligned_to_rim, snapped_new_depth])
@pytest.mark.parametrize(
    ("depth", "known", "words"),
    [
        (np.ones((4, 5)), np.ones((4, 5), bool), "float64 (4, 5)"),
        (np.ones((4, 5), np.float32), np.ones((5, 4), bool), "the mask bool (5, 4)"),
        (np.zeros((4, 5), np.float32), np.ones((4, 5), bool), "20 of 20 pixels"),
        (np.full((4, 5), np.nan, np.float32), np.ones((4, 5), bool), "20 of 20 pixels"),
    ],
)
def test_bad_input(call, depth, known, words):
    with pytest.raises(InputError) as raised:
        call(depth, known)
    assert words in str(raised.value)
