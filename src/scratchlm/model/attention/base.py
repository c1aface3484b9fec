"""What the rest of the package asks of an attention, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.scaled_dot_product import (
    Keys,
    Mixed,
    Queries,
    Values,
    attention_scores,
    fused_attention,
    naive_attention,
    weighted,
)
from scratchlm.model.cache import Cache
from scratchlm.model.hook import PATTERN, RESULT, SCORES, LayerHook
from scratchlm.model.kernels import blocked_attention
from scratchlm.model.masks import Mask
from scratchlm.model.positions import Rotation
from scratchlm.model.quantized import QuantizedLinear, round_inputs


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
    hook: LayerHook | None = None
    """What looks at the values of this layer."""

    def show(self, name: str, value: Tensor) -> Tensor:
        """Show a value to the hook, if there is one; return what takes its place."""
        return value if self.hook is None else self.hook(name, value)


def show_heads(context: AttentionContext, name: str, value: Float[Tensor, "B H T E"]) -> Float[Tensor, "B H T E"]:
    """Show the vectors of heads as (B, T, H, E), so that the positions of all values are on the same axis."""
    if context.hook is None:
        return value
    shown = value.transpose(1, 2)
    edited = context.hook(name, shown)
    return value if edited is shown and not torch.is_grad_enabled() else edited.transpose(1, 2)


def project_back(
    output: nn.Module, mixed: Float[Tensor, "B H T F"], context: AttentionContext | None = None
) -> Float[Tensor, "B T D"]:
    """Join what the heads mixed and project it back to the stream; a hook may see and change each head's part."""
    joined = mixed.transpose(1, 2).flatten(2)  # (B, T, H * F)
    projected: Tensor = output(joined)
    if context is None or context.hook is None or not context.hook.wants(RESULT):
        return projected
    computed, bias = _results(output, joined, mixed.size(1))
    edited = context.hook(RESULT, computed)
    if edited is computed and not torch.is_grad_enabled():  # where values are differentiated, those that were shown
        return projected
    return edited.sum(2) + bias


def _results(output: nn.Module, joined: Float[Tensor, "B T I"], heads: int) -> tuple[Float[Tensor, "B T H D"], Tensor]:
    """Return what each head adds: the projection where others give nothing, its bias taken off; and that bias."""
    linear: Callable[[Tensor], Tensor] = output
    if isinstance(output, QuantizedLinear):  # it rounds groups of inputs, and a group may hold more than one head
        joined, linear = round_inputs(joined), partial(F.linear, weight=output.weight, bias=output.bias)
    bias = linear(torch.zeros_like(joined[:1, :1]))
    width = joined.size(-1) // heads
    results = []
    for head in range(heads):
        alone = torch.zeros_like(joined)
        own = slice(head * width, (head + 1) * width)
        alone[..., own] = joined[..., own]
        results.append(linear(alone) - bias)
    return torch.stack(results, 2), bias


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

    def mix(self, q: Queries, k: Keys, v: Values, context: AttentionContext) -> Mixed:
        """Return what `attend` does; a hook gets scores, weights and sums on the way, and may change each."""
        hook = context.hook
        if hook is None:
            return self.attend(q, k, v, context)
        if context.rotation is not None:
            q, k = show_heads(context, "attn.hook_rot_q", q), show_heads(context, "attn.hook_rot_k", k)
        mixed = self.attend(q, k, v, context)
        if hook.wants(SCORES) or hook.wants(PATTERN):
            computed, unseen, edited = self._pattern(q, k, v, context, hook)
            pattern = hook(PATTERN, computed)
            if edited or pattern is not computed or torch.is_grad_enabled():
                mixed = weighted(pattern.masked_fill(unseen, 0.0), v)
        return show_heads(context, "attn.hook_z", mixed)

    def _pattern(
        self, q: Queries, k: Keys, v: Values, context: AttentionContext, hook: LayerHook
    ) -> tuple[Float[Tensor, "B H T S"], Bool[Tensor, "B H T S"], bool]:
        """Return the weights by which `attend` mixes values, what a query may not see, and whether scores were edited.

        An edit changes the weight of keys that a query may see; others keep none.
        """
        if type(self).attend is not Attention.attend:
            # Where the value of each key is a vector of its own axis, what is mixed of the values is the weights.
            each = torch.eye(k.size(2), dtype=v.dtype, device=v.device).expand(*k.shape[:3], -1)
            weights = self.attend(q, k, each, context).float()
            return weights, weights == 0, False
        computed = attention_scores(q, k, context.mask, causal=context.causal, softcap=self.softcap)
        scores = hook(SCORES, computed)
        unseen = computed == -torch.inf
        return scores.float().masked_fill(unseen, -torch.inf).softmax(-1), unseen, scores is not computed

    def attend(self, q: Queries, k: Keys, v: Values, context: AttentionContext) -> Mixed:
        """Mix the values that each query may see, by the fastest form that fits."""
        if self.naive or self.softcap is not None:
            return naive_attention(q, k, v, context.mask, causal=context.causal, softcap=self.softcap)
        plain = context.mask is None and context.causal and context.cache is None
        if plain and q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.size(-1) == v.size(-1):
            return blocked_attention(q, k, v)
        return fused_attention(q, k, v, context.mask, causal=context.causal)
