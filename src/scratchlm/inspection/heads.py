"""Attention heads: their attention maps, ablation of heads, and induction scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.base import Attention, AttentionContext
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import with_own_modules
from scratchlm.model.masks import causal_mask

Head = tuple[int, int]
"""(layer, head), both from 0."""


def all_heads(decoder: Decoder) -> list[Head]:
    """Return every head of a decoder."""
    return [(layer, head) for layer in range(decoder.config.layers) for head in range(decoder.config.attention.heads)]


@torch.no_grad()
def attention_maps(decoder: Decoder, ids: Int[Tensor, "B T"]) -> list[Float[Tensor, "B H T T"]]:
    """Return the attention weights of each layer, (B, H, T, T): query by key; rows sum to 1, later keys have 0.

    `ids` are those of a text, such as `torch.tensor([model.prompt_ids("Once upon a time")])`, and `decoder` is
    `model.decoder`. Needs memory for B * H * T * T numbers a layer. An attention of your own that overrides
    `Attention.attend` is asked for its weights: it must be a weighted sum of the values. The decoder is unchanged.
    """
    maps: list[Tensor] = []

    def watching(plain: Callable[..., Tensor], capped: bool) -> Callable[..., Tensor]:
        def attend_own(q: Tensor, k: Tensor, v: Tensor, context: AttentionContext) -> Tensor:
            # Where the value of each key is a vector of its own axis, what is mixed of the values is the weights.
            each = torch.eye(k.size(2), dtype=v.dtype, device=v.device).expand(*k.shape[:3], -1)
            maps.append(plain(q, k, each, context).float())
            return plain(q, k, v, context)

        def attend(q: Tensor, k: Tensor, v: Tensor, context: AttentionContext) -> Tensor:
            keys = k.repeat_interleave(q.size(1) // k.size(1), dim=1)
            scores = (q @ keys.transpose(-2, -1)).float() / math.sqrt(q.size(-1))
            mask = causal_mask(q.size(2), k.size(2), None, None, q.device) if context.mask is None else context.mask
            maps.append(scores.masked_fill(~mask, -math.inf).softmax(-1))
            return plain(q, k, v, context)

        return attend if getattr(plain, "__func__", None) is Attention.attend and not capped else attend_own

    watched = with_own_modules(decoder).eval()
    for block in watched.blocks:
        layer: Any = block.attention
        layer.attend = watching(layer.attend, layer.softcap is not None)
    watched.hidden(ids)
    return maps


@torch.no_grad()
def without_heads(decoder: Decoder, heads: Collection[Head]) -> Decoder:
    """Return a decoder with ablated heads: their output is zero. Other heads compute as before.

    It shares the tensors of the given decoder, which is unchanged, except the output projections of ablated heads.
    """
    silenced, width = with_own_modules(decoder), decoder.config.attention.value_dim
    blocks: Any = silenced.blocks
    for layer in {layer for layer, _ in heads}:
        output = blocks[layer].attention.output
        output.weight = nn.Parameter(output.weight.detach().clone())
    for layer, head in heads:
        blocks[layer].attention.output.weight[:, head * width : (head + 1) * width] = 0.0
    return silenced


@torch.no_grad()
def induction_scores(decoder: Decoder, ids: Int[Tensor, "B T"], period: int) -> dict[Head, float]:
    """Return the induction score of each head on a text that repeats every `period` tokens.

    It is the mean attention from each position after the first period to the position `period - 1` before it, the token
    that followed the last occurrence (Olsson et al. 2022, "In-context learning and induction heads", arXiv 2209.11895).
    """
    maps = attention_maps(decoder, ids)
    places = torch.arange(period, ids.size(1))
    return {
        (layer, head): float(maps[layer][:, head, places, places - period + 1].mean())
        for layer, head in all_heads(decoder)
    }
