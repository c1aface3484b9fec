"""The key-value cache: what earlier positions computed, kept so that a new token costs one position, not all."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.config import DecoderConfig


class KVCache:
    """Keys and values of every layer for `batch` rows and up to `capacity` positions, allocated once.

    `length` is the only place where the position lives: the decoder reads it to number new tokens and calls
    `advance` once all layers have stored theirs. Memory: 2 * L * B * K * capacity * E numbers.
    """

    def __init__(
        self,
        config: DecoderConfig,
        batch: int,
        *,
        capacity: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        attention = config.attention
        self.capacity = capacity or config.context
        self.length = 0
        shape = (config.layers, batch, attention.kv_heads, self.capacity, attention.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.ids = torch.empty((batch, self.capacity), dtype=torch.int64, device=device)

    def append(
        self, layer: int, keys: Float[Tensor, "B K T E"], values: Float[Tensor, "B K T E"]
    ) -> tuple[Float[Tensor, "B K S E"], Float[Tensor, "B K S E"]]:
        """Store one layer's new keys and values after `length` and return views of all so far, S = length + T."""
        end = self.length + keys.size(2)
        assert end <= self.capacity, f"cache of {self.capacity} positions asked to hold {end}"
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def remember(self, ids: Int[Tensor, "B T"]) -> Int[Tensor, "B S"]:
        """Store the new tokens after `length` and return all so far."""
        end = self.length + ids.size(1)
        self.ids[:, self.length : end] = ids
        return self.ids[:, :end]

    def advance(self, positions: int) -> None:
        """Move on by `positions` once every layer has appended them."""
        self.length += positions

    def clear(self) -> None:
        """Forget everything; the memory is kept for reuse."""
        self.length = 0
