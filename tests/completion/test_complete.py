"""Completion of a box of a room: where to look, what may enter the map, and when to stop."""

from __future__ import annotations

import numpy as np
import pytest
from tsdf_scenes import CAMERA, box_depth, room_views, view_of

from showroom_ros.benchmarks.completion import changed_voxels, generated_surface
from showroom_ros.completion.completable import VolumeMap, map_of_views
from showroom_ros.completion.complete import Completion, complete
from showroom_ros.completion.holes import PartialView, partial_view_of_mesh
from showroom_ros.completion.merge import generated_part
from showroom_ros.completion.propose import (
    Proposal,
    ProposalSettings,
    Search,
    _judged,
    _near,
    clustered,
    placed,
    turned,
)
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings

HALF = np.array((1.2, 1.0, 0.8))
UP = np.array([0.0, 0.0, 1.0])
SETTINGS = MapSettings(voxel_size_m=0.04, truncation_m=0.16)
ALL = room_views(24)
SOME = [view for view in ALL if view.require_pose()[0, 2] > -0.3]
"""Nobody looked at the wall at -x."""


def scan(views: list) -> tuple[VolumeMap, np.ndarray]:
    return map_of_views(views, TsdfVolume(SETTINGS)), np.stack([view.require_pose() for view in views])


def truth(partial: PartialView) -> tuple[np.ndarray, np.ndarray]:
    """Knows the room."""
    depth = box_depth(partial.view.camera, partial.view.require_pose(), -HALF, HALF).astype(np.float32)
    return partial.view.image, np.where(partial.known, partial.view.require_depth(), depth)


def test_the_first_view_looks_at_what_is_missing() -> None:
    scene, poses = scan(SOME)
    search, mesh, found = Search(scene, poses, CAMERA, UP), scene.mesh(), []
    while (proposal := search.best(mesh)) is not None:
        found.append(proposal)
    assert found[0].T_world_camera[0, 2] < -0.3
    assert len(found) > 3
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def greedy(candidates: list, mesh: Mesh) -> Proposal | None:
    """The obvious choice: everything is judged every time. Takes what it names, and its like, from the candidates."""
    settings, coarse = ProposalSettings(), clustered(mesh, ProposalSettings().cell_m)
    judged = [_judged(coarse, CAMERA.scaled(80, 60), pose, settings) for pose in candidates]
    best = max((p for p in judged if p is not None), key=lambda p: p.score, default=None)
    if best is not None:
        candidates[:] = [pose for pose in candidates if not _near(pose, best.T_world_camera)]
    return best


def test_the_search_finds_what_judging_everything_finds() -> None:
    scene, poses = scan(SOME)
    settings = ProposalSettings()
    candidates = [*turned(poses, UP, settings), *placed(poses, UP, scene, settings)]
    search, volume = Search(scene, poses, CAMERA, UP), scene.volume
    for view in [None, *(view for view in ALL if view.require_pose()[0, 2] <= -0.3)][:4]:
        if view is not None:
            volume.integrate(view)
        mesh = scene.mesh()
        slow, fast = greedy(candidates, mesh), search.best(mesh)
        assert slow is not None
        assert fast is not None
        assert fast.score >= slow.score - 0.02  # a view that gained overlap may be seen later


def test_nothing_is_proposed_where_nothing_is_missing() -> None:
    views = []
    for direction in np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3), -1).reshape(-1, 3):
        if np.any(direction):
            pose = look_at((0, 0, 0), direction, up=(0.0, 0.1, 1.0))
            views.append(view_of(box_depth(CAMERA, pose, -HALF, HALF), pose))
    scene, poses = scan(views)
    assert Search(scene, poses, CAMERA, UP).best(scene.mesh()) is None


def test_a_clustered_mesh_is_the_same_surface_with_fewer_triangles() -> None:
    mesh = scan(SOME)[0].mesh()
    coarse = clustered(mesh, 0.16)
    assert 0 < len(coarse.triangles) < 0.2 * len(mesh.triangles)
    assert np.abs(np.abs(coarse.vertices) - HALF).min(1).max() < 0.08
    assert len(clustered(Mesh.empty(), 0.1).triangles) == 0


