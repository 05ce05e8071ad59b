"""``showroom reconstruct BAG|FOLDER|PHOTO...``: the map of a recording or of photos, offline and deterministic."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showroom_ros.cli.common import add_settings_arguments, progress_bar, settings_from
from showroom_ros.cli.method import add_method_arguments, method_report
from showroom_ros.cli.reconstruct_photos import photo_paths, run_photos
from showroom_ros.errors import InputError

if TYPE_CHECKING:
    from showroom_ros.reconstruction.offline import OfflineResult
    from showroom_ros.scene.view import Sequence
    from showroom_ros.settings import Settings

_MOST_POSES = 150
"""Of the cameras, that free space is told from."""
_HOLD_BACK_EVERY = 25
"""Every so many frames, one is held back to check the colours with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom reconstruct``."""
    parser.add_argument(
        "source", nargs="+", help="bag, data set folder or synthetic:SEED; or photos without poses, or a folder of them"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/reconstruct"), help="folder for the results")
    parser.add_argument(
        "--keyframes-only",
        action="store_true",
        help="fuse what the node would select; so do methods that predict",
    )
    parser.add_argument(
        "--peer", choices=("open3d", "none"), default="open3d", help="score against its mesh if no truth"
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="also fill in what no camera saw: completed.ply, by the settings of group completion",
    )
    parser.add_argument("--json", type=Path, help="also write the report here")
    parser.add_argument(
        "--mesher",
        choices=("poisson", "tsdf"),
        default="poisson",
        help="how photos become a mesh (needs open3d; fused)",
    )
    add_method_arguments(parser)
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Reconstructs, writes everything, prints the headline."""
    from showroom_ros.cli.scoring import write_map_report
    from showroom_ros.datasets.open import open_sequence
    from showroom_ros.evaluation.report import write_json
    from showroom_ros.reconstruction.offline import reconstruct
    from showroom_ros.reconstruction.outputs import make_parent

    settings = settings_from(arguments)
    photos = photo_paths(arguments.source)
    if photos is not None:
        if arguments.complete:
            raise InputError("--complete is for recordings; photos: showroom extend")
        run_photos(arguments, settings, photos)
        return
    how = method_report(settings)
    make_parent(arguments.out / "mesh.ply")  # before the work, not after
    sequence = open_sequence(arguments.source[0])
    result = reconstruct(
        sequence,
        settings,
        keyframes_only=arguments.keyframes_only or None,
        skip=is_held_back,
        progress=progress_bar("fusing"),
    )
    write_results(result, settings, arguments.out)
    report = measured(result, sequence, settings, arguments.peer)
    report |= {"source": arguments.source[0], **how}
    if arguments.complete:
        report |= write_completed(result, sequence, settings, arguments.out)
    report = write_map_report(report, result.mesh, sequence, settings, arguments.out, f"{sequence.name}: reconstructed")
    if arguments.json:
        write_json(arguments.json, report)
    headline = ("frames_fused", "frames_rejected", "triangles", "reference", "f_score", "color_reprojection")
    for name in ("method", *headline, *(["note"] if result.note else [])):
        print(f"{name:20} {report.get(name)}")
    print(f"written to {arguments.out}")


def is_held_back(index: int) -> bool:
    """Whether a frame is kept from fusion, to judge the mesh's colours by."""
    return index % _HOLD_BACK_EVERY == _HOLD_BACK_EVERY // 2


def write_results(result: OfflineResult, settings: Settings, out: Path) -> None:
    """Writes ``mesh.ply``, ``cloud.ply``, ``map.showroom``, ``trajectory.txt`` (TUM format) and ``settings.yaml``."""
    import yaml

    from showroom_ros.evaluation.report import write_bytes
    from showroom_ros.scene.mesh import Mesh
    from showroom_ros.scene.mesh_files import save_mesh
    from showroom_ros.scene.pose_files import tum_text
    from showroom_ros.settings import to_dict

    mesh = result.mesh
    save_mesh(out / "mesh.ply", mesh)
    save_mesh(out / "cloud.ply", Mesh(mesh.vertices, mesh.triangles[:0], mesh.colors, mesh.normals, mesh.provenance))
    result.reconstructor.save_map(out / "map.showroom")
    write_bytes(out / "trajectory.txt", tum_text(result.poses).encode())
    write_bytes(out / "settings.yaml", yaml.safe_dump(to_dict(settings), sort_keys=True).encode())


