"""Protocols A, B, C and D on small meshes whose scores are known by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from known_meshes import plane, room
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError
from showroom_ros.evaluation.point_scores import voxel_down_sample
from showroom_ros.evaluation.protocol import PROTOCOLS, SHOWROOM, ProtocolScores, mean_of, protocol_named
from showroom_ros.evaluation.protocol_mesh import judge_mesh
from showroom_ros.evaluation.refusion import Frame, fuse_again, render_depth
from showroom_ros.evaluation.surface import sample_surface
from showroom_ros.evaluation.visible_volume import OcclusionMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh

CAMERA = Camera(200, 200, 100.0, 100.0, 99.5, 99.5)
ABOVE = look_at((0.5, 0.5, 1.5), (0.5, 0.5, 0), up=(0, 1, 0))
TRUE_HEIGHT_M = 0.02
"""Between two layers of 4 cm voxels."""

TRUTH = plane(1.0, z=TRUE_HEIGHT_M, cells=50)
"""Vertices every 2 cm, so thinning keeps them all where they are."""

SAMPLES = 40_000


def shifted(mesh: Mesh, *by: float) -> Mesh:
    return replace(mesh, vertices=(mesh.vertices + np.array(by)).astype(np.float32))


def frames_over(mesh: Mesh, camera: Camera = CAMERA) -> list[Frame]:
    """One camera above, which sees all of the unit square, with the mesh's depth."""
    return [Frame(camera, ABOVE, render_depth(mesh, camera, ABOVE))]


def judged(name: str, predicted: Mesh | None, truth: Mesh = TRUTH, **options: object) -> ProtocolScores:
    frames = options.pop("frames", None) or frames_over(truth)
    options.setdefault("samples", SAMPLES)
    return judge_mesh(protocol_named(name), predicted, truth, frames, **options)  # type: ignore[arg-type]


def f_of(scores: ProtocolScores) -> float:
    return scores.f_score[0.05]


@pytest.mark.parametrize("name", ["A-NeuralRecon", "B", "C", "D"])
def test_the_true_mesh_scores_one(name: str) -> None:
    scores = judged(name, TRUTH)
    assert scores.precision[0.05] == 1
    assert scores.recall[0.05] == pytest.approx(1, abs=0.002)  # fusing again may lose the rim
    assert f_of(scores) == pytest.approx(1, abs=0.001)
    assert scores.accuracy_m < 0.009  # half the spacing of vertices
    assert scores.protocol == name


def test_two_layers_are_the_trap_of_protocol_a() -> None:
    """The true mesh itself: its second wall counts against it, though nothing is wrong with it."""
    scores = judged("A", TRUTH)
    assert 0.4 < scores.precision[0.05] < 0.5, "half, less what closes the rim between the walls"
    assert scores.recall[0.05] == pytest.approx(1, abs=0.002)
    assert 0.58 < f_of(scores) < 2 / 3
    frames = frames_over(TRUTH)
    both_walls = fuse_again(TRUTH, frames, walls="two walls")
    assert f_of(judged("A", TRUTH, both_walls, frames=frames)) == 1, "against the truth fused the same way"
    one_wall = fuse_again(TRUTH, frames, walls="one wall")
    heights = both_walls.vertices[:, 2]
    second = heights < TRUE_HEIGHT_M - 0.06
    middle = (np.abs(both_walls.vertices[:, :2] - 0.5) < 0.4).all(axis=1)
    assert np.abs(heights[middle & ~second] - TRUE_HEIGHT_M).max() < 0.003
    assert (second & middle).sum() == (~second & middle).sum(), "every place twice"
    # voxels more than 12 cm behind (z < -0.10) are not seen; the wall is between them and the last ones seen
    assert -0.12 <= heights[second & middle].min() <= heights[second & middle].max() <= -0.08
    assert (np.abs(one_wall.vertices[:, 2] - TRUE_HEIGHT_M) < 0.003).all()


