"""The attention of a layer, chosen by the type of its config."""

from __future__ import annotations

from scratchlm.model.attention.base import Attention
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.attention.latent import LatentAttention
from scratchlm.model.config import DecoderConfig, LatentAttentionConfig


def build_attention(config: DecoderConfig, layer: int) -> Attention:
    """Build the attention of a layer, numbered from 0."""
    match config.attention:
        case LatentAttentionConfig() as latent:
            return LatentAttention(config, latent)
        case _:
            return GroupedQueryAttention(config, layer)