def test_candidates_turn_in_place_and_stand_upright_in_free_space() -> None:
    scene, poses = scan(SOME)
    settings = ProposalSettings(cameras=3, places=4)
    for pose in turned(poses, UP, settings):
        assert np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=1).min() < 1e-9
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
    found = placed(poses, UP, scene, settings)
    assert 8 <= len(found) <= 32
    assert scene.is_free(found[:, :3, 3]).all()
    np.testing.assert_allclose(found[:, 2, 1], -1.0, atol=1e-9)  # the image's down is the world's
    np.testing.assert_allclose(np.linalg.det(found[:, :3, :3]), 1.0, atol=1e-9)


def test_it_goes_on_until_nothing_is_missing_and_changes_nothing_that_was_seen() -> None:
    scene, poses = scan(SOME)
    before, heard = scene.volume.voxels(), []
    done = complete(scene, poses, CAMERA, truth, up=UP, max_views=40, progress=lambda now: heard.append(len(now.views)))
    assert done.holes_left == 0
    assert heard[0] == 0
    assert heard[-1] == len(done.views) < 40
    assert changed_voxels(before, scene.volume.voxels()) == 0
    generated = generated_surface(scene.volume.extract_mesh())
    used = generated.vertices[np.unique(generated.triangles)]
    assert np.quantile(np.abs(np.abs(used) - HALF).min(1), 0.95) < 0.03
    assert (used[:, 0] < -1.1).sum() > 500
    for view in done.views:
        assert view.provenance is not None
        assert set(view.provenance[np.isfinite(view.require_depth())]) == {Provenance.GENERATED}


def test_what_would_stand_in_free_space_is_left_out_and_counted() -> None:
    scene, poses = scan(SOME)

    def wrong(partial: PartialView) -> tuple[np.ndarray, np.ndarray]:
        depth = np.full(partial.known.shape, 0.4, np.float32)
        return partial.view.image, np.where(partial.known, partial.view.require_depth(), depth)

    done = complete(scene, poses, CAMERA, wrong, up=UP, max_views=6)
    assert done.blocking > 1000
    mesh = scene.volume.extract_mesh()
    generated = mesh.vertices[mesh.provenance == Provenance.GENERATED]
    assert scene.is_free(generated).mean() < 0.03  # surface of voxels reaches a little beyond the pixels


def test_measured_surface_seen_later_replaces_what_was_generated() -> None:
    scene, poses = scan(SOME)

    def too_far(partial: PartialView) -> tuple[np.ndarray, np.ndarray]:
        image, depth = truth(partial)
        return image, np.where(partial.known, depth, depth + np.float32(0.08))

    complete(scene, poses, CAMERA, too_far, up=UP, max_views=8)
    assert (scene.volume.extract_mesh().provenance == Provenance.GENERATED).any()
    for _ in range(2):
        for view in ALL:
            scene.put(view)
    mesh = scene.volume.extract_mesh()
    wall = mesh.vertices[
        (mesh.vertices[:, 0] < -1.0) & (np.abs(mesh.vertices[:, 1]) < 0.5) & (np.abs(mesh.vertices[:, 2]) < 0.3)
    ]
    assert len(wall) > 100
    np.testing.assert_allclose(wall[:, 0], -HALF[0], atol=0.02)


def test_who_stops_it_loses_nothing() -> None:
    scene, poses = scan(SOME)

    class EnoughError(Exception):
        pass

    def stop(now: Completion) -> None:
        if now.views:
            raise EnoughError

    with pytest.raises(EnoughError):
        complete(scene, poses, CAMERA, truth, up=UP, progress=stop)
    assert (scene.volume.extract_mesh().provenance == Provenance.GENERATED).any()


def test_bad_input() -> None:
    scene, poses = scan(SOME[:2])
    with pytest.raises(InputError, match="one camera or more"):
        complete(scene, poses[:0], CAMERA, truth, up=UP)
    partial = partial_view_of_mesh(scene.mesh(), CAMERA, poses[0])
    with pytest.raises(InputError, match="expected"):
        generated_part(partial, partial.view.image[:-1], partial.view.require_depth(), scene)
