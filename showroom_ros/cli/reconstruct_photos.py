"""``showroom reconstruct PHOTO...``: a room of photos without poses."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from showroom_ros.cli.common import progress_bar
from showroom_ros.errors import DatasetError, ShowroomError

if TYPE_CHECKING:
    from showroom_ros.reconstruction.multi_view import MultiViewResult
    from showroom_ros.reconstruction.photos import Photo
    from showroom_ros.scene.mesh import Mesh
    from showroom_ros.settings import Settings


def photo_paths(sources: Sequence[str]) -> list[Path] | None:
    """The photos that ``sources`` name: image files, or one folder of images; None where they are something else.

    Raises:
        DatasetError: several sources that are not all files.
    """
    from showroom_ros.datasets.image_files import IMAGE_SUFFIXES
    from showroom_ros.datasets.open import dataset_of
    from showroom_ros.datasets.photo_files import HEIC_SUFFIXES
    from showroom_ros.datasets.photos import Photos

    suffixes = (*IMAGE_SUFFIXES, *HEIC_SUFFIXES)
    paths = [Path(source) for source in sources]
    if all(path.suffix.lower() in suffixes for path in paths):
        return paths
    if len(paths) > 1:
        wrong = next(path for path in paths if path.suffix.lower() not in suffixes)
        raise DatasetError(f"{wrong}: several sources, expected photos ({', '.join(suffixes)}) or one recording")
    if not paths[0].is_dir():
        return None
    heic = sorted(path for path in paths[0].iterdir() if path.suffix.lower() in HEIC_SUFFIXES)
    try:
        is_photos = dataset_of(paths[0]).name == "photos"
    except DatasetError:
        return heic or None
    if not is_photos:
        return None
    photos = Photos(paths[0])
    return [*(photos.file(index) for index in range(len(photos))), *heic]


def run_photos(arguments: argparse.Namespace, settings: Settings, paths: list[Path]) -> None:
    """Reconstructs photos, writes everything below ``--out``, prints the headline."""
    from showroom_ros.evaluation.report import write_json, write_report
    from showroom_ros.reconstruction.outputs import make_parent
    from showroom_ros.settings import to_dict

    make_parent(arguments.out / "mesh.ply")  # before the work, not after
    photos, rejected = read_photos(paths)
    method, result = placed(photos, settings)
    mesh, note = meshed(result, settings, arguments.mesher)
    write_photo_results(result, mesh, arguments.out)
    report: dict[str, Any] = {
        "method": method,
        "photos": len(paths),
        "photos_placed": len(result.views),
        "photos_rejected": rejected,
        "groups": [[result.names[number] for number in group] for group in result.groups],
        "scale": result.scale,
        "drift": result.drift,
        "triangles": len(mesh.triangles),
        "notes": [*result.notes, *([note] if note else [])],
        "settings": to_dict(settings),
        "data": str(paths[0].parent),
    }
    report = write_report(arguments.out, report, _pictures(mesh, result), title=f"{paths[0].parent.name}: photos")
    if arguments.json:
        write_json(arguments.json, report)
    for name in ("method", "photos", "photos_placed", "scale", "triangles"):
        print(f"{name:20} {report[name]}")
    for line in report["notes"]:
        print(f"{'note':20} {line}")
    print(f"written to {arguments.out}; look at it: showroom view {arguments.out}")


def placed(photos: list[Photo], settings: Settings) -> tuple[str, MultiViewResult]:
    """Cameras and depth of photos, and how they were found.

    ``multi_view`` asks the pointmap network. ``plane_sweep``, and no method at all, go by features and sweep planes;
    where features tie too few photos together and no method was named, the network is asked instead.
    """
    from showroom_ros.errors import InputError, SettingsError
    from showroom_ros.reconstruction.multi_view import reconstruct_photos

    method = settings.reconstruction.method
    if method == "ioar":
        raise SettingsError("method ioar needs poses, expected plane_sweep or multi_view for photos")
    note = ""
    if method != "multi_view" and (method == "plane_sweep" or len(photos) > 1):
        from showroom_ros.reconstruction.plane_sweep import make_plane_sweep
        from showroom_ros.reconstruction.swept_photos import sweep_photos

        try:
            return "plane_sweep", sweep_photos(photos, make_plane_sweep(settings))
        except InputError as error:
            if method == "plane_sweep":
                raise
            note = f"{error}: asked the network of pointmaps"
    from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network

    network = load_pointmap_network(settings.reconstruction.model_file, settings.reconstruction.device)
    result = reconstruct_photos(photos, network, progress=progress_bar("looking at photos", "window"))
    result.notes += [note] if note else []
    return f"multi_view with {network.name}", result


def read_photos(paths: Sequence[Path]) -> tuple[list[Photo], dict[str, str]]:
    """Photos, and why some could not be read.

    Raises:
        DatasetError: none could.
    """
    from showroom_ros.datasets.photo_files import read_photo
    from showroom_ros.reconstruction.photos import Photo

    photos, rejected = [], {}
    for number, path in enumerate(paths):
        try:
            image, camera = read_photo(path)
        except ShowroomError as error:
            rejected[path.name] = str(error)
            continue
        photos.append(Photo(image, camera, name=path.name, stamp_ns=(number + 1) * 10**9))
    if not photos:
        raise DatasetError(f"none of the {len(paths)} photos can be read: {next(iter(rejected.values()), 'no paths')}")
    return photos, rejected


def meshed(result: MultiViewResult, settings: Settings, mesher: str) -> tuple[Mesh, str]:
    """The mesh of the placed photos: ``poisson``, or ``tsdf`` fusion; and what to say if there is none."""
    from showroom_ros.errors import InputError, MissingDependencyError
    from showroom_ros.scene.mesh import Mesh
    from showroom_ros.scene.volume import make_volume

    note = ""
    if mesher == "poisson":
        from showroom_ros.scene.poisson import oriented_points, poisson_mesh

        try:
            return poisson_mesh(oriented_points(result.views), voxel_size_m=settings.map.voxel_size_m), ""
        except MissingDependencyError as error:
            note = f"{error}; fused instead"
        except InputError as error:
            return Mesh.empty(), f"no mesh: {error}"
    volume = make_volume(settings.map, settings.reconstruction.device)
    for view in result.views:
        volume.integrate(view)
    return volume.extract_mesh(), note


def write_photo_results(result: MultiViewResult, mesh: Mesh, out: Path) -> None:
    """Writes ``mesh.ply``, ``cloud.ply``, ``trajectory.txt`` (TUM) and ``colmap/`` (cameras and images as text)."""
    from showroom_ros.evaluation.report import write_bytes
    from showroom_ros.scene.mesh import Mesh
    from showroom_ros.scene.mesh_files import save_mesh
    from showroom_ros.scene.poisson import oriented_points
    from showroom_ros.scene.pose_files import colmap_text, tum_text
    from showroom_ros.scene.view import Provenance

    save_mesh(out / "mesh.ply", mesh)
    points = oriented_points(result.views)
    kind = np.full(len(points), Provenance.PREDICTED, np.uint8)
    save_mesh(out / "cloud.ply", Mesh(points.points, np.zeros((0, 3), np.int32), points.colors, points.normals, kind))
    poses = [(view.stamp_ns, view.require_pose()) for view in result.views]
    write_bytes(out / "trajectory.txt", tum_text(poses).encode())
    names = [result.names[number] for number in result.numbers]
    for name, text in colmap_text(names, result.photo_cameras, [pose for _, pose in poses]).items():
        write_bytes(out / "colmap" / name, text.encode())


def _pictures(mesh: Mesh, result: MultiViewResult) -> list[Any]:
    from showroom_ros.cli.scoring import map_pictures

    return map_pictures(mesh, result.views[:4], None)
