"""Memory for the cache of many texts: blocks of what layers keep, such as keys and values, a few positions each."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scratchlm.model.decoder import Decoder

BLOCK = 32
"""Positions of a block."""


class Blocks:
    """Memory for what all layers cache.

    On a CPU the system gives the memory of a block when it is first written. On other devices all of it is taken, so
    `grow` there as texts do.
    """

    def __init__(self, decoder: Decoder, count: int, dtype: torch.dtype = torch.float32) -> None:
        self.count, self.dtype, self.device = count, dtype, decoder.device
        self.cached = [attention.cached for attention in decoder.attentions]
        """What each layer keeps of a position."""
        self._place(self._zeros(count))

    def _zeros(self, count: int) -> Tensor:
        """Return memory for blocks, a row each: what all layers keep of its positions lies together.

        So a text takes the memory of its own blocks, however large the system's pages are.
        """
        size = sum(math.prod(each.of_block(BLOCK)) for layer in self.cached for each in layer)
        if self.device.type == "cpu" and self.dtype == torch.float32:
            return torch.from_numpy(np.zeros((count, size), np.float32))  # torch's own zeros are written at once
        return torch.zeros((count, size), device=self.device, dtype=self.dtype)

    def _place(self, memory: Tensor) -> None:
        self._memory, at = memory, 0
        self.tensors: list[list[Tensor]] = []
        """Of each layer, the parts of all blocks: they lie `block_size` numbers apart."""
        for layer in self.cached:
            self.tensors.append([])
            for each in layer:
                shape = each.of_block(BLOCK)
                self.tensors[-1].append(torch.unflatten(memory[:, at : at + math.prod(shape)], 1, shape))
                at += math.prod(shape)

    @property
    def block_size(self) -> int:
        """Numbers of a block, those of all layers."""
        return self._memory.size(1)

    def grow(self, count: int) -> None:
        """Hold `count` blocks; what the first ones hold is kept, elsewhere in memory."""
        larger = self._zeros(count)
        larger[: self.count] = self._memory
        self._place(larger)
        self.count = count

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a block to another."""
        for layer, tensors in zip(self.cached, self.tensors, strict=True):
            for each, tensor in zip(layer, tensors, strict=True):
                dim = 2 if each.positions_last else 1
                tensor[target].narrow(dim, 0, positions).copy_(tensor[source].narrow(dim, 0, positions))

    def clear(self, block: int) -> None:
        """Set a block to zero, as where a model that diverged left NaN, which would reach those that pass over it."""
        self._memory[block] = 0.0
