"""Which code this is, where the files that belong to it lie (in a checkout or installed), and on what machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from showroom_ros.errors import ShowroomError

SOURCE = Path(__file__).resolve().parents[1]
"""Root of the checkout, where the package is run from one."""


def share_file(*names: str) -> Path:
    """A file or folder such as ``config/showroom.yaml``, in the source tree or in the installed share folder.

    Raises:
        ShowroomError: it is in neither.
    """
    prefixes = (*Path(__file__).resolve().parents, Path(sys.prefix))
    candidates = [root.joinpath(*names) for root in (SOURCE, *(prefix / "share/showroom_ros" for prefix in prefixes))]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise ShowroomError(
        f"{names[-1]} was not found, expected {candidates[0]} or <prefix>/share/showroom_ros/{'/'.join(names[:-1])}"
    )


def commit(root: Path = SOURCE) -> str | None:
    """The commit this package is a checkout of, with "-dirty" if files differ; None where it is no checkout."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_name() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int | None:
    """Cores this process may use; None = unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
