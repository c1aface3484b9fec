"""Memory for the cache of many texts: blocks of keys and values, a few positions each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scratchlm.model.decoder import Decoder

BLOCK = 32
"""Positions of a block."""


class Blocks:
    """Memory for the keys and values of all layers.

    On a CPU the system gives the memory of a block when it is first written. On other devices all of it is taken, so
    `grow` there as texts do.
    """

    def __init__(self, decoder: Decoder, count: int, dtype: torch.dtype = torch.float32) -> None:
        attention, self.device = decoder.config.attention, decoder.device
        heads, size = attention.kv_heads, attention.head_dim
        self.count, self.dtype = count, dtype
        self.keys = [self._zeros(count, heads, size, BLOCK) for _ in decoder.blocks]
        """Of each layer, with the positions last: a query meets many of them at once."""
        self.values = [self._zeros(count, heads, BLOCK, size) for _ in decoder.blocks]

    def _zeros(self, *shape: int) -> Tensor:
        if self.device.type == "cpu" and self.dtype == torch.float32:
            return torch.from_numpy(np.zeros(shape, np.float32))  # torch's own zeros are written at once
        return torch.zeros(shape, device=self.device, dtype=self.dtype)

    def grow(self, count: int) -> None:
        """Hold `count` blocks; what the first ones hold is kept, elsewhere in memory."""
        for tensors in (self.keys, self.values):
            for layer, tensor in enumerate(tensors):
                larger = self._zeros(count, *tensor.shape[1:])
                larger[: self.count] = tensor
                tensors[layer] = larger
        self.count = count

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a block to another."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[target, :, :, :positions] = keys[source, :, :, :positions]
            values[target, :, :positions] = values[source, :, :positions]

    def clear(self, block: int) -> None:
        """Set a block to zero, as where a model that diverged left NaN, which would reach those that pass over it."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[block], values[block] = 0.0, 0.0
