"""Tensors that may lie in parts on several ranks (DTensors), for code that also takes whole ones.

They are known by what they have: to import their class takes a while, and most runs need none.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor; where it lies in parts, every rank must call this."""
    of_parts: Any = tensor
    return of_parts.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return this rank's part of a whole tensor, laid out as another one is; nothing is sent."""
    if not hasattr(other, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    of_parts: Any = other
    return distribute_tensor(tensor, of_parts.device_mesh, of_parts.placements, src_data_rank=None)
