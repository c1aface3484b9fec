"""What single attention heads look at, and what is lost without them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.attention import Visibility, visible
from scratchlm.model.decoder import Decoder

Head = tuple[int, int]
"""A layer, and a head in it, both from 0."""


def all_heads(decoder: Decoder) -> list[Head]:
    """Return every head of a decoder."""
    return [(layer, head) for layer in range(decoder.config.layers) for head in range(decoder.config.attention.heads)]


@torch.no_grad()
def attention_maps(decoder: Decoder, ids: Int[Tensor, "B T"]) -> list[Float[Tensor, "B H T T"]]:
    """Return for each layer how much each position looks at each: rows sum to 1, nothing later is looked at.

    Costs B * H * T * T numbers a layer. For models without a softcap on their scores.
    """
    assert decoder.config.attention.softcap is None, "scores with a softcap are others"
    found: list[Tensor] = []

    def watching(module: Any) -> Any:
        plain = module._attend

        def attend(q: Tensor, k: Tensor, v: Tensor, visibility: Visibility) -> Tensor:
            keys = k.repeat_interleave(q.size(1) // k.size(1), dim=1)
            scores = (q @ keys.transpose(-2, -1)).float() / math.sqrt(q.size(-1))
            mask = visibility.mask
            if mask is None:
                mask = visible(q.size(2), k.size(2), None, None, q.device)
            found.append(scores.masked_fill(~(mask[:, None] if mask.dim() == 3 else mask), -math.inf).softmax(-1))
            answer: Tensor = plain(q, k, v, visibility)
            return answer

        return attend

    layers: list[Any] = [block.attention for block in decoder.blocks]
    decoder.eval()
    for layer in layers:
        layer._attend = watching(layer)
    try:
        decoder.hidden(ids)
    finally:
        for layer in layers:
            del layer._attend
    return found


@contextlib.contextmanager
def without_heads(decoder: Decoder, heads: Collection[Head]) -> Iterator[None]:
    """Silence heads while the context lasts: what they found is not passed on. Others compute as before."""
    width = decoder.config.attention.head_dim
    blocks: Any = decoder.blocks
    matrices: dict[int, Tensor] = {layer: blocks[layer].attention.output.weight for layer, _ in heads}
    kept = {layer: matrix.detach().clone() for layer, matrix in matrices.items()}
    try:
        with torch.no_grad():
            for layer, head in heads:
                matrices[layer][:, head * width : (head + 1) * width] = 0.0
        yield
    finally:
        with torch.no_grad():
            for layer, matrix in matrices.items():
                matrix.copy_(kept[layer])


@torch.no_grad()
def induction_scores(decoder: Decoder, ids: Int[Tensor, "B T"], period: int) -> dict[Head, float]:
    """Return how much each head looks, in a text that repeats every `period` tokens, at what followed the last time.

    The mean attention from each position of the second round on to the place `period - 1` before it (Olsson et al.
    2022, "In-context learning and induction heads", arXiv 2209.11895).
    """
    maps = attention_maps(decoder, ids)
    places = torch.arange(period, ids.size(1))
    return {
        (layer, head): float(maps[layer][:, head, places, places - period + 1].mean())
        for layer, head in all_heads(decoder)
    }
