"""Where the results to be judged lie, and what belongs to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from showroom_ros.datasets.catalog import DATASETS, dataset_named
from showroom_ros.datasets.dataset import Dataset, no_scenes
from showroom_ros.datasets.files import read_stamped_table
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.evaluation.trajectory import Trajectory
from showroom_ros.evaluation.visible_volume import OcclusionMask
from showroom_ros.geometry.se3 import pose_from, quat_wxyz_from_xyzw
from showroom_ros.scene.mesh_files import SUFFIXES


@dataclass(frozen=True)
class Job:
    """One scene to be judged.

    Attributes:
        scene: its name in the table.
        sequence: what ``open_sequence`` opens.
        mesh_file: the predicted mesh; None = nothing was predicted.
        trajectory_file: in TUM format; None = there is none.
    """

    scene: str
    sequence: str | Path
    mesh_file: Path | None
    trajectory_file: Path | None


def jobs_of_sequences(results: list[Path], sequences: list[str]) -> list[Job]:
    """One job per result; each with its own sequence, or all with the same one.

    Raises:
        InputError: as many sequences as results are not given, or a result without a mesh.
    """
    if len(sequences) not in (1, len(results)):
        raise InputError(f"{len(results)} results and {len(sequences)} sequences, expected one sequence or as many")
    each = sequences if len(sequences) == len(results) else sequences * len(results)
    jobs = []
    for path, sequence in zip(results, each, strict=True):
        mesh_file = find_mesh(path)
        if mesh_file is None:
            looked_for = ", ".join(f"mesh{suffix}" for suffix in SUFFIXES)
            raise InputError(f"{path}: holds no result, looked for {looked_for}")
        own_name = Path(sequence).name if len(sequences) == len(results) else path.stem or path.resolve().name
        jobs.append(Job(own_name, sequence, mesh_file, _find_trajectory(path)))
    return jobs


def jobs_of_root(results: Path, root: Path, split: str | None, dataset: str | None) -> list[Job]:
    """One job per scene of a data set; a scene without a folder of its name below ``results`` has no prediction.

    Raises:
        InputError: ``results`` is no folder, or not one scene has a result.
        DatasetError: the data set or split is unknown, or holds no scenes.
    """
    if not results.is_dir():
        raise InputError(f"{results}: no such folder, expected one with a folder per scene")
    jobs = []
    for path in scenes_below(root, split, dataset):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        name = path.resolve().name if name == "." else name
        folders = [results / name, results / name.replace("/", "_"), results / path.name]
        folder = next((item for item in folders if item.is_dir()), None)
        mesh_file = None if folder is None else find_mesh(folder)
        jobs.append(Job(name, path, mesh_file, None if folder is None else _find_trajectory(folder)))
    if not any(job.mesh_file for job in jobs):
        some = ", ".join(job.scene for job in jobs[:3])
        raise InputError(f"{results}: holds no result of the {len(jobs)} scenes, looked for folders such as {some}")
    return jobs


def scenes_below(root: Path, split: str | None, dataset: str | None) -> list[Path]:
    """The recordings of a data set; its kind is told by which one finds scenes, unless it is named.

    Raises:
        DatasetError: no kind finds any; the reason of the named kind, or what all looked for.
    """
    if dataset is not None:
        return dataset_named(dataset).scenes(root, split)
    kinds: list[Dataset] = [kind for kind in DATASETS if kind.scenes is not no_scenes]
    for kind in kinds:
        try:
            if paths := kind.scenes(root, split):
                return paths
        except DatasetError:
            continue
    names = ", ".join(kind.name for kind in kinds)
    with_split = "" if split is None else f" with a split '{split}'"
    raise DatasetError(f"{root}: not the root of a data set{with_split}; looked for {names}; name it with --dataset")


def find_mesh(path: Path) -> Path | None:
    """The mesh a result is or holds; None where a folder holds none.

    Raises:
        InputError: no such file or folder.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder, expected a mesh or the folder of a reconstruction")
    if not path.is_dir():
        return path
    return next((path / f"mesh{s}" for s in SUFFIXES if (path / f"mesh{s}").is_file()), None)


def read_trajectory(path: Path) -> Trajectory:
    """A trajectory in TUM format (``stamp tx ty tz qx qy qz qw``).

    Raises:
        DatasetError: missing, or not rows of 8 numbers; names the line.
        InputError: a row that is no pose, or a stamp twice; names file and stamp.
    """
    stamps_ns, rows = read_stamped_table(path, 8)
    poses = []
    for stamp_ns, row in zip(stamps_ns, rows, strict=True):
        try:
            poses.append(pose_from(row[:3], quat_wxyz_from_xyzw(row[3:])))
        except InputError as error:
            raise InputError(f"{path}: pose at {stamp_ns / 1e9:.6f} s: {error}") from error
    try:
        return Trajectory(np.array(stamps_ns, np.int64), np.array(poses))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_occlusion_mask(path: Path) -> OcclusionMask:
    """The mask of protocol C: a ``.npy`` grid, and the world-to-grid transform of ``world2grid.txt`` beside it.

    Raises:
        InputError: a file is missing or is not what it should be; names it.
    """
    transform_file = path.with_name("world2grid.txt")
    try:
        return OcclusionMask(np.load(path, allow_pickle=False), np.loadtxt(transform_file))
    except (OSError, ValueError, EOFError) as error:
        culprit = transform_file if path.is_file() and not transform_file.is_file() else path
        raise InputError(f"{culprit}: cannot be read (mask as .npy, 4 x 4 numbers beside it): {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_report(path: Path) -> dict[str, Any]:
    """The dictionary in a JSON file.

    Raises:
        InputError: missing, not JSON, or no dictionary.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if not isinstance(report, dict):
        raise InputError(f"{path}: holds a {type(report).__name__}, expected the report of a run")
    return report


def _find_trajectory(path: Path) -> Path | None:
    found = path / "trajectory.txt"
    return found if path.is_dir() and found.is_file() else None
