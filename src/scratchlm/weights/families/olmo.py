"""OLMo 2 (arXiv 2501.00656): norms after attention and MLP, and QK norms over all heads together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import read_common, write_common

NORMS = (
    inside("post_attention_layernorm.weight", "attention_out_norm.weight"),
    inside("post_feedforward_layernorm.weight", "feed_forward_out_norm.weight"),
)


def read(fields: Fields) -> DecoderConfig:
    """Convert a config.json to a `DecoderConfig`."""
    fields.only("clip_qkv", None)
    config, bias = read_common(fields, eps=1e-5), fields.truth("attention_bias", False)
    attention = replace(config.attention, qk_norm=True, qk_norm_span="all", bias=bias, output_bias=bias)
    return replace(config, norm_places="after", attention=attention)


def write(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a config.json."""
    return {**write_common(config), "attention_bias": config.attention.bias}


OLMO2 = Family("olmo2", "Olmo2ForCausalLM", (*EMBEDDING, *NORMS, *ATTENTION, *QK_NORM, *GATED, *END), read, write)
