"""Phi-3 (arXiv 2404.14219): Llama with queries, keys and values in one tensor, gate and up in another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig, RopeConfig
from scratchlm.weights.families.family import EMBEDDING, END, NORMS_BEFORE, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import read_common, write_common

FUSED = (
    inside("self_attn.qkv_proj.weight", "attention.query.weight", "attention.key.weight", "attention.value.weight"),
    inside("self_attn.o_proj.weight", "attention.output.weight"),
    inside("mlp.gate_up_proj.weight", "feed_forward.gate.weight", "feed_forward.up.weight"),
    inside("mlp.down_proj.weight", "feed_forward.down.weight"),
)


def read(fields: Fields) -> DecoderConfig:
    """Convert a config.json to a `DecoderConfig`."""
    config = read_common(fields, context=4096, eps=1e-5)
    return replace(config, attention=replace(config.attention, window=fields.window()))


def write(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a config.json."""
    share = config.positions.partial_rotary_factor if isinstance(config.positions, RopeConfig) else 1.0
    return {
        **write_common(config),
        "sliding_window": config.attention.window,
        "partial_rotary_factor": share,
        "pad_token_id": None,  # transformers' default is outside a small vocabulary
    }


PHI3 = Family("phi3", "Phi3ForCausalLM", (*EMBEDDING, *NORMS_BEFORE, *FUSED, *END), read, write)