@pytest.mark.parametrize("name", ["A-NeuralRecon", "B"])
def test_fused_again_by_hand(name: str) -> None:
    """A plane 3 cm above: its fused vertices stand over true ones; seen from these, four kinds of gap."""
    scores = judged(name, shifted(TRUTH, 0, 0, 0.03))
    assert scores.accuracy_m == pytest.approx(0.03, abs=5e-4)
    gaps = np.sqrt(0.03**2 + np.array([0, 0.02**2, 0.02**2, 2 * 0.02**2]))
    assert scores.completeness_m == pytest.approx(gaps.mean(), abs=2e-3)  # the rim is lost
    assert scores.precision[0.05] == 1
    assert judged(name, shifted(TRUTH, 0, 0, 0.06)).precision[0.05] == 0


def test_neuralrecon_does_not_fuse_beyond_5_m() -> None:
    far = [Frame(replace(CAMERA, fx=400.0, fy=400.0), look_at((0.5, 0.5, 5.5), (0.5, 0.5, 0), up=(0, 1, 0)))]
    assert "no frame sees" in judged("A-NeuralRecon", TRUTH, frames=far).note
    assert judged("B", TRUTH, frames=far).precision[0.05] == 1


def test_b_forgives_what_the_true_mesh_does_not_cover_and_a_does_not() -> None:
    """Beside the true square the prediction goes on: rendered depth there is dropped in B."""
    half = replace(TRUTH, triangles=TRUTH.triangles[TRUTH.vertices[TRUTH.triangles].mean(axis=1)[:, 0] < 0.5])
    truth = replace(half, vertices=np.minimum(half.vertices, (0.5, 1, 1)).astype(np.float32))
    assert judged("B", TRUTH, truth, frames=frames_over(TRUTH)).precision[0.05] == 1
    assert judged("A-NeuralRecon", TRUTH, truth, frames=frames_over(TRUTH)).precision[0.05] < 0.65


@pytest.mark.parametrize("name", ["C", "D"])
def test_samples_by_hand(name: str) -> None:
    dense = plane(1.0, z=TRUE_HEIGHT_M, cells=200)
    scores = judged(name, shifted(plane(1.0, cells=1), 0, 0, 0.05), dense)  # 3 cm above
    assert scores.accuracy_m == pytest.approx(0.03, abs=2e-4)
    assert scores.completeness_m == pytest.approx(0.03, abs=4e-4)
    assert f_of(scores) == 1


@pytest.mark.parametrize("name", ["A-NeuralRecon", "B", "C", "D"])
def test_a_point_at_exactly_the_threshold(name: str) -> None:
    """The threshold is put at the largest distance there is: only <= of C and D lets that point pass."""
    protocol, predicted, frames = protocol_named(name), shifted(TRUTH, 0, 0, 0.03), frames_over(TRUTH)
    if protocol.refusion:
        only_where = TRUTH if name == "B" else None
        points = voxel_down_sample(fuse_again(predicted, frames, only_where=only_where).vertices, 0.02)
    else:
        points = sample_surface(predicted, 500, 0).points
    largest_m = float(cKDTree(TRUTH.vertices.astype(np.float64)).query(points)[0].max())
    protocol = replace(protocol, threshold_m=largest_m)
    precision = judge_mesh(protocol, predicted, TRUTH, frames, samples=500).precision[largest_m]
    assert (precision == 1) == (name in ("C", "D"))
    assert precision > 0.5 or name in ("A-NeuralRecon", "B")


def test_c_clips_at_one_metre_and_d_does_not() -> None:
    far = shifted(TRUTH, 0, 0, -3.0)
    behind_nothing = [Frame(CAMERA, ABOVE, np.full((200, 200), 40.0, np.float32))]
    scores = judged("C", far, frames=behind_nothing)
    assert (scores.accuracy_m, scores.completeness_m) == (1.0, 1.0)
    assert (scores.precision[0.05], scores.recall[0.05], f_of(scores)) == (0, 0, 0)
    hovering = judged("D", shifted(TRUTH, 0, 0, 0.4))
    assert hovering.accuracy_m == pytest.approx(0.4, abs=5e-4)
    apart = judged(
        "D",
        Mesh.concatenate([TRUTH, shifted(TRUTH, 0, 0, 0.45)]),
        Mesh.concatenate([TRUTH, shifted(TRUTH, 0, 0, -9)]),
        frames=frames_over(TRUTH),
    )
    assert apart.completeness_m == pytest.approx((9 + 0.003) / 2, abs=0.01)


