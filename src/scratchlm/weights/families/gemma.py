"""Gemma 3, text only (arXiv 2503.19786).

Norms before and after attention and MLP, stored minus one; a sliding window in most layers, with its own RoPE base;
embeddings scaled by the square root of the width.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig, RMSNormConfig, RopeConfig, SwiGLUConfig, grouped
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields, layer_types
from scratchlm.weights.families.llama import read_common, with_attention, write_common

NORMS = (
    inside("input_layernorm.weight", "attention_norm.weight"),
    inside("post_attention_layernorm.weight", "attention_out_norm.weight"),
    inside("pre_feedforward_layernorm.weight", "feed_forward_norm.weight"),
    inside("post_feedforward_layernorm.weight", "feed_forward_out_norm.weight"),
)
GLOBAL_THETA, LOCAL_THETA = 1_000_000.0, 10_000.0
EVERY = 6
"""Every sixth layer has full attention where the file does not say which."""
USUAL = {
    "vocab_size": 262_208,
    "max_position_embeddings": 131_072,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "tie_word_embeddings": True,
}


def _read(fields: Fields) -> DecoderConfig:
    fields.only("hidden_activation", "gelu_pytorch_tanh")
    fields.only("use_bidirectional_attention", False, None)
    config = read_common(fields, None, **USUAL)
    every, bias = fields.integer("sliding_window_pattern", EVERY), fields.truth("attention_bias", False)
    full = fields.full_layers(config.layers)
    config = with_attention(
        config,
        qk_norm=True,
        bias=bias,
        output_bias=bias,
        window=fields.window(default=4096),
        global_layers=tuple(range(every - 1, config.layers, every)) if full is None else full,
        query_scale=fields.number("query_pre_attn_scalar", 256) ** -0.5,
        softcap=fields.number("attn_logit_softcapping", 0.0) or None,
    )
    return replace(
        config,
        norm=RMSNormConfig(eps=config.norm.eps, unit_offset=True),
        norm_places="both",
        positions=_rope(fields, config.context),
        feed_forward=SwiGLUConfig(hidden=config.feed_forward.hidden, activation="gelu_tanh"),
        embedding_scale=math.sqrt(config.width),
        logit_softcap=fields.number("final_logit_softcapping", 0.0) or None,
    )


def _rope(fields: Fields, context: int) -> RopeConfig:
    """Read both bases; newer files have them by kind of layer; scaling is that of the layers with full attention."""
    wide = fields.rope(context, "full_attention", GLOBAL_THETA)
    stored = (fields.data.get("rope_parameters") or {}).get("sliding_attention") or {}
    local = Fields({"rope_local_base_freq": fields.data.get("rope_local_base_freq"), **stored})
    theta = local.number("rope_theta", local.number("rope_local_base_freq", LOCAL_THETA))
    return RopeConfig(theta=wide.theta, scaling=wide.scaling, local_theta=theta)


def _write(config: DecoderConfig) -> dict[str, Any]:
    attention, rope = grouped(config), config.positions
    fields = write_common(config)
    del fields["hidden_act"]
    scale = attention.query_scale or attention.head_dim**-0.5
    return {
        **fields,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": attention.bias,
        "sliding_window": attention.window,
        "layer_types": layer_types(config),
        "query_pre_attn_scalar": _whole(scale**-2),
        "rope_local_base_freq": (isinstance(rope, RopeConfig) and rope.local_theta) or LOCAL_THETA,
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


def _whole(value: float) -> float:
    """Return a value that is a whole number except for rounding as one."""
    return round(value) if math.isclose(value, round(value), rel_tol=1e-9) else value


GEMMA3 = Family(
    "gemma3_text", "Gemma3ForCausalLM", (*EMBEDDING, *NORMS, *ATTENTION, *QK_NORM, *GATED, *END), _read, _write
)
