"""Multi-head latent attention: the cache keeps one short vector a position, from which all heads' keys and values come.

DeepSeek-V2 (arXiv 2405.04434, section 2.1). A few channels beside it carry the position and serve all heads.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.attention.base import Attention, AttentionContext, Cached, project_back, show_heads
from scratchlm.model.attention.scaled_dot_product import Mixed, Queries
from scratchlm.model.cache import Appended
from scratchlm.model.config import DecoderConfig, LatentAttentionConfig, RMSNormConfig
from scratchlm.model.norms import RMSNorm
from scratchlm.model.positions import rotate


class LatentAttention(Attention):
    """Compress to a latent vector, expand it to keys and values, attend, project back."""

    def __init__(self, config: DecoderConfig, attention: LatentAttentionConfig) -> None:
        super().__init__()
        self.config, self.naive = attention, attention.implementation == "naive"
        like = config.norm if isinstance(config.norm, RMSNormConfig) else RMSNormConfig()
        rank, shared = attention.query_rank, attention.latent_dim + attention.rope_dim
        self.query_down = None if rank is None else nn.Linear(config.width, rank, bias=False)
        self.query_norm = None if rank is None else RMSNorm(rank, like)
        self.query = nn.Linear(rank or config.width, attention.heads * attention.key_dim, bias=False)
        self.latent = nn.Linear(config.width, shared, bias=False)
        self.latent_norm = RMSNorm(attention.latent_dim, like)
        expanded = attention.heads * (attention.nope_dim + attention.value_dim)
        self.expand = nn.Linear(attention.latent_dim, expanded, bias=False)
        self.output = nn.Linear(attention.heads * attention.value_dim, config.width, bias=False)

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""
        return self.output.weight

    @property
    def cached(self) -> tuple[Cached, ...]:
        """The latent vector and the rotated channels, one after the other."""
        return (Cached(1, self.config.latent_dim + self.config.rope_dim),)

    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Mix information between positions; the shape is kept."""
        config = self.config
        low = x if self.query_down is None or self.query_norm is None else self.query_norm(self.query_down(x))
        q = context.show("attn.hook_q", self.query(low).unflatten(-1, (config.heads, config.key_dim)))
        q = q.transpose(1, 2)  # (B, H, T, N + R)
        unturned, turned = torch.split(q, [config.nope_dim, config.rope_dim], -1)
        latent, shared = self.latent(x).split([config.latent_dim, config.rope_dim], -1)
        latent, shared = self.latent_norm(latent)[:, None], shared[:, None]  # (B, 1, T, C), (B, 1, T, R)
        if context.rotation is not None:
            turned, shared = rotate(turned, context.rotation), rotate(shared, context.rotation)
        q = torch.cat([unturned, turned.to(unturned.dtype)], -1)
        seen = torch.cat([latent.to(q.dtype), shared.to(q.dtype)], -1)
        if context.cache is not None:
            (seen,) = context.cache.of(self, Appended).append(seen)
        # A layer of another class, quantized or adapted, has no plain weight to multiply queries by.
        plain = type(self.expand) is nn.Linear
        absorbed = plain and context.cache is not None and context.hook is None  # a hook sees keys and values
        mixed = self.absorbed(q, seen, context) if absorbed else self.expanded(q, seen, context)
        return project_back(self.output, mixed, context)

    def expanded(self, q: Queries, seen: Float[Tensor, "B 1 S C"], context: AttentionContext) -> Mixed:
        """Make keys and values of each head from the latent vectors, and mix the values: the plain form."""
        config = self.config
        latent, shared = torch.split(seen, [config.latent_dim, config.rope_dim], -1)
        heads = self.expand(latent[:, 0]).unflatten(-1, (config.heads, -1)).transpose(1, 2)
        keys, v = heads.split([config.nope_dim, config.value_dim], -1)
        k = torch.cat([keys, shared.expand(-1, config.heads, -1, -1).to(keys.dtype)], -1)
        k, v = show_heads(context, "attn.hook_k", k), show_heads(context, "attn.hook_v", v)
        return self.mix(q.to(v.dtype), k, v, context)

    def absorbed(self, q: Queries, seen: Float[Tensor, "B 1 S C"], context: AttentionContext) -> Mixed:
        """Multiply queries by what would expand the keys, and mixed latent vectors by what would expand the values.

        The same sum in another order: a step reads each latent vector once, and expands none.
        """
        config = self.config
        weights = torch.unflatten(self.expand.weight, 0, (config.heads, -1))  # (H, N + V, C)
        to_keys, to_values = (each.to(q.dtype) for each in torch.split(weights, [config.nope_dim, config.value_dim], 1))
        plain, turned = torch.split(q, [config.nope_dim, config.rope_dim], -1)
        q = torch.cat([plain @ to_keys, turned], -1)  # (B, H, T, C + R)
        q = q * math.sqrt(q.size(-1) / config.key_dim)  # what follows divides by the root of its width
        mixed = self.attend(q, seen, seen[..., : config.latent_dim], context)  # (B, H, T, C)
        return mixed @ to_values.mT
