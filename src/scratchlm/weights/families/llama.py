"""Llama (Touvron et al. 2023, arXiv 2307.09288; Llama 3, arXiv 2407.21783), and families that differ in a few fields.

Llama's table serves Llama 2, 3 and 3.2, SmolLM2, TinyLlama, and Mistral (arXiv 2310.06825), which adds a window.
OLMo 2 (arXiv 2501.00656) has its norms after attention and MLP, and QK norms over all heads together. Phi-3 (arXiv
2404.14219) has queries, keys and values in one tensor, gate and up in another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig, RopeConfig, SwiGLUConfig, grouped
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, NORMS_BEFORE, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields, write_rope

RULES = (*EMBEDDING, *NORMS_BEFORE, *ATTENTION, *GATED, *END)
NORMS_AFTER = (
    inside("post_attention_layernorm.weight", "attention_out_norm.weight"),
    inside("post_feedforward_layernorm.weight", "feed_forward_out_norm.weight"),
)
FUSED = (
    inside("self_attn.qkv_proj.weight", "attention.query.weight", "attention.key.weight", "attention.value.weight"),
    inside("self_attn.o_proj.weight", "attention.output.weight"),
    inside("mlp.gate_up_proj.weight", "feed_forward.gate.weight", "feed_forward.up.weight"),
    inside("mlp.down_proj.weight", "feed_forward.down.weight"),
)


def read_common(fields: Fields, activation: str | None = "silu", **usual: Any) -> DecoderConfig:
    """Read the fields of all Llama-like families; `usual` are a family's defaults; without `activation` any is read."""

    def integer(name: str, default: int | None = None) -> int:
        return fields.integer(name, usual.get(name, default))

    if activation is not None:
        fields.only("hidden_act", activation)
    width, heads = integer("hidden_size"), integer("num_attention_heads")
    context = integer("max_position_embeddings", 2048)
    return DecoderConfig(
        vocabulary_size=integer("vocab_size"),
        context=context,
        width=width,
        layers=integer("num_hidden_layers"),
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", usual.get("rms_norm_eps", 1e-6))),
        positions=fields.rope(context),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=integer("num_key_value_heads", heads),
            head_dim=integer("head_dim", width // heads),
            qk_norm=False,
        ),
        feed_forward=SwiGLUConfig(hidden=integer("intermediate_size")),
        tied=fields.truth("tie_word_embeddings", usual.get("tie_word_embeddings", False)),
    )


def write_common(config: DecoderConfig) -> dict[str, Any]:
    """Return the fields of all Llama-like families."""
    return {
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": grouped(config).heads,
        "num_key_value_heads": grouped(config).kv_heads,
        "head_dim": grouped(config).head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.tied,
        **write_rope(config.positions),
    }


def with_attention(config: DecoderConfig, **changes: Any) -> DecoderConfig:
    """Return a config with changes to its attention."""
    return replace(config, attention=replace(grouped(config), **changes))


def _read_llama(fields: Fields) -> DecoderConfig:
    config, bias = read_common(fields), fields.truth("attention_bias", False)
    feed_forward = SwiGLUConfig(hidden=config.feed_forward.hidden, bias=fields.truth("mlp_bias", False))
    return replace(with_attention(config, bias=bias, output_bias=bias), feed_forward=feed_forward)


def _write_llama(config: DecoderConfig) -> dict[str, Any]:
    mlp_bias = isinstance(config.feed_forward, SwiGLUConfig) and config.feed_forward.bias
    return {**write_common(config), "attention_bias": grouped(config).bias, "mlp_bias": mlp_bias}


def _read_mistral(fields: Fields) -> DecoderConfig:
    """Read Mistral's fields; without one for the window it is 4,096."""
    return with_attention(read_common(fields), window=fields.window(default=4096))


def _write_mistral(config: DecoderConfig) -> dict[str, Any]:
    return {**write_common(config), "sliding_window": grouped(config).window}


def _read_olmo2(fields: Fields) -> DecoderConfig:
    fields.only("clip_qkv", None)
    config, bias = read_common(fields, rms_norm_eps=1e-5), fields.truth("attention_bias", False)
    config = with_attention(config, qk_norm=True, qk_norm_span="all", bias=bias, output_bias=bias)
    return replace(config, norm_places="after")


def _write_olmo2(config: DecoderConfig) -> dict[str, Any]:
    return {**write_common(config), "attention_bias": grouped(config).bias}


def _read_phi3(fields: Fields) -> DecoderConfig:
    config = read_common(fields, max_position_embeddings=4096, rms_norm_eps=1e-5)
    return with_attention(config, window=fields.window())


def _write_phi3(config: DecoderConfig) -> dict[str, Any]:
    share = config.positions.partial_rotary_factor if isinstance(config.positions, RopeConfig) else 1.0
    return {
        **_write_mistral(config),
        "partial_rotary_factor": share,
        "pad_token_id": None,  # transformers' default is outside a small vocabulary
    }


LLAMA = Family("llama", "LlamaForCausalLM", RULES, _read_llama, _write_llama)
MISTRAL = Family("mistral", "MistralForCausalLM", RULES, _read_mistral, _write_mistral)
OLMO2_RULES = (*EMBEDDING, *NORMS_AFTER, *ATTENTION, *QK_NORM, *GATED, *END)
OLMO2 = Family("olmo2", "Olmo2ForCausalLM", OLMO2_RULES, _read_olmo2, _write_olmo2)
PHI3 = Family("phi3", "Phi3ForCausalLM", (*EMBEDDING, *NORMS_BEFORE, *FUSED, *END), _read_phi3, _write_phi3)
