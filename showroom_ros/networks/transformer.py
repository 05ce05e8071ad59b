"""Transformer blocks and positions (Vaswani et al., 2017; Dosovitskiy et al., ViT, 2021; Su et al., RoPE, 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Turn = Callable[[Tensor], Tensor]
"""Turns queries and keys [B, heads, N, D] by where their tokens are."""


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        """``heads`` share the ``width``."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, turn: Turn | None = None) -> Tensor:
        """Float [B, N, C] to the same shape."""
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = turn(q), turn(k)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        """Width outside and inside."""
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., C] to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and perceptron, each after a layer norm and beside the identity."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, norm_eps: float) -> None:
        """``norm_eps`` of the layer norms."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width, norm_eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, norm_eps)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x: Tensor, turn: Turn | None = None) -> Tensor:
        """Float [B, N, C] to the same shape."""
        x = x + self.attn(self.norm1(x), turn)
        return x + self.mlp(self.norm2(x))


def rotary_2d(rows: int, columns: int, head_width: int, device: torch.device, base: float = 100.0) -> Turn:
    """RoPE of a grid: half of each head is turned by the row of its token, half by the column.

    In each half of D values the pairs (i, i + D/2) turn by ``position * base^(-2i/D)``, in float32.

    Args:
        rows: of the grid of tokens, which are in row-major order.
        columns: of the grid.
        head_width: a multiple of 4.
        device: where the angles live.
        base: of the frequencies.
    """
    half = head_width // 2
    frequency = base ** -(torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    angles = [(place.reshape(-1, 1).float() * frequency).repeat(1, 2) for place in (y, x)]
    cos, sin = (torch.cat([f(angle) for angle in angles], -1) for f in (torch.cos, torch.sin))

    def turn(x: Tensor) -> Tensor:
        values = x.float()
        partner = values.unflatten(-1, (2, 2, half // 2))
        partner = torch.stack([-partner[..., 1, :], partner[..., 0, :]], -2).flatten(-3)
        return (values * cos + partner * sin).to(x.dtype)

    return turn


def sine_table(count: int, width: int) -> Tensor:
    """Float32 [count, width]: sines, then cosines, of ``n 10000^(-2k/width)`` (Vaswani et al., 2017)."""
    frequency = 1.0 / 10000.0 ** (torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angle = torch.arange(count, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1).float()