def half_occluded() -> OcclusionMask:
    """Voxels of 10 cm around the unit square; those from x = 0.5 on are occluded."""
    occluded = np.zeros((21, 21, 21), np.uint8)
    occluded[10:] = 1  # x of voxel i is 0.1 i - 0.5
    T_grid_world = np.diag([10.0, 10, 10, 1])
    T_grid_world[:3, 3] = (5, 5, 10)
    return OcclusionMask(occluded, T_grid_world)


def test_c_with_an_official_mask() -> None:
    """Right where it is seen, 30 cm off where it is occluded: only the seen part counts for accuracy."""
    left = TRUTH.vertices[TRUTH.triangles].mean(axis=1)[:, 0] < 0.5
    predicted = Mesh.concatenate(
        [
            replace(TRUTH, triangles=TRUTH.triangles[left]),
            shifted(replace(TRUTH, triangles=TRUTH.triangles[~left]), 0, 0, 0.3),
        ]
    )
    scores = judged("C", predicted, occlusion=half_occluded())
    assert scores.visibility == "official"
    assert scores.precision[0.05] == 1
    # voxel 9 (x = 0.4) is the last seen one: between it and the next the interpolated visibility is below 1
    assert scores.predicted_points == pytest.approx(0.4 * SAMPLES, abs=5)
    assert scores.recall[0.05] == pytest.approx(0.5, abs=0.06), "completeness looks at everything"


def test_c_keeps_all_points_when_all_are_occluded() -> None:
    mask = replace(half_occluded(), occluded=np.ones((21, 21, 21), bool))
    scores = judged("C", TRUTH, occlusion=mask)
    assert scores.predicted_points == SAMPLES
    assert "occluded" in scores.note
    assert f_of(scores) == 1


def test_c_counts_points_outside_of_the_grid_as_occluded() -> None:
    outside = shifted(TRUTH, 0, 5, 0)
    both = Mesh.concatenate([TRUTH, outside])
    scores = judged("C", both, occlusion=replace(half_occluded(), occluded=np.zeros((21, 21, 21), bool)))
    assert scores.precision[0.05] == 1
    assert scores.predicted_points == pytest.approx(SAMPLES / 2, abs=5)


def test_c_makes_its_mask_from_depth() -> None:
    """12 cm behind what was measured is occluded; what floats before it is judged."""
    for offset, seen in ((-0.30, False), (0.30, True)):
        both = Mesh.concatenate([TRUTH, shifted(TRUTH, 0, 0, offset)])
        scores = judged("C", both)
        assert scores.visibility == "from depth"
        # a part of the upper plane lies beside the cone of the view that sees the lower one
        assert scores.precision[0.05] == pytest.approx(0.5 if seen else 1, abs=0.1 if seen else 1e-9)


def test_d_sees_30_cm_behind_the_true_surface() -> None:
    for behind_m, seen in ((0.26, True), (0.34, False)):
        both = Mesh.concatenate([TRUTH, shifted(TRUTH, 0, 0, -behind_m)])
        scores = judged("D", both)
        assert scores.visibility == "from the true mesh"
        assert (scores.precision[0.05] < 0.7) == seen
        assert (scores.precision[0.05] == 1) != seen


@pytest.mark.parametrize("predicted", [None, Mesh.empty()], ids=["missing", "empty"])
def test_nothing_predicted(predicted: Mesh | None) -> None:
    by_c = judged("C", predicted)
    assert (by_c.accuracy_m, by_c.completeness_m, by_c.precision[0.05]) == (1, 1, 1)
    assert (by_c.recall[0.05], f_of(by_c)) == (0, 0)
    for name in ("A", "A-NeuralRecon", "B", "D"):
        scores = judged(name, predicted)
        assert (scores.precision[0.05], scores.recall[0.05], f_of(scores)) == (0, 0, 0)
        assert scores.to_dict()["accuracy_m"] is None
        assert "predicted" in scores.note


