"""Gaussians: their file, the first ones of points, and how they are drawn and fitted."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from stereo_room import picture, sideways, true_depth

from showroom_ros.completion.splats import (
    SH_DC,
    Gaussians,
    gaussians_of_points,
    load_gaussians,
    render,
    render_reference,
    save_gaussians,
)
from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.evaluation.image import psnr_db, structural_similarity
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, transform_points
from showroom_ros.scene.view import View

torch = pytest.importorskip("torch")
from showroom_ros.completion import splats_torch  # noqa: E402

CAMERA = Camera(96, 72, 96.0, 96.0, 47.5, 35.5)
SMALL = Camera(14, 11, 12.0, 13.0, 6.3, 5.1)


def random_gaussians(seed: int, count: int = 40, harmonics: int = 1) -> Gaussians:
    generator = np.random.default_rng(seed)
    values = {
        "means": generator.uniform([-1, -1, -0.5], [1, 1, 3], (count, 3)),
        "log_scales": generator.uniform(-4, -1, (count, 3)),
        "rotations": generator.normal(0, 2, (count, 4)),
        "opacity_logits": generator.normal(1, 3, count),
        "harmonics": generator.normal(0, 1, (count, harmonics, 3)),
    }
    provenance = generator.integers(0, 4, count).astype(np.uint8)
    return Gaussians(**{name: value.astype(np.float32) for name, value in values.items()}, provenance=provenance)


def room_view(pose: np.ndarray) -> View:
    """A noisy pattern on walls and a ball, with its depth."""
    return replace(picture(pose, CAMERA), depth=true_depth(CAMERA, pose))


def points_of(view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = transform_points(view.require_pose(), view.camera.back_project(view.require_depth())).reshape(-1, 3)
    return points, view.image.reshape(-1, 3), np.full(len(points), 2, np.uint8)


@pytest.mark.parametrize("harmonics", [1, 4, 16])
@pytest.mark.parametrize("with_provenance", [True, False])
def test_file_round_trip(tmp_path, harmonics, with_provenance):
    written = random_gaussians(3, harmonics=harmonics)
    save_gaussians(tmp_path / "s.ply", written, with_provenance=with_provenance)
    read = load_gaussians(tmp_path / "s.ply")
    for name in ("means", "log_scales", "rotations", "opacity_logits", "harmonics"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    np.testing.assert_array_equal(read.provenance, written.provenance if with_provenance else 0)


def test_file_has_the_layout_viewers_read(tmp_path):
    written = random_gaussians(3, harmonics=16)
    save_gaussians(tmp_path / "s.ply", written, with_provenance=False)
    header, body = (tmp_path / "s.ply").read_bytes().split(b"end_header\n", 1)
    names = [line.split()[2].decode() for line in header.splitlines() if line.startswith(b"property float")]
    expected = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{n}" for n in range(3)), *(f"f_rest_{n}" for n in range(45))]
    assert names == [*expected, "opacity", *(f"scale_{n}" for n in range(3)), *(f"rot_{n}" for n in range(4))]
    rows = np.frombuffer(body, "<f4").reshape(len(written), 62)
    np.testing.assert_array_equal(rows[:, 9:24], written.harmonics[:, 1:, 0])  # all of red first
    np.testing.assert_array_equal(rows[:, 58:], written.rotations)


def test_first_gaussians_have_the_color_and_spacing_of_the_points():
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(5), [0.0]), axis=-1).reshape(-1, 3) * 0.1
    colors = np.random.default_rng(0).integers(0, 256, grid.shape).astype(np.uint8)
    gaussians = gaussians_of_points(grid, colors, np.full(len(grid), 3), scale=1.0)
    inner = (grid[:, :2] > 0.05).all(1) & (grid[:, 0] < 0.45) & (grid[:, 1] < 0.35)
    np.testing.assert_allclose(np.exp(gaussians.log_scales[inner]), 0.1, rtol=1e-5)
    np.testing.assert_allclose(gaussians.colors * 255, colors, atol=1e-4)
    np.testing.assert_allclose(0.5 + SH_DC * gaussians.harmonics[:, 0], gaussians.colors, atol=1e-6)
    assert (gaussians.opacities > 0.9).all()
    assert (gaussians.provenance == 3).all()
    same = gaussians_of_points(np.zeros((5, 3)), colors[:5], np.zeros(5))
    assert np.isfinite(same.log_scales).all()


@pytest.mark.parametrize("seed", range(4))
def test_drawing_equals_reference(seed):
    gaussians = random_gaussians(seed)
    pose = pose_from([0.1, -0.1, -0.4], np.array([0.98, 0.1, -0.15, 0.05]) / np.linalg.norm([0.98, 0.1, -0.15, 0.05]))
    drawn = splats_torch.drawn(splats_torch.parameters_of(gaussians), SMALL, pose)
    expected = render_reference(gaussians, SMALL, pose)
    np.testing.assert_allclose(drawn.numpy(), expected, atol=2e-4)
    assert expected.max() > 0.3


def test_gradients_are_those_of_differences():
    gaussians = random_gaussians(1, 8)
    gaussians = replace(gaussians, means=np.abs(gaussians.means) * np.float32(0.2) + np.float32([0, 0, 1]))
    parameters = splats_torch.parameters_of(gaussians)
    weights = torch.linspace(-1, 1, SMALL.width * SMALL.height * 3).view(SMALL.height, SMALL.width, 3)
    lists = splats_torch.pixel_lists(parameters, SMALL, np.eye(4))

    def value(**changed):
        return (weights * splats_torch.drawn(parameters._replace(**changed), SMALL, np.eye(4), lists)).sum()

    for name in ("log_scales", "opacity_logits", "harmonics"):
        start = getattr(parameters, name).clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(**{name: start}), start)
        direction = torch.sign(gradient) * (gradient.abs() > 1e-3)
        step = 1e-3 * direction
        with torch.no_grad():
            slope = (value(**{name: start + step}) - value(**{name: start - step})) / 2e-3
        assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=0.02)


def test_splats_show_the_view_they_were_made_of():
    view = room_view(sideways(1)[0])
    first = gaussians_of_points(*points_of(view))
    fitted = splats_torch.optimised(first, [view], 12, backend="torch")
    before, after = (
        psnr_db(render(g, CAMERA, view.require_pose(), backend="torch"), view.image) for g in (first, fitted)
    )
    assert before > 22
    assert after > 30
    np.testing.assert_array_equal(fitted.means, first.means)
    np.testing.assert_array_equal(fitted.provenance, first.provenance)


def test_splats_of_two_views_show_a_third_between_them():
    poses = sideways(3)
    views = [room_view(pose) for pose in poses]
    points = [np.concatenate(parts) for parts in zip(points_of(views[0]), points_of(views[2]), strict=True)]
    losses = []
    fitted = splats_torch.optimised(
        gaussians_of_points(*points), [views[0], views[2]], 24, backend="torch",
        progress=lambda step, total, loss: losses.append((step, total, loss)),
    )  # fmt: skip
    assert [entry[:2] for entry in losses] == [(n, 24) for n in range(1, 25)]
    assert losses[-1][2] < 0.6 * losses[0][2]
    assert psnr_db(render(fitted, CAMERA, poses[1], backend="torch"), views[1].image) > 22


def test_similarity_is_that_of_the_paper():
    first, second = (room_view(pose).image for pose in sideways(2))
    tensors = [torch.tensor(image).double() / 255 for image in (first, second)]
    ours = float(splats_torch.structural_similarity(*tensors))
    assert ours == pytest.approx(structural_similarity(first, second), abs=1e-3)
    assert float(splats_torch.image_loss(tensors[0], tensors[0])) == pytest.approx(0, abs=1e-9)


def test_gsplat_gets_what_it_expects(monkeypatch):
    """Its pixel centres are at one half, its matrices map world to camera, scales and opacities are the real ones."""
    calls = []

    def rasterization(*arguments, **options):
        calls.append((arguments, options))
        return torch.zeros(1, SMALL.height, SMALL.width, 3), None, {}

    module = ModuleType("gsplat")
    module.rasterization = rasterization
    monkeypatch.setitem(sys.modules, "gsplat", module)
    gaussians, pose = random_gaussians(0, 5, harmonics=4), pose_from([0.3, 0, 0])
    image = splats_torch.drawn_by_gsplat(splats_torch.parameters_of(gaussians), SMALL, pose)
    assert image.shape == (SMALL.height, SMALL.width, 3)
    (_, quats, scales, opacities, _, viewmats, Ks, width, height), options = calls[0]
    np.testing.assert_allclose(Ks[0, :2, 2], [6.8, 5.6], rtol=1e-6)
    np.testing.assert_allclose(viewmats[0] @ torch.tensor([0.3, 0, 0, 1]), [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(quats, gaussians.rotations)
    np.testing.assert_allclose(scales, np.exp(gaussians.log_scales), rtol=1e-6)
    np.testing.assert_allclose(opacities, gaussians.opacities, rtol=1e-6)
    assert (width, height, options["sh_degree"]) == (14, 11, 1)


def test_gsplat_without_gsplat_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(MissingDependencyError, match="pip install gsplat"):
        render(random_gaussians(0), SMALL, np.eye(4), backend="gsplat")


SPLATS = random_gaussians(0, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: replace(SPLATS, means=SPLATS.means[:, :2]), "means are float32 (6, 2)"),
        (lambda: replace(SPLATS, harmonics=np.zeros((6, 2, 3), np.float32)), "harmonics are (6, 2, 3)"),
        (lambda: replace(SPLATS, opacity_logits=np.full(6, np.nan, np.float32)), "of 6 entries are not finite"),
        (lambda: replace(SPLATS, provenance=np.zeros(6)), "provenance is float64"),
        (lambda: gaussians_of_points(np.zeros((3, 3)), np.zeros((3, 3), np.uint8), np.zeros(3)), "N at least 4"),
        (lambda: gaussians_of_points(np.zeros((5, 3)), np.zeros((5, 3)), np.zeros(5)), "expected uint8"),
        (lambda: render(SPLATS, SMALL, np.eye(4), backend="opengl"), "'opengl' is unknown"),
        (lambda: render(random_gaussians(0, 5, 4), SMALL, np.eye(4), backend="torch"), "4 harmonics"),
        (lambda: splats_torch.optimised(SPLATS, [], 3), "0 views"),
        (lambda: load_gaussians("/nowhere.ply"), "no such file"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError) as raised:
        call()
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"mesh" + data[3:40], "no binary little-endian PLY"),
        (lambda data: data[:-9], "is cut short"),
        (lambda data: data.replace(b"property float opacity", b"property float opaqueX"), "no opacity"),
        (lambda data: data.replace(b"property float nx\n", b"property list uchar int nx\n"), "one element 'vertex'"),
    ],
)
def test_damaged_files(tmp_path, damage, words):
    path = tmp_path / "s.ply"
    save_gaussians(path, SPLATS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as raised:
        load_gaussians(path)
    assert words in str(raised.value)
