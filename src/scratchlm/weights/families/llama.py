"""Llama (Touvron et al. 2023, arXiv 2307.09288; Llama 3, arXiv 2407.21783): one table for many.

Llama 2, 3 and 3.2, SmolLM2, TinyLlama, and Mistral (arXiv 2310.06825), which adds a window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig, SwiGLUConfig
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, NORMS_BEFORE, Family
from scratchlm.weights.families.fields import Fields, write_rope

RULES = (*EMBEDDING, *NORMS_BEFORE, *ATTENTION, *GATED, *END)


def read_llama(fields: Fields) -> DecoderConfig:
    """Convert a Llama's config.json to a `DecoderConfig`."""
    config, bias = read_common(fields), fields.truth("attention_bias", False)
    return replace(
        config,
        attention=replace(config.attention, bias=bias, output_bias=bias),
        feed_forward=SwiGLUConfig(hidden=config.feed_forward.hidden, bias=fields.truth("mlp_bias", False)),
    )


def read_mistral(fields: Fields) -> DecoderConfig:
    """Convert a Mistral's config.json to a `DecoderConfig`; without a field for the window it is 4,096."""
    config = read_common(fields)
    return replace(config, attention=replace(config.attention, window=fields.window(default=4096)))


def read_common(fields: Fields, context: int = 2048, eps: float = 1e-6) -> DecoderConfig:
    """Read the fields of all Llama-like families, with the family's default context and epsilon."""
    fields.only("hidden_act", "silu")
    width, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    context = fields.whole("max_position_embeddings", context)
    return DecoderConfig(
        vocabulary_size=fields.whole("vocab_size"),
        context=context,
        width=width,
        layers=fields.whole("num_hidden_layers"),
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", eps)),
        positions=fields.rope(context),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=fields.whole("num_key_value_heads", heads),
            head_dim=fields.whole("head_dim", width // heads),
            qk_norm=False,
        ),
        feed_forward=SwiGLUConfig(hidden=fields.whole("intermediate_size")),
        tied=fields.truth("tie_word_embeddings", False),
    )


def write_common(config: DecoderConfig) -> dict[str, Any]:
    """Return the fields of all Llama-like families."""
    return {
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.attention.kv_heads,
        "head_dim": config.attention.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.tied,
        **write_rope(config.positions),
    }


def write_llama(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a Llama's config.json."""
    mlp_bias = isinstance(config.feed_forward, SwiGLUConfig) and config.feed_forward.bias
    return {**write_common(config), "attention_bias": config.attention.bias, "mlp_bias": mlp_bias}


def write_mistral(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a Mistral's config.json."""
    return {**write_common(config), "sliding_window": config.attention.window}


LLAMA = Family("llama", "LlamaForCausalLM", RULES, read_llama, write_llama)
MISTRAL = Family("mistral", "MistralForCausalLM", RULES, read_mistral, write_mistral)
