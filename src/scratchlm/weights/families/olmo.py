"""OLMo 2 (arXiv 2501.00656): norms after each branch, and of all heads' queries and keys together."""

from __future__ import annotations

from typing import Any

from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig, SwiGLUConfig
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import write_common

NORMS = (
    inside("post_attention_layernorm.weight", "attention_out_norm.weight"),
    inside("post_feedforward_layernorm.weight", "feed_forward_out_norm.weight"),
)


def read(fields: Fields) -> DecoderConfig:
    """Turn a config.json into a shape."""
    fields.only("hidden_act", "silu")
    fields.only("clip_qkv", None)
    width, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    context = fields.whole("max_position_embeddings", 2048)
    bias = fields.truth("attention_bias", False)
    return DecoderConfig(
        vocabulary_size=fields.whole("vocab_size"),
        context=context,
        width=width,
        layers=fields.whole("num_hidden_layers"),
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", 1e-5)),
        norm_places="after",
        positions=fields.rope(context),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=fields.whole("num_key_value_heads", heads),
            head_dim=fields.whole("head_dim", width // heads),
            qk_norm_span="all",
            bias=bias,
            output_bias=bias,
        ),
        feed_forward=SwiGLUConfig(hidden=fields.whole("intermediate_size")),
        tied=fields.truth("tie_word_embeddings", False),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    """Turn a shape into the fields of a config.json."""
    return {**write_common(config), "attention_bias": config.attention.bias}


OLMO2 = Family("olmo2", "Olmo2ForCausalLM", (*EMBEDDING, *NORMS, *ATTENTION, *QK_NORM, *GATED, *END), read, write)
