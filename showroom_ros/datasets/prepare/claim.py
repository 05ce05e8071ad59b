"""Who is making what: one run at a time works on an item, and what dead runs left is removed.

Everything unfinished lies in one folder, ``OUT/.unfinished``. Whoever works on a thing holds the lock of its lock
file there (``flock``: the kernel frees it when the process ends, however it ends) and has a workspace beside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from showroom_ros.errors import OutputError

UNFINISHED = ".unfinished"
"""Name of the folder of unfinished work below the output folder; absent when nothing is being made."""

_LOCK_SUFFIX = ".lock"


@contextmanager
def claimed(out: Path, name: str, *, wait: bool = True) -> Iterator[Path | None]:
    """An empty workspace for the thing of that name, for this process alone until the block ends.

    The workspace and what is still in it are removed at the end of the block.

    Args:
        out: output folder; the workspace is on its file system, so that results can be renamed into place.
        name: of the thing, any text.
        wait: until another process that works on the same thing is done; else the value is None then.

    Raises:
        OutputError: the folder cannot be written, or its file system has no file locks.
    """
    # A slash cannot be in a file name; the digest keeps names apart that look alike without it.
    slug = f"{name.replace('/', '_')[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    folder = out / UNFINISHED
    lock = _lock(folder / (slug + _LOCK_SUFFIX), wait)
    if lock is None:
        yield None
        return
    workspace = folder / slug
    try:
        shutil.rmtree(workspace, ignore_errors=True)
        try:
            workspace.mkdir()
        except OSError as error:
            raise OutputError(f"{workspace}: cannot be written: {error.strerror}") from error
        yield workspace
    finally:
        _release(folder, slug, lock)


def remove_leftovers(out: Path) -> None:
    """Removes the unfinished work of runs that have ended; that of living ones stays."""
    folder = out / UNFINISHED
    try:
        slugs = sorted({item.name.removesuffix(_LOCK_SUFFIX) for item in folder.iterdir()})
    except (FileNotFoundError, NotADirectoryError):
        return  # another run removed it meanwhile
    for slug in slugs:
        lock = _lock(folder / (slug + _LOCK_SUFFIX), wait=False)
        if lock is not None:
            _release(folder, slug, lock)
    _remove_if_empty(folder)


def _lock(path: Path, wait: bool) -> int | None:
    """Descriptor of the locked lock file; None if another process has it."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            if path.parent.is_file():
                raise OutputError(f"{path.parent}: cannot be written: it is a file, expected a folder") from error
            continue  # a folder was there, and another run removed it before pathlib looked what it was
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be written: {error.strerror}") from error
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # another run removed the folder, being empty, meanwhile
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
            os.close(handle)  # its last holder removed it meanwhile: once more
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            os.close(handle)
        except OSError as error:
            os.close(handle)
            raise OutputError(f"{path}: cannot be locked: {error.strerror}") from error
        except BaseException:
            os.close(handle)
            raise


def _release(folder: Path, slug: str, lock: int) -> None:
    shutil.rmtree(folder / slug, ignore_errors=True)
    with suppress(OSError):
        (folder / (slug + _LOCK_SUFFIX)).unlink()
    os.close(lock)
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
