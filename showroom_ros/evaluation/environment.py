"""What a report was made with: code version and machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import cv2
import numba
import numpy as np
import psutil

from showroom_ros import __version__
from showroom_ros.installation import commit


def environment() -> dict[str, Any]:
    """Version and commit of this package, versions of what computes in it, processor, cores and memory."""
    return {
        "version": __version__,
        "commit": commit(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "opencv": cv2.__version__,
    }


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory and operating system."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
