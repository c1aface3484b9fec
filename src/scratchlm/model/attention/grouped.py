"""Multi-head and grouped-query attention: query heads that share the heads of keys and values."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.base import Attention, AttentionContext, Cached, project_back
from scratchlm.model.cache import Appended
from scratchlm.model.config import DecoderConfig, RMSNormConfig, ValueEmbeddingConfig, grouped
from scratchlm.model.norms import RMSNorm
from scratchlm.model.positions import rotate


class ValueEmbedding(nn.Module):
    """Look up a value for each token, a gate times a row of a table (see `ValueEmbeddingConfig`)."""

    def __init__(self, config: DecoderConfig, values: ValueEmbeddingConfig) -> None:
        super().__init__()
        attention = grouped(config)
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
        self.config = attention = grouped(config)
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


class GroupedQueryAttention(Projections, Attention):
    """Project to queries, keys and values, attend, project back."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        attention = grouped(config)
        super().__init__(config, bias=attention.bias, output_bias=attention.output_bias)
        self.window = None if layer in attention.global_layers else attention.window
        self.softcap, self.naive = attention.softcap, attention.implementation == "naive"
        every_second = (config.layers - 1 - layer) % 2 == 0  # counted from the last layer, which needs it most
        values = config.values if isinstance(config.values, ValueEmbeddingConfig) and every_second else None
        self.value_embedding = None if values is None else ValueEmbedding(config, values)
        self.query_norm, self.key_norm = (_qk_norm(config, heads) for heads in (attention.heads, attention.kv_heads))

    @property
    def cached(self) -> tuple[Cached, ...]:
        """Keys, then values."""
        heads, size = self.config.kv_heads, self.config.head_dim
        return Cached(heads, size, positions_last=True), Cached(heads, size)

    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Mix information between positions; the shape is kept."""
        config = self.config
        q = self._normed(context.show("attn.hook_q", self.heads(self.query(x))), self.query_norm)
        k = self._normed(context.show("attn.hook_k", self.heads(self.key(x))), self.key_norm)
        v = self.heads(self.value(x))
        if self.value_embedding is not None and context.ids is not None:
            v = v + self.value_embedding(x, context.ids).to(v.dtype)
        v = context.show("attn.hook_v", v)
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
        return project_back(self.output, self.mix(q, k, v, context), context)

    def _normed(self, x: Float[Tensor, "B T heads E"], norm: RMSNorm | None) -> Float[Tensor, "B T heads E"]:
        """Normalise each head, or all together, unless that waits for the rotation."""
        if norm is None or self.config.qk_norm_rotated:
            return x
        return self.heads(norm(x.flatten(2))) if self.config.qk_norm_span == "all" else norm(x)


def _qk_norm(config: DecoderConfig, heads: int) -> RMSNorm | None:
    """Build the norm of queries or keys; stored as the other norms are."""
    attention = grouped(config)
    if not attention.qk_norm:
        return None
    span = attention.head_dim * (heads if attention.qk_norm_span == "all" else 1)
    like = config.norm if isinstance(config.norm, RMSNormConfig) else RMSNormConfig()
    return RMSNorm(span, replace(like, weight=attention.qk_norm_weight))
