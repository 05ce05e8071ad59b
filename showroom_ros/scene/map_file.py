"""The whole map in one file: a zip of arrays with a header, versioned, checked and atomic."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from showroom_ros.errors import InputError, MapFileError
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.scene.volume import Volume, Voxels, make_volume
from showroom_ros.settings import MapSettings

FORMAT = "showroom_ros map"
VERSION = 1

_HEADER = "header.json"
_DTYPES = {"position": np.int32, "tsdf": np.int16, "weight": np.uint16, "color": np.uint32}
_COLUMNS = {"position": 3, "tsdf": 512, "weight": 512, "color": 512}


def save_map(path: str | Path, volume: Volume, settings: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Writes the map; until it is whole, ``path`` keeps what it held.

    Args:
        path: the file.
        volume: what to save.
        settings: the resolved settings, as they are.
        metadata: whatever else should be known of the map, e.g. code version and data id.

    Raises:
        OutputError: the file cannot be written.
    """
    voxels = volume.voxels()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "voxel_size_m": volume.settings.voxel_size_m,
        "truncation_m": volume.settings.truncation_m,
        "blocks": len(voxels.position),
        "settings": settings,
        "metadata": metadata,
    }
    with atomic_output(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_HEADER, json.dumps(header, indent=1))
        for name, array in voxels._asdict().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_header(path: str | Path) -> dict[str, Any]:
    """Version, sizes, settings and metadata of a saved map.

    Raises:
        MapFileError: not a map, of another version, or cut short.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _header(Path(path), archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(Path(path), error) from error


def load_map(path: str | Path, map_settings: MapSettings, device: str = "cpu") -> Volume:
    """A volume with the content of a saved map.

    Raises:
        MapFileError: not a map, of another version, cut short, damaged, of another voxel size or truncation
            than ``map_settings``, or too big for its byte cap.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = _header(path, archive)
            for name in ("voxel_size_m", "truncation_m"):
                if header[name] != getattr(map_settings, name):
                    raise MapFileError(
                        f"{path}: {name} is {header[name]}, the map in use has {getattr(map_settings, name)}"
                    )
            voxels = Voxels(*(_array(path, archive, name, header["blocks"]) for name in Voxels._fields))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise _unreadable(path, error) from error
    volume = make_volume(map_settings, device)
    try:
        volume.insert(voxels)
    except InputError as error:
        raise MapFileError(f"{path}: {error}") from error
    return volume


def _header(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        header = json.loads(archive.read(_HEADER))
    except (KeyError, ValueError) as error:
        raise MapFileError(f"{path}: not a saved map: no readable {_HEADER}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise MapFileError(f"{path}: not a saved map")
    if header.get("version") != VERSION:
        raise MapFileError(f"{path}: map file of version {header.get('version')}, expected {VERSION}")
    return header


def _array(path: Path, archive: zipfile.ZipFile, name: str, blocks: int) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        try:
            array = np.lib.format.read_array(member, allow_pickle=False)
        except ValueError as error:
            raise MapFileError(f"{path}: {name} is damaged: {error}") from error
    if array.dtype != _DTYPES[name] or array.shape != (blocks, _COLUMNS[name]):
        expected = f"{np.dtype(_DTYPES[name])} {(blocks, _COLUMNS[name])}"
        raise MapFileError(f"{path}: {name} is {array.dtype} {array.shape}, expected {expected}")
    return array


def _unreadable(path: Path, error: Exception) -> MapFileError:
    if isinstance(error, OSError):
        return MapFileError(f"{path}: cannot be read: {error.strerror or error}")
    return MapFileError(f"{path}: not a saved map, or cut short or damaged: {error}")
