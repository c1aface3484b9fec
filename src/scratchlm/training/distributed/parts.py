"""Tensors that may lie in parts on several ranks (DTensors), for code that also takes whole ones.

They are known by what they have: to import their class takes a while, and most runs need none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """Return all of a tensor; where it lies in parts, every rank must call this."""
    of_parts: Any = tensor
    return of_parts.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return this rank's part of a whole tensor, laid out as another one is; nothing is sent."""
    if not hasattr(other, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor

    of_parts: Any = other
    part, mesh, placements = tensor, of_parts.device_mesh, of_parts.placements
    for dim in range(mesh.ndim):
        if not placements[dim].is_replicate():
            chunks, at = part.chunk(mesh.size(dim), placements[dim].dim), mesh.get_local_rank(dim)
            part = chunks[at] if at < len(chunks) else part.narrow(placements[dim].dim, 0, 0)
    return DTensor.from_local(
        part.contiguous(), mesh, placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


def layouts(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group tensors that lie on the same ranks: torch computes on several at once only where they do."""
    groups: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        of_parts: Any = tensor
        lies = (of_parts.device_mesh, of_parts.placements) if hasattr(tensor, "full_tensor") else None
        groups.setdefault(lies, []).append(tensor)
    return list(groups.values())
