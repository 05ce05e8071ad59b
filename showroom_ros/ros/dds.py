"""The Fast DDS profile: without it, most large best-effort messages between two processes are lost.

Fast DDS keeps messages for other processes of this machine in a shared-memory segment of 512 KB by
default, and one 640x480 colour image has 900 KB.
"""

from __future__ import annotations

import shutil
from collections.abc import MutableMapping
from pathlib import Path
from typing import TypeVar

from showroom_ros.installation import share_file

Environment = TypeVar("Environment", bound=MutableMapping[str, str])

SHARED_MEMORY = Path("/dev/shm")
_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_PROFILE, _SMALL_PROFILE = "fastdds_profile.xml", "fastdds_profile_small.xml"
_ROOM_BYTES = 256_000_000
"""Each process takes a segment of 32 MB (small: 8 MB). Where that does not fit, Fast DDS gives up shared
memory and images are lost again; Docker's default is 64 MB for all."""


def configure_dds(environ: Environment) -> Environment:
    """Points Fast DDS to the profile of this package; to be called before ``rclpy.init``.

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
    """The profile that fits this machine's shared memory.

    Raises:
        ShowroomError: the file is neither in the source tree nor in the installed share folder.
    """
    has_room = not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free >= _ROOM_BYTES
    return config_file(_PROFILE if has_room else _SMALL_PROFILE)


def config_file(name: str) -> Path:
    """A file of ``config/``, in the source tree or in the installed share folder.

    Raises:
        ShowroomError: it is in neither.
    """
    return share_file("config", name)
