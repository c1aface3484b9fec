"""Positions: how a model that sees a set of vectors is told their order."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rotation = tuple[Float[Tensor, "*batch T half"], Float[Tensor, "*batch T half"]]


def rope_table(positions: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each `(positions, head_dim / 2)` in fp32, of rotary positions (arXiv 2104.09864).

    Pair i of a head turns by `position * theta ** (-2 i / head_dim)` radians.
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Float[Tensor, "B heads T E"], rotation: Rotation) -> Float[Tensor, "B heads T E"]:
    """Turn each pair of channels (i, i + E/2) by its position's angle; lengths are kept."""
    cos, sin = (table.to(x.dtype) for table in rotation)
    if cos.dim() == 3:  # a row of its own for each batch item: add the heads' axis
        cos, sin = cos[:, None], sin[:, None]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def positions_within(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Count positions from 0 anew wherever the document number changes along a row."""
    index = torch.arange(documents.size(1), device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    latest_start = torch.where(starts, index, 0).cummax(dim=1).values
    return index - latest_start
