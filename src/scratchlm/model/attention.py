"""Causal self-attention: each position takes a weighted sum of the values at positions it may see.

`naive_attention` writes every step out; `fused_attention` is torch's one-call form of the same sum, and
`kernels.blocked_attention` the form that trains fastest in bf16 on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.cache import Appended, Cache
from scratchlm.model.config import DecoderConfig, RMSNormConfig, ValueEmbeddingConfig
from scratchlm.model.kernels import blocked_attention
from scratchlm.model.masks import Mask, causal_mask
from scratchlm.model.norms import RMSNorm
from scratchlm.model.positions import Rotation, rotate

Queries = Float[Tensor, "B H T E"]
Keys = Float[Tensor, "B K S E"]
"""Keys of each key-value head."""
Values = Float[Tensor, "B K S F"]
"""Values of each key-value head; they need not be as wide as its keys."""
Mixed = Float[Tensor, "B H T F"]


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


def naive_attention(
    q: Queries, k: Keys, v: Values, mask: Mask | None, *, causal: bool, softcap: float | None = None
) -> Mixed:
    """Scaled dot-product attention, step by step (Vaswani et al. 2017, arXiv 1706.03762, equation 1).

    Costs B * H * T * S numbers of memory for the scores, which the fused form avoids.
    """
    group = q.size(1) // k.size(1)
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T, S)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and causal:
        mask = causal_mask(q.size(2), k.size(2), None, None, q.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores.float(), dim=-1).to(v.dtype) @ v


def fused_attention(q: Queries, k: Keys, v: Values, mask: Mask | None, *, causal: bool) -> Mixed:
    """Compute the same sum in one kernel that never stores the scores."""
    is_causal, grouped = causal and mask is None, q.size(1) != k.size(1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=grouped)


class ValueEmbedding(nn.Module):
    """Look up a value for each token, a gate times a row of a table (see `ValueEmbeddingConfig`)."""

    def __init__(self, config: DecoderConfig, values: ValueEmbeddingConfig) -> None:
        super().__init__()
        attention = config.attention
        self.channels = min(values.gate_channels, config.width)
        self.table = nn.Embedding(config.vocabulary_size, attention.kv_heads * attention.head_dim)
        self.gate = nn.Linear(self.channels, attention.kv_heads, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T K E"]:
        """Return what is added to the values."""
        gate = 2.0 * torch.sigmoid(self.gate(x[..., : self.channels]))  # (B, T, K)
        return gate[..., None] * self.table(ids).unflatten(-1, (gate.size(-1), -1))


class Projections(nn.Module):
    """The four matrices of an attention: to queries, keys and values, and back to the stream."""

    def __init__(self, config: DecoderConfig, *, bias: bool = False, output_bias: bool = False) -> None:
        super().__init__()
        self.config = attention = config.attention
        inside, shared = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
        self.query = nn.Linear(config.width, inside, bias=bias)
        self.key = nn.Linear(config.width, shared, bias=bias)
        self.value = nn.Linear(config.width, shared, bias=bias)
        self.output = nn.Linear(inside, config.width, bias=output_bias)

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""
        return self.output.weight

    def heads(self, x: Float[Tensor, "B T N"]) -> Float[Tensor, "B T heads E"]:
        """Split the channels into heads."""
        return x.view(*x.shape[:-1], -1, self.config.head_dim)

    def joined(self, mixed: Float[Tensor, "B H T E"]) -> Float[Tensor, "B T D"]:
        """Join what the heads mixed and project it back."""
        return self.output(mixed.transpose(1, 2).flatten(2))


class Attention(Projections):
    """Project to queries, keys and values, attend, project back (multi-head or grouped-query)."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        attention = config.attention
        super().__init__(config, bias=attention.bias, output_bias=attention.output_bias)
        self.window = None if layer in attention.global_layers else attention.window
        """How many positions back a query of this layer sees, itself included; None: all."""
        every_second = (config.layers - 1 - layer) % 2 == 0  # counted from the last layer, which needs it most
        values = config.values if isinstance(config.values, ValueEmbeddingConfig) and every_second else None
        self.value_embedding = None if values is None else ValueEmbedding(config, values)
        self.query_norm, self.key_norm = _qk_norm(config, attention.heads), _qk_norm(config, attention.kv_heads)

    @property
    def cache_numbers(self) -> int:
        """Numbers that a cache keeps of one token."""
        return 2 * self.config.kv_heads * self.config.head_dim

    def keys_seen(self, length: int) -> float:
        """Return how many keys a token of a text of `length` sees on average: half, or w - w^2 / (2 length)."""
        span = min(length, self.window or length)
        return span * (1 - span / (2 * length))

    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Mix information between positions; the shape is kept."""
        config = self.config
        q, k = self._normed_heads(self.query(x), self.query_norm), self._normed_heads(self.key(x), self.key_norm)
        v = self.heads(self.value(x))
        if self.value_embedding is not None and context.ids is not None:
            v = v + self.value_embedding(x, context.ids).to(v.dtype)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, E), (B, K, T, E) twice
        if context.rotation is not None:
            q, k = rotate(q, context.rotation), rotate(k, context.rotation)
        if config.qk_norm_rotated and self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if config.query_scale is not None:  # what follows divides by the root of the head's width
            q = q * (config.query_scale * math.sqrt(config.head_dim))
        q, k = q.to(v.dtype), k.to(v.dtype)  # under autocast the norms answer in fp32
        if context.cache is not None:
            k, v = context.cache.of(self, Appended).append(k, v)
        return self.joined(self.attend(q, k, v, context))

    def attend(self, q: Queries, k: Keys, v: Values, context: AttentionContext) -> Mixed:
        """Mix the values that each query may see, by the fastest form that fits."""
        if self.config.implementation == "naive" or self.config.softcap is not None:
            return naive_attention(q, k, v, context.mask, causal=context.causal, softcap=self.config.softcap)
        whole = context.mask is None and context.causal and context.cache is None
        if whole and q.device.type == "cpu" and q.dtype == torch.bfloat16:
            return blocked_attention(q, k, v)
        return fused_attention(q, k, v, context.mask, causal=context.causal)

    def _normed_heads(self, x: Float[Tensor, "B T N"], norm: RMSNorm | None) -> Float[Tensor, "B T heads E"]:
        """Split the channels into heads, normalised by a norm of each or of all, unless that waits for the rotation."""
        if norm is None or self.config.qk_norm_rotated:
            return self.heads(x)
        return self.heads(norm(x)) if self.config.qk_norm_span == "all" else norm(self.heads(x))


def _qk_norm(config: DecoderConfig, heads: int) -> RMSNorm | None:
    """Build the norm of queries or keys; stored as the other norms are."""
    attention = config.attention
    if not attention.qk_norm:
        return None
    span = attention.head_dim * (heads if attention.qk_norm_span == "all" else 1)
    like = config.norm if isinstance(config.norm, RMSNormConfig) else RMSNormConfig()
    return RMSNorm(span, replace(like, weight=attention.qk_norm_weight))
