"""Qwen2.5 (arXiv 2412.15115): Llama with biases on queries, keys and values.

Qwen3 (arXiv 2505.09388) has QK norms instead of biases; dense, or with a mixture of experts in every layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig, ExpertsConfig
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, NORMS_BEFORE, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import read_common, write_common

EXPERTS = (
    inside("mlp.gate.weight", "feed_forward.router.weight"),
    *(inside(f"mlp.experts.{{expert}}.{name}_proj.weight", f"feed_forward.{name}") for name in ("gate", "up", "down")),
)


def read_qwen2(fields: Fields) -> DecoderConfig:
    """Convert a Qwen2's config.json to a `DecoderConfig`."""
    return _read(fields, *_window(fields), bias=True)


def read_qwen3(fields: Fields) -> DecoderConfig:
    """Convert a Qwen3's config.json to a `DecoderConfig`."""
    config = _read(fields, *_window(fields), bias=fields.truth("attention_bias", False))
    head_dim = fields.whole("head_dim", 128)  # whatever the width
    return _with_norms(replace(config, attention=replace(config.attention, head_dim=head_dim)))


def read_mixture(fields: Fields) -> DecoderConfig:
    """Convert a Qwen3 mixture's config.json to a `DecoderConfig`; experts and any window must be in every layer."""
    fields.only("decoder_sparse_step", 1)
    fields.only("mlp_only_layers", [], None)
    experts = ExpertsConfig(
        hidden=fields.whole("moe_intermediate_size", 768),
        experts=fields.whole("num_experts" if "num_experts" in fields.data else "num_local_experts", 128),
        chosen=fields.whole("num_experts_per_tok", 8),
        normalised=fields.truth("norm_topk_prob", False),
    )
    window = fields.window(default=4096) if fields.truth("use_sliding_window", False) else None
    config = _read(fields, window, (), bias=fields.truth("attention_bias", False))
    return _with_norms(replace(config, feed_forward=experts))


def _read(fields: Fields, window: int | None, full: tuple[int, ...], bias: bool) -> DecoderConfig:
    config = read_common(fields, context=32768)
    return replace(config, attention=replace(config.attention, bias=bias, window=window, global_layers=full))


def _with_norms(config: DecoderConfig) -> DecoderConfig:
    """Add what Qwen3 has and Qwen2 lacks: QK norms, and the biases, if any, on the output too."""
    attention = replace(config.attention, qk_norm=True, output_bias=config.attention.bias)
    return replace(config, attention=attention)


def _window(fields: Fields) -> tuple[int | None, tuple[int, ...]]:
    """Return the window and the layers with full attention; a window needs `use_sliding_window` to be true.

    The first `max_window_layers` have none, unless `layer_types` says which.
    """
    layers = fields.whole("num_hidden_layers")
    window = fields.window(default=4096) if fields.truth("use_sliding_window", False) else None
    if window is None:
        return None, ()
    full = fields.full_layers(layers)
    full = tuple(range(min(layers, fields.whole("max_window_layers", 28, least=0)))) if full is None else full
    return (None, ()) if len(full) == layers else (window, full)


def _write(config: DecoderConfig) -> dict[str, Any]:
    attention = config.attention
    written = {**write_common(config), "use_sliding_window": attention.window is not None}
    if attention.window is None:
        return written
    full = attention.global_layers
    kinds = ["full_attention" if layer in full else "sliding_attention" for layer in range(config.layers)]
    return {**written, "sliding_window": attention.window, "layer_types": kinds, "max_window_layers": len(full)}


def write_qwen2(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a Qwen2's config.json."""
    return _write(config)


def write_qwen3(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a Qwen3's config.json."""
    return {**_write(config), "attention_bias": config.attention.bias}


def write_mixture(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a Qwen3 mixture's config.json."""
    written, mixture = write_qwen3(config), config.feed_forward
    experts = mixture if isinstance(mixture, ExpertsConfig) else ExpertsConfig()
    return {
        **{name: value for name, value in written.items() if name not in ("layer_types", "max_window_layers")},
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": experts.hidden,
        "num_experts": experts.experts,
        "num_experts_per_tok": experts.chosen,
        "norm_topk_prob": experts.normalised,
    }


QWEN2 = Family(
    "qwen2", "Qwen2ForCausalLM", (*EMBEDDING, *NORMS_BEFORE, *ATTENTION, *GATED, *END), read_qwen2, write_qwen2
)
QWEN3 = Family(
    "qwen3",
    "Qwen3ForCausalLM",
    (*EMBEDDING, *NORMS_BEFORE, *ATTENTION, *QK_NORM, *GATED, *END),
    read_qwen3,
    write_qwen3,
)
QWEN3_MOE = Family(
    "qwen3_moe",
    "Qwen3MoeForCausalLM",
    (*EMBEDDING, *NORMS_BEFORE, *ATTENTION, *QK_NORM, *EXPERTS, *END),
    read_mixture,
    write_mixture,
)
