"""Qwen2.5 (arXiv 2412.15115): Llama with biases on queries, keys and values.

Qwen3 (arXiv 2505.09388) has QK norms instead of biases; dense, or with a mixture of experts in every layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig, ExpertsConfig, grouped
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, END, GATED, NORMS_BEFORE, QK_NORM, Family, inside
from scratchlm.weights.families.fields import Fields, layer_types
from scratchlm.weights.families.llama import read_common, with_attention, write_common

EXPERTS = (
    inside("mlp.gate.weight", "feed_forward.router.weight"),
    *(inside(f"mlp.experts.{{expert}}.{name}_proj.weight", f"feed_forward.{name}") for name in ("gate", "up", "down")),
)


def _read_qwen2(fields: Fields) -> DecoderConfig:
    return _read(fields, *_window(fields), bias=True)


def _read_qwen3(fields: Fields) -> DecoderConfig:
    config = _read(fields, *_window(fields), bias=fields.truth("attention_bias", False), head_dim=128)
    return with_attention(config, qk_norm=True, output_bias=grouped(config).bias)


def _read_mixture(fields: Fields) -> DecoderConfig:
    """Read a Qwen3 mixture; experts and any window must be in every layer."""
    fields.only("decoder_sparse_step", 1)
    fields.only("mlp_only_layers", [], None)
    experts = ExpertsConfig(
        hidden=fields.integer("moe_intermediate_size", 768),
        experts=fields.integer("num_experts" if "num_experts" in fields.data else "num_local_experts", 128),
        chosen=fields.integer("num_experts_per_tok", 8),
        normalised=fields.truth("norm_topk_prob", False),
    )
    window = fields.window(default=4096) if fields.truth("use_sliding_window", False) else None
    config = _read(fields, window, (), bias=fields.truth("attention_bias", False))
    return replace(with_attention(config, qk_norm=True, output_bias=grouped(config).bias), feed_forward=experts)


def _read(fields: Fields, window: int | None, full: tuple[int, ...], bias: bool, **usual: Any) -> DecoderConfig:
    config = read_common(fields, max_position_embeddings=32768, **usual)
    return with_attention(config, bias=bias, window=window, global_layers=full)


def _window(fields: Fields) -> tuple[int | None, tuple[int, ...]]:
    """Return the window and the layers with full attention; a window needs `use_sliding_window` to be true.

    The first `max_window_layers` have none, unless `layer_types` says which.
    """
    layers = fields.integer("num_hidden_layers")
    window = fields.window(default=4096) if fields.truth("use_sliding_window", False) else None
    if window is None:
        return None, ()
    full = fields.full_layers(layers)
    full = tuple(range(min(layers, fields.integer("max_window_layers", 28, least=0)))) if full is None else full
    return (None, ()) if len(full) == layers else (window, full)


def _write(config: DecoderConfig) -> dict[str, Any]:
    attention = grouped(config)
    written = {**write_common(config), "use_sliding_window": attention.window is not None}
    if attention.window is None:
        return written
    written |= {"sliding_window": attention.window, "layer_types": layer_types(config)}
    return {**written, "max_window_layers": len(attention.global_layers)}


def _write_qwen3(config: DecoderConfig) -> dict[str, Any]:
    return {**_write(config), "attention_bias": grouped(config).bias}


def _write_mixture(config: DecoderConfig) -> dict[str, Any]:
    written, mixture = _write_qwen3(config), config.feed_forward
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


BEFORE = (*EMBEDDING, *NORMS_BEFORE, *ATTENTION)
QWEN2 = Family("qwen2", "Qwen2ForCausalLM", (*BEFORE, *GATED, *END), _read_qwen2, _write)
QWEN3 = Family("qwen3", "Qwen3ForCausalLM", (*BEFORE, *QK_NORM, *GATED, *END), _read_qwen3, _write_qwen3)
MIXTURE_RULES = (*BEFORE, *QK_NORM, *EXPERTS, *END)
QWEN3_MOE = Family("qwen3_moe", "Qwen3MoeForCausalLM", MIXTURE_RULES, _read_mixture, _write_mixture)