def write_completed(result: OfflineResult, sequence: Sequence, settings: Settings, out: Path) -> dict[str, Any]:
    """Fills in what no camera saw and writes ``completed.ply``; returns what came of it.

    Which way is up is told from the cameras and the floor, so that recordings of any world frame can be completed.
    """
    import numpy as np

    from showroom_ros.completion.completable import map_seen_from
    from showroom_ros.completion.complete import complete, filled_by
    from showroom_ros.completion.depth import make_depth_completer
    from showroom_ros.completion.inpaint import make_inpainter
    from showroom_ros.completion.propose import ProposalSettings
    from showroom_ros.evaluation.pictures import room_axes, up_direction
    from showroom_ros.scene.mesh_files import save_mesh

    chosen = settings.completion
    camera = sequence[result.used[0]].camera.without_distortion().of_width(chosen.image_width)
    poses = np.stack([pose for _, pose in result.poses][:: max(1, len(result.poses) // _MOST_POSES)])
    bar = progress_bar("completing")
    done = complete(
        map_seen_from(result.reconstructor.volume, camera, poses),
        poses,
        camera,
        filled_by(
            make_inpainter(chosen.inpainter, device=chosen.device, model_file=chosen.inpainter_file),
            make_depth_completer(chosen.depth_completer, device=chosen.device, model_file=chosen.depth_completer_file),
            prompt=chosen.prompt,
            seed=chosen.seed,
        ),
        up=room_axes(result.mesh, up_direction(list(poses)))[2],
        max_views=chosen.max_views,
        settings=ProposalSettings(min_holes=chosen.min_holes, min_overlap=chosen.min_overlap),
        progress=lambda now: bar(len(now.views), chosen.max_views),
    )
    save_mesh(out / "completed.ply", result.reconstructor.volume.extract_mesh())
    return {
        "views_generated": len(done.views),
        "views_rejected": done.rejected,
        "holes_left": done.holes_left,
        "pixels_generated": sum(count.generated for count in done.counts),
        "pixels_blocking": done.blocking,
    }


def measured(result: OfflineResult, sequence: Sequence, settings: Settings, peer: str) -> dict[str, Any]:
    """Counts, geometry, and colours in held-back frames."""
    from showroom_ros.cli.scoring import color_scores, some_views

    report: dict[str, Any] = {
        "frames_fused": len(result.used),
        "frames_without_depth": len(result.without_depth),
        "frames_rejected": len(result.rejected),
        "rejected": {str(index): reason for index, reason in list(result.rejected.items())[:20]},
        "note": result.note,
        "triangles": len(result.mesh.triangles),
        "map_bytes": result.reconstructor.volume.memory_bytes,
    }
    held_back = [index for index in range(len(sequence)) if is_held_back(index)]
    views = some_views(sequence, indices=held_back)
    colors = color_scores(result.mesh, views) if views else {}
    return {**report, **_geometry(result, sequence, settings, peer), **colors}


def _geometry(result: OfflineResult, sequence: Sequence, settings: Settings, peer: str) -> dict[str, Any]:
    """Scores against the true mesh, or else against a peer's mesh of the sensor's depth in the same frames."""
    from showroom_ros.cli.scoring import geometry_scores
    from showroom_ros.evaluation.mesh import evaluate_mesh

    scores = geometry_scores(result.mesh, sequence, settings)
    if scores:
        return {"reference": "true mesh", **scores}
    with_depth = [index for index in result.used if sequence[index].depth is not None]
    if peer == "none" or not with_depth:
        return {}
    from showroom_ros.benchmarks.open3d_peer import fuse_with_open3d

    reference = fuse_with_open3d((sequence[index] for index in with_depth), settings.map)
    return {"reference": "Open3D VoxelBlockGrid", **evaluate_mesh(result.mesh, reference).to_dict()}
