"""Where training computes, and what to do where that is too small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from showroom_ros.errors import SettingsError, ShowroomError
from showroom_ros.training.recipe import Recipe


def device_named(name: str, number: int = 0) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu`` or ``cuda``; of several GPUs the one of that number.

    Raises:
        SettingsError: another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"device '{name}': unknown, expected auto, cpu or cuda")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if number >= there:
        raise SettingsError(
            f"device 'cuda:{number}': torch {torch.__version__} finds {there} CUDA devices, expected cpu here"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    return device


@contextmanager
def memory_advice(recipe: Recipe) -> Iterator[None]:
    """Says what to do where a GPU's memory runs out in the block.

    Raises:
        ShowroomError: it did.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ShowroomError(
            f"out of GPU memory: batches of {recipe.batch} of {recipe.network}, preset {recipe.preset}, amp "
            f"{recipe.amp}, do not fit; try a smaller batch with more accumulate, amp bf16, or a smaller preset "
            f"({str(error).partition('. ')[0]})"
        ) from error
