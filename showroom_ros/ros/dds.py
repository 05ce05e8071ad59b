"""The Fast DDS profile: without it, most large best-effort messages between two processes are lost.

Fast DDS keeps messages for other processes of this machine in a shared-memory segment of 512 KB by
default, and one 640x480 colour image has 900 KB.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TypeVar

from showroom_ros.errors import ShowroomError

Environment = TypeVar("Environment", bound=MutableMapping[str, str])
_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_FILE_NAME = "fastdds_profile.xml"


def configure_dds(environ: Environment) -> Environment:
    """Points Fast DDS to the profile of this package, before ``rclpy.init``.

    Args:
        environ: ``os.environ``, or the environment of a process to be started.

    Returns:
        ``environ`` itself; where the user has set a profile it is left alone.
    """
    if any(environ.get(name) for name in _VARIABLES):
        return environ
    path = profile_path()
    for name in _VARIABLES:
        environ[name] = str(path)
    return environ


def profile_path() -> Path:
    """``config/fastdds_profile.xml`` of the source tree, or of the installed share folder.

    Raises:
        ShowroomError: it is in neither, naming both.
    """
    here = Path(__file__).resolve()
    candidates = [here.parents[2] / "config" / _FILE_NAME]
    prefixes = [*here.parents, Path(sys.prefix)]
    candidates += [prefix / "share" / "showroom_ros" / "config" / _FILE_NAME for prefix in prefixes]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ShowroomError(f"{_FILE_NAME} was not found, expected {candidates[0]} or <prefix>/share/showroom_ros/config")
