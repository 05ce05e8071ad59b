"""Reading HDF5 files, with errors that name the file and what was expected in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import DatasetError, MissingDependencyError

if TYPE_CHECKING:
    import h5py


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file (MATLAB's v7.3 files are such), open for reading while the block runs.

    Raises:
        DatasetError: missing, cut short or no HDF5 file.
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError(
            f"{path}: HDF5 files need the package h5py: pip install 'showroom_ros[data]'"
        ) from None
    if not path.is_file():
        raise DatasetError(f"{path}: no such file, expected an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(
            f"{path}: cut short or not HDF5 ({path.stat().st_size} bytes): {' '.join(str(error).split())}"
        ) from error
    with file:
        yield file


def array_of(group: h5py.Group, name: str, shape: tuple[int | None, ...] | None = None) -> Any:
    """The data set ``name`` of a file or group, not read yet.

    Args:
        group: an open file, or a group of one.
        name: of the data set.
        shape: what it must have; None for a length that may be any; no shape = any.

    Raises:
        DatasetError: absent, or of another shape.
    """
    import h5py

    found = group.get(name)
    where = f"{group.file.filename}{'' if group.name == '/' else f', group {group.name}'}"
    if not isinstance(found, h5py.Dataset):
        raise DatasetError(f"{where}: has no data set '{name}', found {', '.join(sorted(group)[:12]) or 'nothing'}")
    if shape is not None and (
        found.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, found.shape, strict=True))
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise DatasetError(f"{where}: '{name}' has shape {found.shape}, expected ({wanted})")
    return found


def read_array(
    group: h5py.Group, name: str, shape: tuple[int | None, ...] | None = None, index: int | None = None
) -> NDArray:
    """The data set ``name``, or its part at ``index`` of the first axis, as it is stored.

    Raises:
        DatasetError: as ``array_of``, or its bytes are damaged or lie beyond the end of the file.
    """
    stored = array_of(group, name, shape)
    try:
        return np.asarray(stored[()] if index is None else stored[index])
    except (OSError, ValueError) as error:
        at = "" if index is None else f"[{index}]"
        raise DatasetError(
            f"{group.file.filename}: '{name}'{at} cannot be read: {' '.join(str(error).split())}"
        ) from error
