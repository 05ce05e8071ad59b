"""Training by several processes at once, as ``torchrun`` starts them: equal weights, gradients averaged.

Gradients are averaged in one go after each step rather than by ``DistributedDataParallel``: parts of a network may
be frozen, or unused in some steps and phases, and the result is that of one process with all of the batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from showroom_ros.errors import SettingsError


@dataclass(frozen=True)
class Processes:
    """This process among those that train.

    Attributes:
        rank: number of this process; 0 writes.
        world: how many there are.
        local_rank: number on this machine: which GPU it takes.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @staticmethod
    def of_environment() -> Processes:
        """As ``torchrun`` tells by environment variables; alone without them.

        Raises:
            SettingsError: the variables are no numbers.
        """
        try:
            values = [int(os.environ.get(name, default)) for name, default in
                      (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))]  # fmt: skip
        except ValueError as error:
            raise SettingsError(f"RANK, WORLD_SIZE and LOCAL_RANK of the environment: {error}") from error
        return Processes(*values)

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Waits for the others and connects with them."""
        if self.world > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def leave(self) -> None:
        """Disconnects."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so."""
        if self.world == 1:
            return flag
        flags = torch.tensor(float(flag), device=device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.world > 1:
            distributed.all_reduce(values)
            values = values / self.world
        return values

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its mean; one that a process lacks counts as 0, one that all lack stays away."""
        if self.world == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if not trained:
            return
        there = torch.tensor([parameter.grad is not None for parameter in trained], device=trained[0].device).float()
        distributed.all_reduce(there)
        trained = [parameter for parameter, count in zip(trained, there.tolist(), strict=True) if count > 0]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.reshape(-1) for parameter in trained if parameter.grad is not None])
        distributed.all_reduce(flat)
        flat /= self.world
        for parameter, mean in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            parameter.grad = mean.view_as(parameter)

    @torch.no_grad()
    def share_first(self, network: nn.Module) -> None:
        """Gives all processes the weights of rank 0."""
        if self.world > 1:
            for tensor in (*network.parameters(), *network.buffers()):
                distributed.broadcast(tensor, 0)