def test_a_room_seen_from_its_middle() -> None:
    """All protocols on a closed room and its copy 2 cm larger on every side."""
    truth = room(cells=100)
    camera = Camera(160, 120, 80.0, 80.0, 79.5, 59.5)
    targets = [(2 + np.cos(a), 1.5 + np.sin(a), z) for a in np.arange(8) * np.pi / 4 for z in (0.4, 1.25, 2.1)]
    poses = [look_at((2, 1.5, 1.25), target) for target in [*targets, (2.01, 1.5, 0), (2.01, 1.5, 2.5)]]
    frames = [Frame(camera, pose, render_depth(truth, camera, pose)) for pose in poses]
    larger = shifted(
        replace(truth, vertices=truth.vertices * (np.array([4.04, 3.04, 2.54]) / (4, 3, 2.5))), *[-0.02] * 3
    )
    for name in ("A-NeuralRecon", "B", "C", "D"):
        protocol = protocol_named(name)
        scores = judge_mesh(protocol, larger, truth, frames, samples=SAMPLES)
        assert scores.accuracy_m == pytest.approx(0.025, abs=0.005), name
        assert f_of(scores) > 0.97, name
    assert f_of(judge_mesh(protocol_named("A"), larger, truth, frames)) < 0.8
    again = judge_mesh(protocol_named("D"), larger, truth, frames, samples=SAMPLES)
    assert again == scores, "the same seed, the same scores"
    assert judge_mesh(protocol_named("D"), larger, truth, frames, samples=SAMPLES, seed=1) != scores


def test_every_protocol_says_what_it_is() -> None:
    assert list(PROTOCOLS) == ["A", "A-NeuralRecon", "B", "C", "D", "showroom"]
    for name, protocol in PROTOCOLS.items():
        text = json.loads(json.dumps(protocol.to_dict(), allow_nan=False))
        assert text["name"] == name
        assert text["citation"]
    assert [p.inclusive for p in PROTOCOLS.values()] == [False, False, False, True, True, True]


def test_means_skip_what_is_unknown() -> None:
    rows = [{"a": 1.0, "f": {"0.05": 0.5}, "name": "x"}, {"a": None, "f": {"0.05": 1.0}, "name": "y"}]
    assert mean_of(rows) == {"a": 1.0, "f": {"0.05": 0.75}}
    assert mean_of([{"a": None}]) == {"a": None}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"truth": Mesh.empty()}, "true mesh is empty"),
        ({"frames": []}, "needs the frames"),
        ({"frames": [Frame(CAMERA, ABOVE)]}, "a frame has none"),
        ({"protocol": SHOWROOM}, "not one of A"),
    ],
)
def test_bad_input(change: dict, expected: str) -> None:
    arguments = {"protocol": protocol_named("C"), "truth": TRUTH, "frames": frames_over(TRUTH), **change}
    with pytest.raises(InputError, match=expected):
        judge_mesh(arguments["protocol"], TRUTH, arguments["truth"], arguments["frames"])


def test_bad_masks_frames_and_names() -> None:
    with pytest.raises(InputError, match=r"expected a grid \(X, Y, Z\)"):
        OcclusionMask(np.zeros((3, 3)), np.eye(4))
    with pytest.raises(InputError, match="holds 0 to 255"):
        OcclusionMask(np.array([[[0, 255]]]), np.eye(4))
    with pytest.raises(InputError, match="world-to-grid"):
        OcclusionMask(np.zeros((2, 2, 2)), np.zeros((4, 4)))
    with pytest.raises(InputError, match="T_world_camera of a frame is not finite"):
        Frame(CAMERA, np.full((4, 4), np.nan))
    with pytest.raises(InputError, match=r"depth is \(3, 2\)"):
        Frame(CAMERA, ABOVE, np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match="protocol 'E' is unknown, expected one of A, A-NeuralRecon, B, C, D"):
        protocol_named("E")
