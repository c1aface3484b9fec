"""Writing targets for sources with an encoder-decoder: the likeliest token each time, many sources at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from scratchlm.data.batches import padded
from scratchlm.model.cache import KVCache
from scratchlm.model.encoderdecoder import EncoderDecoder

ROWS = 64
"""Sources that are read together."""


def sources_of(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "B S"], Bool[Tensor, "B S"]]:
    """Lay sources into a table, filled up behind; tell which positions are real."""
    ids, last = padded(rows)
    return ids, torch.arange(ids.size(1)) <= last[:, None]


@torch.no_grad()
def write_targets(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], end: int, max_tokens: int, *, cached: bool = True
) -> list[list[int]]:
    """Return the target of each source, without the token that ends it.

    `cached=False` computes the whole target anew for each token, and gives the same.
    """
    model.eval()
    found: list[list[int]] = []
    for start in range(0, len(sources), ROWS):
        ids, real = sources_of(sources[start : start + ROWS])
        memory = model.encode(ids, real)
        cache = KVCache(max_tokens + 1) if cached else None
        target = torch.full((len(ids), 1), end)
        for _ in range(max_tokens):
            hidden = model.decode(target[:, -1:] if cached else target, memory, cache)
            target = torch.cat([target, model.logits(hidden[:, -1]).argmax(-1, keepdim=True)], 1)
            if (target[:, 1:] == end).any(1).all():
                break
        found += [until(row, end) for row in target[:, 1:].tolist()]
    return found


def until(ids: Sequence[int], end: int) -> list[int]:
    """Return ids up to the first `end`, without it."""
    return list(ids[: ids.index(end)]) if end in ids else list(ids)
