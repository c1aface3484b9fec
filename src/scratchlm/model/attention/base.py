"""What the rest of the package asks of an attention, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.scaled_dot_product import (
    Keys,
    Mixed,
    Queries,
    Values,
    fused_attention,
    naive_attention,
)
from scratchlm.model.cache import Cache
from scratchlm.model.kernels import blocked_attention
from scratchlm.model.masks import Mask
from scratchlm.model.positions import Rotation


@dataclass(frozen=True)
class AttentionContext:
    """What all layers of one forward pass share: the tokens, rotations, the mask, the cache.

    `mask` is None where the plain causal triangle (or, for a single new token, everything) is meant, so that the
    fused kernel needs no mask tensor; `causal` says which of the two.
    """

    ids: Int[Tensor, "B T"] | None = None
    rotation: Rotation | None = None
    mask: Mask | None = None
    causal: bool = True
    cache: Cache | None = None


class Cached(NamedTuple):
    """A tensor (B, heads, positions, size) that a cache keeps of a text; in a block of many texts the same of one."""

    heads: int
    size: int
    positions_last: bool = False
    """Whether a block of the engine's cache holds it as (heads, size, positions): a query meets many keys at once."""

    def of_block(self, positions: int) -> tuple[int, int, int]:
        """Return its shape in a block of so many positions."""
        return (self.heads, self.size, positions) if self.positions_last else (self.heads, positions, self.size)


class Attention(nn.Module, ABC):
    """Mixes information between positions. A kind says what it caches; caches and counts ask it."""

    window: int | None = None
    """How many positions back a query of this layer sees, itself included; None: all."""
    softcap: float | None = None
    """What scores are capped at; None: nothing."""
    naive = False
    """Whether every step of the sum is written out."""

    @property
    @abstractmethod
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""

    @property
    @abstractmethod
    def cached(self) -> tuple[Cached, ...]:
        """What a cache keeps of each position, in the order in which `forward` appends it."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Mix information between positions; the shape is kept."""

    @property
    def cache_numbers(self) -> int:
        """Numbers that a cache keeps of one token."""
        return sum(each.heads * each.size for each in self.cached)

    def keys_seen(self, length: int) -> float:
        """Return how many keys a token of a text of `length` sees on average: half, or w - w^2 / (2 length)."""
        span = min(length, self.window or length)
        return span * (1 - span / (2 * length))

    def attend(self, q: Queries, k: Keys, v: Values, context: AttentionContext) -> Mixed:
        """Mix the values that each query may see, by the fastest form that fits."""
        if self.naive or self.softcap is not None:
            return naive_attention(q, k, v, context.mask, causal=context.causal, softcap=self.softcap)
        plain = context.mask is None and context.causal and context.cache is None
        if plain and q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.size(-1) == v.size(-1):
            return blocked_attention(q, k, v)
        return fused_attention(q, k, v, context.mask, causal=context.causal)
