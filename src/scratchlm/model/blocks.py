"""Memory for the cache of many texts: blocks of keys and values, a few positions each."""

from __future__ import annotations

import torch

from scratchlm.model.decoder import Decoder

BLOCK = 32
"""Positions of a block."""


class Blocks:
    """Memory for the keys and values of all layers. The system gives it when it is first written."""

    def __init__(self, decoder: Decoder, count: int) -> None:
        attention, device = decoder.config.attention, decoder.device
        heads, size = attention.kv_heads, attention.head_dim
        self.count = count
        self.keys = [torch.zeros(count, heads, size, BLOCK, device=device) for _ in decoder.blocks]
        """Of each layer, with the positions last: a query meets many of them at once."""
        self.values = [torch.zeros(count, heads, BLOCK, size, device=device) for _ in decoder.blocks]

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a block to another."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[target, :, :, :positions] = keys[source, :, :, :positions]
            values[target, :, :positions] = values[source, :, :positions]
