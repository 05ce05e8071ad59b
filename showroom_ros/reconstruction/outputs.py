"""Which files a service may write or read."""

from __future__ import annotations

from pathlib import Path

from showroom_ros.errors import OutputError
from showroom_ros.settings import OutputSettings


def resolve_output(file_path: str, settings: OutputSettings) -> Path:
    """The file a request means: relative paths are below ``output_dir``, and nothing may lie outside of it.

    Raises:
        OutputError: an empty path, or one outside ``output.output_dir`` while
            ``output.allow_any_path`` is off (symbolic links and ``..`` are followed first).
    """
    if not file_path.strip() or "\0" in file_path:
        raise OutputError(f"file_path is {file_path!r}, expected a file name")
    root = Path(settings.output_dir).expanduser().resolve()
    path = (root / Path(file_path).expanduser()).resolve()
    if not settings.allow_any_path and not path.is_relative_to(root):
        raise OutputError(
            f"'{file_path}' is {path}, which is not below output.output_dir ({root}); "
            "set output.allow_any_path to allow it"
        )
    return path


def make_parent(path: Path) -> Path:
    """Creates the folder of ``path`` where it does not exist; returns ``path``.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {path.parent} cannot be made: {error.strerror}") from error
    return path
