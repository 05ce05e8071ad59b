"""Posed RGB-D video into scenes that training reads: aligned images, poses, signed distances, a true mesh.

The layout is that of VoRTX (Stier et al., 3DV 2021) for ScanNet, the same for every kind of recording:
``info.json`` {scene, width, height, intrinsics, frames: [{filename_color, filename_depth, pose, stamp_ns}], gt_mesh,
world_frame}, ``color/``, ``depth/``, ``full_tsdf_layer{0,1,2}.npz`` + ``tsdf_info.json``, ``mesh.ply``.
``prepared.Prepared`` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.prepare.frame_alignment import aligned_view
from showroom_ros.datasets.prepare.output import write_color, write_depth, write_json, write_npz
from showroom_ros.datasets.prepare.prepared import INFO, TSDF_INFO, Prepared
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.scenes import open_item, recordings_of, synthetic_recordings
from showroom_ros.datasets.prepare.tsdf_targets import (
    MAX_BOUNDS_FRAMES,
    TRUNCATION_VOXELS,
    VOXEL_SIZES_M,
    DepthFrame,
    frusta_bounds,
    fused_layers,
)
from showroom_ros.errors import DatasetError, InputError, ShowroomError
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import save_mesh
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import Sequence, View
from showroom_ros.scene.volume import make_volume
from showroom_ros.settings import MapSettings, setting

MESH = "mesh.ply"
MAX_VOXELS = 400_000_000
"""Of the finest layer; more means that a pose is far off."""

_MESH_BYTES = 32_000_000_000


@dataclass(frozen=True)
class VideoSettings:
    """Settings of a posed video; the mesh is the data set's own."""

    width: int = setting(640, "width of both images in pixels; 0 = as recorded", minimum=0, maximum=10000)
    height: int = setting(480, "height of both images in pixels; 0 = as recorded", minimum=0, maximum=10000)
    alignment: str = setting(
        "homography",
        "homography: colour is warped into the depth camera by K_color K_depth^-1, nearest pixel; "
        "depth: depth is registered to colour by its own distances",
        choices=("homography", "depth"),
    )
    frame_step: int = setting(1, "every so many frames", minimum=1, maximum=100000)
    keyframes: bool = setting(False, "keep only frames that moved or turned; mesh and distances still use all")
    min_translation_m: float = setting(0.1, "a keyframe moved more than this", minimum=0.0, maximum=100.0)
    min_rotation_deg: float = setting(15.0, "or its axis turned more than this", minimum=0.0, maximum=180.0)
    tsdf: bool = setting(True, "write signed distances at 4, 8 and 16 cm")
    max_depth_m: float = setting(3.0, "farther depth is not fused", minimum=0.1, maximum=100.0)
    mesh: str = setting(
        "dataset",
        "true mesh: that of the data set where it has one, fused from the depth images, or none",
        choices=("dataset", "fused", "none"),
    )
    mesh_voxel_m: float = setting(0.01, "voxel of the fused mesh", minimum=0.002, maximum=0.1)


@dataclass(frozen=True)
class FusedVideoSettings(VideoSettings):
    """Settings of a posed video whose mesh is fused from its depth."""

    mesh: str = setting(
        "fused",
        "true mesh: that of the data set where it has one, fused from the depth images, or none",
        choices=("dataset", "fused", "none"),
    )


@dataclass(frozen=True)
class SyntheticVideoSettings(VideoSettings):
    """Settings of a made-up video."""

    camera: str = setting(
        "sensor",
        "sensor: the demo's noisy cameras and gait; varied: exact images of a camera and a gait drawn from the seed, "
        "for training (one room; of synthetic:SPLIT/NUMBER only)",
        choices=("sensor", "varied"),
    )


def prepare_video(
    item: Item, out: Path, settings: VideoSettings, *, dataset: str | None = None, up: str = "unknown"
) -> list[str]:
    """Prepares one recording.

    Args:
        item: the recording.
        out: its output folder.
        settings: what is wanted.
        dataset: the kind to read it as; None = whatever it is.
        up: axis of the world that points up, "z" or "unknown".

    Returns:
        What was left out.

    Raises:
        DatasetError: no frame has image, depth and pose.
        InputError: the frames reach farther than any room.
    """
    return write_video(open_item(item, dataset), item.key.rpartition("/")[2], out, settings, up)


