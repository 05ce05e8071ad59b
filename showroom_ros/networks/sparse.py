"""Sparse 3D convolution in plain torch: only active voxels have features, and only they are computed.

Every voxel's coordinates become one int64 key; keys are sorted once, and neighbours are found by binary search, one
search per offset of the kernel. A convolution then is a matrix product of gathered rows (Graham et
al., Submanifold Sparse Convolutional Networks, 2018). Any device, any dtype.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from showroom_ros.errors import InputError

_FIELD_BITS = 17
_BATCH_BITS = 12
FARTHEST = 2 ** (_FIELD_BITS - 1) - 2
"""Largest |coordinate| of a voxel; two less than fits, so that neighbours never overflow into another axis."""

CHUNK = 2**14
"""Voxels whose neighbours are gathered at a time: bounds memory."""

Pairs = tuple[Tensor, Tensor]
"""Rows of the input and the rows of the output they reach, int64 [P] each."""


class Sites:
    """The active voxels of one resolution, with the maps of kernels over them (made when first needed, then kept).

    Attributes:
        coordinates: int64 [V, 4], (batch, x, y, z); any order, negative ones too.
    """

    def __init__(self, coordinates: Tensor) -> None:
        """Checks and sorts the voxels.

        Raises:
            InputError: not int64 [V, 4], out of range, or a voxel occurs twice.
        """
        if coordinates.ndim != 2 or coordinates.shape[1] != 4 or coordinates.dtype != torch.int64:
            raise InputError(f"coordinates are {coordinates.dtype} {tuple(coordinates.shape)}, expected int64 [V, 4]")
        self.coordinates = coordinates
        self._sorted, self._rows = _keys(coordinates).sort()
        if bool((self._sorted[1:] == self._sorted[:-1]).any()):
            raise InputError("a voxel occurs twice among the coordinates")

    def __len__(self) -> int:
        """Number of active voxels."""
        return len(self.coordinates)

    @cached_property
    def neighbours(self) -> Tensor:
        """Rows at ``voxel + offset`` for the offsets of a 3x3x3 kernel, int64 [V, 27]; V where none is active."""
        table = torch.full((len(self), 27), len(self), device=self.coordinates.device)
        table[:, 13] = torch.arange(len(self), device=table.device)
        for index, offset in enumerate(KERNEL_3[:13]):  # the other 13 are the same pairs, swapped
            there, here = self._at(offset)
            table[here, index] = there
            table[there, 26 - index] = here
        return table

    @cached_property
    def coarser(self) -> tuple[Sites, list[Pairs]]:
        """Voxels of twice the size that hold these, and per octant of them: rows here, rows there."""
        coordinates = self.coordinates
        parents = torch.cat([coordinates[:, :1], coordinates[:, 1:] >> 1], 1)
        _, owner = torch.unique(_keys(parents), return_inverse=True)
        count = int(owner.max()) + 1 if len(owner) else 0
        unique = parents.new_empty((count, 4))
        unique[owner] = parents
        octant = (coordinates[:, 1:] & 1) @ coordinates.new_tensor([4, 2, 1]) if len(owner) else owner
        rows = [(octant == index).nonzero()[:, 0] for index in range(8)]
        return Sites(unique), [(of_octant, owner[of_octant]) for of_octant in rows]

    def _at(self, offset: tuple[int, int, int]) -> Pairs:
        """Rows that are active at ``voxel + offset``, and the rows of these voxels."""
        wanted = self._sorted + _step(offset)
        found = torch.searchsorted(self._sorted, wanted).clamp(max=max(len(self) - 1, 0))
        hits = (self._sorted[found] == wanted).nonzero()[:, 0]
        return self._rows[found[hits]], self._rows[hits]


KERNEL_3 = tuple((x, y, z) for x, y, z in product((-1, 0, 1), repeat=3))
"""Offsets (x, y, z) of a 3x3x3 kernel, in the order of its weights: that of a dense [3, 3, 3] array."""


class SubmanifoldConv3d(nn.Module):
    """3x3x3 convolution, stride 1, without bias; the output has the active voxels of the input.

    Attributes:
        weight: float [27, Cin, Cout]: ``conv3d``'s weight [Cout, Cin, x, y, z] as ``permute(2, 3, 4, 1, 0)``.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Fresh weights."""
        super().__init__()
        self.weight = _kernel(27, inputs, outputs)

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        """Float [V, Cin] of ``sites`` to [V, Cout]."""
        dtype = _product_dtype(features)
        result: Tensor = _Submanifold.apply(features.to(dtype), self.weight.to(dtype), sites.neighbours)
        return result


