"""Attention heads: which there are, how some are ablated, and induction scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.trace import attention_maps
from scratchlm.model.decoder import Decoder

Head = tuple[int, int]
"""(layer, head), both from 0."""


def all_heads(decoder: Decoder) -> list[Head]:
    """Return every head of a decoder."""
    return [(layer, head) for layer in range(decoder.config.layers) for head in range(decoder.config.attention.heads)]


def require_head(decoder: Decoder, head: Head) -> None:
    """Raise `UserError` for a head that a decoder lacks."""
    layers, heads = decoder.config.layers, decoder.config.attention.heads
    if not (0 <= head[0] < layers and 0 <= head[1] < heads):
        raise UserError(f"head {head[1]} of layer {head[0]}: layers are 0 to {layers - 1}, heads 0 to {heads - 1}")


def ablated(heads: Collection[Head]) -> list[Edit]:
    """Return the edits that ablate heads: their output is zero, and others compute as before."""
    layers = sorted({layer for layer, _ in heads})
    return [
        Edit.zero(f"blocks.{at}.attn.hook_z", heads=[head for layer, head in heads if layer == at]) for at in layers
    ]


@torch.no_grad()
def induction_scores(
    decoder: Decoder, ids: Int[Tensor, "B T"], period: int, edit: Sequence[Edit] = ()
) -> dict[Head, float]:
    """Return the induction score of each head on a text that repeats every `period` tokens.

    It is the mean attention from each position after the first period to the position `period - 1` before it, the token
    that followed the last occurrence (Olsson et al. 2022, "In-context learning and induction heads", arXiv 2209.11895).
    """
    maps = attention_maps(decoder, ids, edit)
    places = torch.arange(period, ids.size(1))
    return {
        (layer, head): float(maps[layer][:, head, places, places - period + 1].mean())
        for layer, head in all_heads(decoder)
    }
