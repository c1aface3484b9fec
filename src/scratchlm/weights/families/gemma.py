"""Gemma 3, text only (arXiv 2503.19786).

Norms before and after attention and MLP, stored minus one; a sliding window in most layers, with its own RoPE base;
embeddings scaled by the square root of the width.
"""

from __future__ import annotations

import math
from typing import Any

from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig, RopeConfig, SwiGLUConfig
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import write_common

NORMS = (
    inside("input_layernorm.weight", "attention_norm.weight"),
    inside("post_attention_layernorm.weight", "attention_out_norm.weight"),
    inside("pre_feedforward_layernorm.weight", "feed_forward_norm.weight"),
    inside("post_feedforward_layernorm.weight", "feed_forward_out_norm.weight"),
)
GLOBAL_THETA, LOCAL_THETA = 1_000_000.0, 10_000.0
EVERY = 6
"""Every sixth layer has full attention where the file does not say which."""


def read(fields: Fields) -> DecoderConfig:
    """Convert a config.json to a `DecoderConfig`."""
    fields.only("hidden_activation", "gelu_pytorch_tanh")
    fields.only("use_bidirectional_attention", False, None)
    width, layers = fields.whole("hidden_size", 2304), fields.whole("num_hidden_layers", 26)
    heads, context = fields.whole("num_attention_heads", 8), fields.whole("max_position_embeddings", 131_072)
    every = fields.whole("sliding_window_pattern", EVERY)
    full = fields.full_layers(layers)
    bias = fields.truth("attention_bias", False)
    return DecoderConfig(
        vocabulary_size=fields.whole("vocab_size", 262_208),
        context=context,
        width=width,
        layers=layers,
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", 1e-6), unit_offset=True),
        norm_places="both",
        positions=_rope(fields, context),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=fields.whole("num_key_value_heads", 4),
            head_dim=fields.whole("head_dim", 256),
            bias=bias,
            output_bias=bias,
            window=fields.window(default=4096),
            global_layers=tuple(range(every - 1, layers, every)) if full is None else full,
            query_scale=fields.number("query_pre_attn_scalar", 256) ** -0.5,
            softcap=fields.number("attn_logit_softcapping", 0.0) or None,
        ),
        feed_forward=SwiGLUConfig(hidden=fields.whole("intermediate_size", 9216), activation="gelu_tanh"),
        embedding_scale=math.sqrt(width),
        logit_softcap=fields.number("final_logit_softcapping", 0.0) or None,
        tied=fields.truth("tie_word_embeddings", True),
    )


def _rope(fields: Fields, context: int) -> RopeConfig:
    """Read both bases; newer files have them by kind of layer; scaling is that of the layers with full attention."""
    wide = fields.rope(context, "full_attention", GLOBAL_THETA)
    stored = (fields.data.get("rope_parameters") or {}).get("sliding_attention") or {}
    local = Fields({"rope_local_base_freq": fields.data.get("rope_local_base_freq"), **stored})
    theta = local.number("rope_theta", local.number("rope_local_base_freq", LOCAL_THETA))
    return RopeConfig(theta=wide.theta, scaling=wide.scaling, local_theta=theta)


def write(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a config.json."""
    attention, rope = config.attention, config.positions
    full = attention.global_layers
    fields = write_common(config)
    del fields["hidden_act"]
    scale = attention.query_scale or attention.head_dim**-0.5
    return {
        **fields,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": attention.bias,
        "sliding_window": attention.window,
        "layer_types": ["full_attention" if layer in full else "sliding_attention" for layer in range(config.layers)],
        "query_pre_attn_scalar": _whole(scale**-2),
        "rope_local_base_freq": (isinstance(rope, RopeConfig) and rope.local_theta) or LOCAL_THETA,
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


def _whole(value: float) -> float:
    """Return a value that is a whole number except for rounding as one."""
    return round(value) if math.isclose(value, round(value), rel_tol=1e-9) else value


GEMMA3 = Family(
    "gemma3_text", "Gemma3ForCausalLM", (*EMBEDDING, *NORMS, *ATTENTION, *QK_NORM, *GATED, *END), read, write
)