class _Submanifold(torch.autograd.Function):
    """The sum over the kernel of neighbours' features times its weights; the gradient is another such sum."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, neighbours: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(features, weight, neighbours)
        return _convolved(features, neighbours, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        features, weight, neighbours = ctx.saved_tensors
        to_features = to_weight = None
        if ctx.needs_input_grad[0]:
            to_features = _convolved(gradient, neighbours, weight.flip(0).transpose(1, 2))
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(features, gradient, neighbours)
        return to_features, to_weight, None


def _convolved(features: Tensor, neighbours: Tensor, weight: Tensor) -> Tensor:
    """Features [V, Cin] to [V, Cout], with ``weight`` [27, Cin, Cout]; gathers whichever has fewer channels."""
    positions, inputs, outputs = weight.shape
    padded = functional.pad(features, (0, 0, 0, 1))
    if inputs <= outputs:
        kernel = weight.reshape(-1, outputs).T.contiguous()
        return torch.cat([functional.linear(_side_by_side(padded, rows), kernel) for rows in neighbours.split(CHUNK)])
    result = features.new_zeros((len(features), outputs))
    group = min(max(positions * 4 * CHUNK // len(padded), 1), positions)
    for first in range(0, positions, group):
        part = weight[first : first + group]
        products = (padded @ part.transpose(0, 1).reshape(inputs, -1)).view(-1, outputs)
        for start in range(0, len(features), CHUNK):
            rows = neighbours[start : start + CHUNK, first : first + group]
            rows = rows * len(part) + torch.arange(len(part), device=rows.device)
            result[start : start + CHUNK] += functional.embedding(rows, products).sum(1)
    return result


def _weight_gradient(features: Tensor, gradient: Tensor, neighbours: Tensor) -> Tensor:
    """[27, Cin, Cout] of features [V, Cin] and the gradient [V, Cout] of what was made of them."""
    inputs, outputs = features.shape[1], gradient.shape[1]
    fewer, more = (features, gradient) if inputs <= outputs else (gradient, features)
    padded = functional.pad(fewer, (0, 0, 0, 1))
    total = more.new_zeros((more.shape[1], 27 * fewer.shape[1]))
    for rows, of_rows in zip(neighbours.split(CHUNK), more.split(CHUNK), strict=True):
        total += of_rows.T @ _side_by_side(padded, rows)
    each = total.view(more.shape[1], 27, fewer.shape[1])
    return each.permute(1, 2, 0) if inputs <= outputs else each.permute(1, 0, 2).flip(0)


def _side_by_side(padded: Tensor, rows: Tensor) -> Tensor:
    return functional.embedding(rows, padded).flatten(1)


def _product_dtype(features: Tensor) -> torch.dtype:
    """What matrix products are computed in: half precision where autocast says so."""
    kind = features.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype


class DownConv3d(nn.Module):
    """2x2x2 convolution, stride 2, without bias; the output has every voxel of twice the size that holds any.

    Attributes:
        weight: float [8, Cin, Cout], octants in the order of a dense [2, 2, 2] array.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Fresh weights."""
        super().__init__()
        self.weight = _kernel(8, inputs, outputs)

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        """Float [V, Cin] of ``sites`` to [W, Cout] of ``sites.coarser[0]``."""
        coarse, octants = sites.coarser
        result = features.new_zeros((len(coarse), self.weight.shape[2])) + features[:0].sum() * 0
        for index, (fine_rows, coarse_rows) in enumerate(octants):
            result = _added(result, coarse_rows, features, fine_rows, self.weight[index])
        return result


class UpConv3d(nn.Module):
    """Transposed 2x2x2 convolution, stride 2, without bias: back to the voxels a ``DownConv3d`` came from.

    Attributes:
        weight: float [8, Cin, Cout], octants in the order of a dense [2, 2, 2] array.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Fresh weights."""
        super().__init__()
        self.weight = _kernel(8, inputs, outputs)

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        """Float [W, Cin] of ``sites.coarser[0]`` to [V, Cout] of ``sites``."""
        _, octants = sites.coarser
        result = features.new_zeros((len(sites), self.weight.shape[2]))
        for index, (fine_rows, coarse_rows) in enumerate(octants):
            result = _added(result, fine_rows, features, coarse_rows, self.weight[index])
        return result


class VoxelBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over active voxels; of fewer than two there are no statistics, the running ones serve."""

    def forward(self, features: Tensor) -> Tensor:
        """Float [V, C] to the same."""
        if len(features) >= 2:
            return super().forward(features)
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return (features - self.running_mean) * scale + self.bias


def _added(result: Tensor, to_rows: Tensor, features: Tensor, from_rows: Tensor, weight: Tensor) -> Tensor:
    """``result`` with the products of gathered rows added in place."""
    products = features.index_select(0, from_rows) @ weight
    return result.to(products.dtype).index_add_(0, to_rows, products)


def _kernel(positions: int, inputs: int, outputs: int) -> nn.Parameter:
    """Uniform within 1 / sqrt(inputs * positions)."""
    bound = 1 / math.sqrt(inputs * positions)
    return nn.Parameter(torch.empty(positions, inputs, outputs).uniform_(-bound, bound))


def _step(offset: tuple[int, int, int]) -> int:
    """By how much a key changes when its voxel moves by ``offset``."""
    x, y, z = offset
    return (x << 2 * _FIELD_BITS) + (y << _FIELD_BITS) + z


def _keys(coordinates: Tensor) -> Tensor:
    """One int64 per voxel, ordered by batch, x, y, z."""
    if len(coordinates):
        batch, places = coordinates[:, 0], coordinates[:, 1:]
        if int(batch.min()) < 0 or int(batch.max()) >= 2**_BATCH_BITS or int(places.abs().max()) > FARTHEST:
            raise InputError(
                f"coordinates reach {coordinates.amin(0).tolist()} to {coordinates.amax(0).tolist()}, expected a batch "
                f"below {2**_BATCH_BITS} and voxels within {FARTHEST} of 0"
            )
    shifted = coordinates[:, 1:] + 2 ** (_FIELD_BITS - 1)
    batch, x, y, z = coordinates[:, 0], shifted[:, 0], shifted[:, 1], shifted[:, 2]
    return (((batch << _FIELD_BITS) + x << _FIELD_BITS) + y << _FIELD_BITS) + z
