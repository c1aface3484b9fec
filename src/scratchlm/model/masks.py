"""Masks: which keys each query may see."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Mask = Bool[Tensor, "*rows T S"]
"""Which keys each query may see."""


def causal_mask(
    queries: int, keys: int, window: int | None, documents: Int[Tensor, "B T"] | None, device: torch.device
) -> Mask:
    """Return which keys each query may see: not later ones, none beyond the window, none of another document.

    The last query stands at the last key's position. With documents the batch axes are (B, 1), the 1 for heads.
    """
    mask = placed_mask(torch.arange(keys - queries, keys, device=device), keys, window)
    if documents is not None:
        mask = mask & (documents[:, None, :, None] == documents[:, None, None, :])
    return mask


def placed_mask(places: Int[Tensor, "*rows T"], keys: int, window: int | None) -> Mask:
    """Return which of the first `keys` positions a query at each of `places` may see: not later ones, in the window."""
    key_at, query_at = torch.arange(keys, device=places.device), places[..., None]
    mask = key_at <= query_at
    return mask if window is None else mask & (key_at > query_at - window)
