"""Masks: which keys each query may see."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Mask = Bool[Tensor, "*rows T S"]
"""Which keys each query may see."""

SHARED = -1
"""Number of a document at the start of a row that all later documents of the row see, as if each began with it."""


def causal_mask(
    queries: int, keys: int, window: int | None, documents: Int[Tensor, "B T"] | None, device: torch.device
) -> Mask:
    """Return which keys each query may see: not later ones, none beyond the window, none of another document.

    The last query stands at the last key's position. With documents the batch axes are (B, 1), the 1 for heads; the
    document `SHARED` is seen by all.
    """
    mask = placed_mask(torch.arange(keys - queries, keys, device=device), keys, window)
    if documents is not None:
        keys_of = documents[:, None, None, :]
        mask = mask & ((documents[:, None, :, None] == keys_of) | (keys_of == SHARED))
    return mask


def placed_mask(places: Int[Tensor, "*rows T"], keys: int, window: int | None) -> Mask:
    """Return which of the first `keys` positions a query at each of `places` may see: not later ones, in the window."""
    key_at, query_at = torch.arange(keys, device=places.device), places[..., None]
    mask = key_at <= query_at
    return mask if window is None else mask & (key_at > query_at - window)
