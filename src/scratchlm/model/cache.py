"""The key-value cache: what earlier positions computed, kept so that a new token costs one position, not all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.config import DecoderConfig

FIRST_ROOM = 512
"""Positions that a new cache has memory for."""


class KVCache:
    """Keys and values of every layer for `batch` rows and up to `capacity` positions.

    `length` is the only place where the position lives: the decoder reads it to number new tokens and calls
    `advance` once all layers have stored theirs. Memory is taken as texts grow, doubled each time, up to
    2 * L * B * K * capacity * E numbers: a published model's context would fill many a machine.

    Rows of different lengths are filled up in front: `starts` then holds the place of each row's first own token, and
    nothing before it is seen or counted.
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
        self.starts: Int[Tensor, " B"] | None = None
        room = min(self.capacity, FIRST_ROOM)
        shape = (config.layers, batch, attention.kv_heads, room, attention.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.ids = torch.empty((batch, room), dtype=torch.int64, device=device)

    def append(
        self, layer: int, keys: Float[Tensor, "B K T E"], values: Float[Tensor, "B K T E"]
    ) -> tuple[Float[Tensor, "B K S E"], Float[Tensor, "B K S E"]]:
        """Store one layer's new keys and values after `length` and return views of all so far, S = length + T."""
        end = self.length + keys.size(2)
        self._reserve(end)
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def remember(self, ids: Int[Tensor, "B T"]) -> Int[Tensor, "B S"]:
        """Store the new tokens after `length` and return all so far."""
        end = self.length + ids.size(1)
        self._reserve(end)
        self.ids[:, self.length : end] = ids
        return self.ids[:, :end]

    def _reserve(self, end: int) -> None:
        """Make room for `end` positions, keeping what is stored."""
        assert end <= self.capacity, f"cache of {self.capacity} positions asked to hold {end}"
        room = self.keys.size(3)
        if end <= room:
            return
        more = min(self.capacity, max(end, 2 * room)) - room
        self.keys, self.values = (F.pad(part, (0, 0, 0, more)) for part in (self.keys, self.values))
        self.ids = F.pad(self.ids, (0, more))

    def advance(self, positions: int) -> None:
        """Move on by `positions` once every layer has appended them."""
        self.length += positions

    def keep(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.ids = self.ids[rows]
        self.starts = None if self.starts is None else self.starts[rows]

    def clear(self) -> None:
        """Forget everything; the memory is kept for reuse."""
        self.length = 0
