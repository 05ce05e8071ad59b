"""Runs COLMAP (Schoenberger and Frahm, CVPR 2016) by pycolmap; the program of a process of its own.

``python -m showroom_ros.reconstruction.pycolmap_process JOB.json``. It must not import OpenCV: pycolmap aborts the
process where both are loaded in the wrong order. Pixel (0, 0) is the corner of the first pixel here, as in COLMAP.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULT = "result.npz"


def main(argv: list[str]) -> None:
    """Reads the job, writes ``result.npz`` beside it.

    The job has ``images`` (names below the folder ``images``; photos of one folder share a camera), ``folders``
    (name -> fx, fy, cx, cy, or None where unknown) and ``seed``. The result has ``poses`` [N, 4, 4]
    (``T_world_camera``, NaN), ``intrinsics`` [N, 4] (fx, fy, cx, cy, NaN), ``points`` [P, 3], ``error_px``.
    """
    import pycolmap

    job_file = Path(argv[0])
    folder, job = job_file.parent, json.loads(job_file.read_text(encoding="utf-8"))
    database, images = folder / "database.db", folder / "images"
    known = any(job["folders"].values())
    pycolmap.set_random_seed(job["seed"])
    reading = pycolmap.ImageReaderOptions()
    reading.camera_model = "PINHOLE" if known else "SIMPLE_PINHOLE"
    pycolmap.extract_features(
        database, images, job["images"], camera_mode=pycolmap.CameraMode.PER_FOLDER, reader_options=reading
    )
    if known:
        _fix_cameras(pycolmap, database, job["folders"])
    pycolmap.match_exhaustive(database)
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = job["seed"]
    options.min_model_size = min(3, len(job["images"]))
    options.extract_colors = False
    options.triangulation.ignore_two_view_tracks = False
    options.ba_refine_focal_length = not known
    options.mapper.abs_pose_refine_focal_length = not known
    (folder / "models").mkdir()
    models = pycolmap.incremental_mapping(database, images, folder / "models", options)
    np.savez(folder / RESULT, **_best(models, job["images"]))


def _fix_cameras(pycolmap: Any, database: Path, folders: dict[str, list[float]]) -> None:
    """Writes the known intrinsics over the guessed ones."""
    with pycolmap.Database.open(database) as stored:
        for image in stored.read_all_images():
            camera = stored.read_camera(image.camera_id)
            camera.params = folders[image.name.split("/")[0]]
            camera.has_prior_focal_length = True
            stored.update_camera(camera)


def _best(models: dict[int, Any], names: list[str]) -> dict[str, Any]:
    """The model of most images."""
    poses, intrinsics = np.full((len(names), 4, 4), np.nan), np.full((len(names), 4), np.nan)
    if not models:
        return {"poses": poses, "intrinsics": intrinsics, "points": np.zeros((0, 3)), "error_px": np.nan}
    model = max(models.values(), key=lambda one: one.num_reg_images())
    for image in model.images.values():
        if not image.has_pose:
            continue
        number, camera = names.index(image.name), model.cameras[image.camera_id]
        pose = np.eye(4)
        pose[:3] = image.cam_from_world().inverse().matrix()
        poses[number] = pose
        intrinsics[number] = (
            camera.focal_length_x, camera.focal_length_y, camera.principal_point_x, camera.principal_point_y,
        )  # fmt: skip
    points = np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)
    error_px = model.compute_mean_reprojection_error() if len(points) else np.nan
    return {"poses": poses, "intrinsics": intrinsics, "points": points, "error_px": error_px}


if __name__ == "__main__":
    main(sys.argv[1:])
