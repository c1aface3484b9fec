"""Writing targets for sources with an encoder-decoder: the likeliest token each time, many sources at once."""

from __future__ import annotations

import math
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
    """Lay sources into a table, filled up behind; return which positions are real."""
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
    written: list[list[int]] = []
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
        written += [until(row, end) for row in target[:, 1:].tolist()]
    return written


@torch.no_grad()
def search_targets(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], end: int, max_tokens: int, beam: int
) -> list[list[int]]:
    """Return the target of each source with the highest mean log-probability per token that a beam search finds.

    Of the continuations of all hypotheses of a source, the `beam` most probable are kept at each step. One that has
    ended, or has `max_tokens`, is kept unchanged.
    """
    model.eval()
    written: list[list[int]] = []
    rows = max(1, ROWS // beam)
    for start in range(0, len(sources), rows):
        ids, real = sources_of(sources[start : start + rows])
        written += [until(row, end) for row in _search(model, ids, real, end, max_tokens, beam).tolist()]
    return written


def _search(
    model: EncoderDecoder, ids: Int[Tensor, "B S"], real: Bool[Tensor, "B S"], end: int, max_tokens: int, beam: int
) -> Int[Tensor, "B Y"]:
    sources = len(ids)
    memory = model.encode(*(each.repeat_interleave(beam, 0) for each in (ids, real)))
    cache = KVCache(max_tokens + 1)
    target = torch.full((sources * beam, 1), end)
    score = torch.full((sources, beam), -math.inf)
    score[:, 0] = 0.0  # all hypotheses of a source begin alike, so only one of them is extended at first
    lengths, ended = torch.zeros(sources, beam), torch.zeros(sources, beam, dtype=torch.bool)
    first = torch.arange(sources)[:, None] * beam
    for _ in range(max_tokens):
        each = model.logits(model.decode(target[:, -1:], memory, cache)[:, -1]).float().log_softmax(-1)
        each = each.view(sources, beam, -1)
        each[ended] = -math.inf
        each[..., end][ended] = 0.0
        size = each.size(-1)
        score, chosen = (score[..., None] + each).flatten(1).topk(beam)
        before = chosen // size
        lengths, ended = lengths.gather(1, before), ended.gather(1, before)
        lengths = lengths + ~ended
        ended = ended | (chosen % size == end)
        rows = (first + before).flatten()
        cache.keep(rows)
        target = torch.cat([target[rows], (chosen % size).view(-1, 1)], 1)
        if ended.all():
            break
    best = (score / lengths).argmax(1)
    return target.view(sources, beam, -1)[torch.arange(sources), best, 1:]


def until(ids: Sequence[int], end: int) -> list[int]:
    """Return ids up to the first `end`, without it."""
    return list(ids[: ids.index(end)]) if end in ids else list(ids)