def write_video(sequence: Sequence, scene_name: str, out: Path, settings: VideoSettings, up: str) -> list[str]:
    """Writes a recording into ``out``; arguments, result and errors as for ``prepare_video``."""
    info = {
        "scene": scene_name,
        "width": 0,
        "height": 0,
        "intrinsics": [],
        "world_frame": {"up": up, "unit": "m", "camera": "x right, y down, z forward", "pose": "camera to world"},
        "gt_mesh": None,
        "frames": [],
    }
    skipped = [f"{count} frames: {reason}" for reason, count in getattr(sequence, "skipped", {}).items() if count]
    info["frames"] = _write_frames(sequence, out, settings, info, skipped)
    write_json(out / INFO, info)
    scene = Prepared(out)
    if settings.tsdf:
        _write_layers(scene, settings.max_depth_m)
    mesh = _mesh(sequence, scene, settings)
    if mesh is not None:
        save_mesh(out / MESH, mesh)
        info["gt_mesh"] = MESH
    if settings.keyframes:
        info["frames"] = _thin(scene, settings)
    write_json(out / INFO, info)
    return skipped


def moved_frames(
    poses: list[NDArray[np.float64]], min_translation_m: float = 0.1, min_rotation_deg: float = 15.0
) -> list[int]:
    """Frames that moved more than a distance, or whose optical axis turned more than an angle, since the last such.

    Args:
        poses: ``T_world_camera`` [4, 4] in order.
        min_translation_m: metres.
        min_rotation_deg: degrees.
    """
    kept: list[int] = []
    for index, pose in enumerate(poses):
        if kept:
            last = poses[kept[-1]]
            moved_m = np.linalg.norm(pose[:3, 3] - last[:3, 3])
            turned_deg = np.degrees(np.arccos(np.clip(pose[:3, 2] @ last[:3, 2], -1, 1)))
            if moved_m <= min_translation_m and turned_deg <= min_rotation_deg:
                continue
        kept.append(index)
    return kept


def fused_mesh(views: Iterator[View], voxel_m: float, max_depth_m: float) -> Mesh:
    """Mesh of posed depth by TSDF fusion with a truncation of three voxels.

    Raises:
        InputError: the volume needs more memory than any room should.
    """
    volume = make_volume(
        MapSettings(
            voxel_size_m=voxel_m,
            truncation_m=TRUNCATION_VOXELS * voxel_m,
            min_depth_m=0.0,
            max_depth_m=max_depth_m,
            max_incidence_deg=90.0,
            max_weight=1000.0,
            max_bytes=_MESH_BYTES,
            carve=False,
        )
    )
    for view in views:
        stats = volume.integrate(view)
        if stats.blocks_evicted or stats.blocks_refused:
            raise InputError(f"fusing a mesh at {voxel_m:g} m needs more than {_MESH_BYTES / 1e9:g} GB")
    return volume.extract_mesh()


def _write_frames(
    sequence: Sequence, out: Path, settings: VideoSettings, info: dict[str, Any], skipped: list[str]
) -> list[dict[str, Any]]:
    """Writes all usable frames; fills in the size and intrinsics of ``info``, appends to ``skipped``."""
    entries: list[dict[str, Any]] = []
    numbers = getattr(sequence, "numbers", range(len(sequence)))
    for index in range(0, len(sequence), settings.frame_step):
        number = int(numbers[index])
        try:
            view = aligned_view(sequence.frame(index), settings.width, settings.height, settings.alignment)
            depth, pose = view.require_depth(), view.require_pose()
            if not np.isfinite(depth).any():
                raise DatasetError("no pixel has depth")
        except ShowroomError as error:
            skipped.append(f"frame {number}: {error}")
            continue
        intrinsics = view.camera.matrix.tolist()
        entry: dict[str, Any] = {
            "filename_color": f"color/{number:05d}.jpg",
            "filename_depth": f"depth/{number:05d}.png",
            "pose": pose.tolist(),
            "stamp_ns": view.stamp_ns,
        }
        if not entries:
            info.update(width=view.camera.width, height=view.camera.height, intrinsics=intrinsics)
        elif (view.camera.width, view.camera.height) != (info["width"], info["height"]):
            skipped.append(f"frame {number}: is {view.camera.width}x{view.camera.height}, those before are not")
            continue
        elif intrinsics != info["intrinsics"]:
            entry["intrinsics"] = intrinsics
        write_color(out / entry["filename_color"], view.image)
        write_depth(out / entry["filename_depth"], depth)
        entries.append(entry)
    if not entries:
        raise DatasetError(f"{sequence.name}: none of {len(sequence)} frames can be used: {'; '.join(skipped[:3])}")
    return entries


