"""What a report was made with: code version and machine."""

from __future__ import annotations

import platform
from typing import Any

import cv2
import numba
import numpy as np
import psutil

from showroom_ros import __version__
from showroom_ros.installation import commit, cpu_name, usable_cores


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
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }
