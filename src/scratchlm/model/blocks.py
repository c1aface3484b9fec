"""Memory for the cache of many texts: blocks of what layers keep, such as keys and values, a few positions each."""

from __future__ import annotations

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
        self.tensors = [[self._zeros(count, *each.of_block(BLOCK)) for each in layer] for layer in self.cached]
        """Of each layer; all blocks of one kind lie in one tensor."""

    def _zeros(self, *shape: int) -> Tensor:
        if self.device.type == "cpu" and self.dtype == torch.float32:
            return torch.from_numpy(np.zeros(shape, np.float32))  # torch's own zeros are written at once
        return torch.zeros(shape, device=self.device, dtype=self.dtype)

    def grow(self, count: int) -> None:
        """Hold `count` blocks; what the first ones hold is kept, elsewhere in memory."""
        for tensors in self.tensors:
            for place, tensor in enumerate(tensors):
                larger = self._zeros(count, *tensor.shape[1:])
                larger[: self.count] = tensor
                tensors[place] = larger
        self.count = count

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a block to another."""
        for layer, tensors in zip(self.cached, self.tensors, strict=True):
            for each, tensor in zip(layer, tensors, strict=True):
                dim = 2 if each.positions_last else 1
                tensor[target].narrow(dim, 0, positions).copy_(tensor[source].narrow(dim, 0, positions))

    def clear(self, block: int) -> None:
        """Set a block to zero, as where a model that diverged left NaN, which would reach those that pass over it."""
        for tensors in self.tensors:
            for tensor in tensors:
                tensor[block] = 0.0