def _write_layers(scene: Prepared, max_depth_m: float) -> None:
    def frames(indices: list[int]) -> Iterator[DepthFrame]:
        for index in indices:
            yield scene.depth(index), scene.camera(index), scene.pose(index)

    low, high = frusta_bounds(frames(evenly_spread(len(scene), MAX_BOUNDS_FRAMES)), max_depth_m)
    voxels = float(np.prod(np.ceil((high - low) / VOXEL_SIZES_M[0]) + 1))
    if voxels > MAX_VOXELS:
        raise InputError(
            f"{scene.name}: its frames reach from {low.round(1).tolist()} to {high.round(1).tolist()} m, which is "
            f"{voxels:.2g} voxels (at most {MAX_VOXELS:.2g}): is a pose wrong?"
        )
    layers = fused_layers(frames(list(range(len(scene)))), low, high, VOXEL_SIZES_M, max_depth_m)
    for number, layer in enumerate(layers):
        write_npz(scene.path / f"full_tsdf_layer{number}.npz", arr_0=layer.stored())
    write_json(
        scene.path / TSDF_INFO,
        {
            "vol_origin": low.tolist(),
            "voxel_size": VOXEL_SIZES_M[0],
            "voxel_sizes_m": list(VOXEL_SIZES_M),
            "vol_dims": [list(layer.grid.shape) for layer in layers],
            "truncation_voxels": TRUNCATION_VOXELS,
            "max_depth_m": max_depth_m,
            "convention": "-1 seen to be free, 0 surface, +1 behind it or never seen; unit is the truncation",
        },
    )


def _mesh(sequence: Sequence, scene: Prepared, settings: VideoSettings) -> Mesh | None:
    if settings.mesh == "fused":
        return fused_mesh((scene[index] for index in range(len(scene))), settings.mesh_voxel_m, settings.max_depth_m)
    own = getattr(sequence, "ground_truth_mesh", None)
    return own() if settings.mesh == "dataset" and own is not None else None


def _thin(scene: Prepared, settings: VideoSettings) -> list[dict[str, Any]]:
    """Removes the images of all frames but keyframes; returns the entries of those."""
    poses = [scene.pose(index) for index in range(len(scene))]
    kept = set(moved_frames(poses, settings.min_translation_m, settings.min_rotation_deg))
    for index, entry in enumerate(scene.info["frames"]):
        if index not in kept:
            for kind in ("filename_color", "filename_depth"):
                (scene.path / entry[kind]).unlink()
    return [scene.info["frames"][index] for index in sorted(kept)]


def _prepare_synthetic(item: Item, out: Path, settings: SyntheticVideoSettings) -> list[str]:
    if settings.camera == "sensor":
        return prepare_video(item, out, settings, up="z")
    from showroom_ros.datasets.synthetic.splits import seed_of
    from showroom_ros.datasets.synthetic.varied import varied_recording

    split, slash, number = str(item.source).partition(":")[2].partition("/")
    if not slash:
        raise InputError(f"{item.source}: camera 'varied' needs a room of a split such as synthetic:train/3")
    size = (settings.width, settings.height) if settings.width and settings.height else (640, 480)
    return write_video(varied_recording(seed_of(split, int(number)), *size), item.key, out, settings, "z")


def _recipe(name: str, title: str, up: str, settings: type = VideoSettings) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        find=partial(recordings_of, dataset=name),
        prepare=partial(prepare_video, dataset=name, up=up),
        settings=settings,
    )


SYNTHETIC = Recipe(
    "synthetic",
    "made-up rooms (ROOT is synthetic:SEED or synthetic:train/0-99): images, poses, exact mesh, signed distances",
    synthetic_recordings,
    _prepare_synthetic,
    SyntheticVideoSettings,
)

VIDEO_RECIPES: tuple[Recipe, ...] = (
    _recipe("scannet", "ScanNet: colour warped to depth, poses, signed distances, its mesh", "z"),
    _recipe("icl", "ICL-NUIM: images, poses, signed distances, mesh fused at 1 cm", "z", FusedVideoSettings),
    _recipe("tum", "TUM RGB-D: images, poses, signed distances, mesh fused at 1 cm", "z", FusedVideoSettings),
    _recipe("7scenes", "7-Scenes: images, poses, signed distances, mesh fused at 1 cm", "unknown", FusedVideoSettings),
    _recipe("arkitscenes", "ARKitScenes: images, poses, signed distances, its mesh", "z"),
    _recipe("bag", "a bag with depth and poses: images, signed distances, fused mesh", "unknown", FusedVideoSettings),
    SYNTHETIC,
)
