"""Which device and which implementation does the work."""

from __future__ import annotations

from types import ModuleType

import torch

from showroom_ros.errors import InputError, MissingDependencyError

BACKENDS = ("auto", "torch", "numba")
"""Torch everywhere, compiled loops on the CPU, or whichever is faster."""


def checked_device(device: str) -> torch.device:
    """The torch device of a name.

    Raises:
        InputError: no such device name, or this machine has none.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device '{device}' is unknown, expected cpu or cuda") from error
    if found.type not in ("cpu", "cuda"):
        raise InputError(f"device '{device}' is not supported, expected cpu or cuda")
    if found.type == "cuda" and (not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()):
        raise InputError(f"device '{device}' is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return found


def numba_kernels(backend: str, device: torch.device) -> ModuleType | None:
    """The compiled loops, or None where torch is to do the work.

    Raises:
        InputError: unknown backend, or "numba" on another device than the CPU.
        MissingDependencyError: "numba" where it is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend '{backend}' is unknown, expected one of {', '.join(BACKENDS)}")
    if backend == "torch" or (backend == "auto" and device.type != "cpu"):
        return None
    if device.type != "cpu":
        raise InputError(f"backend 'numba' needs device 'cpu', not '{device}'")
    try:
        from showroom_ros.datasets.synthetic import kernels_numba
    except ImportError as error:
        if backend == "auto":
            return None
        raise MissingDependencyError("backend 'numba' needs numba: pip install numba") from error
    return kernels_numba
