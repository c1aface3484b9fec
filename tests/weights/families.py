"""A toy model of every family: shapes whose every unusual value differs from what transformers takes by default."""

from __future__ import annotations

import math
from dataclasses import replace

from scratchlm.model.config import (
    AttentionConfig,
    DecoderConfig,
    ExpertsConfig,
    LayerNormConfig,
    LearnedPositionsConfig,
    LinearScalingConfig,
    Llama3ScalingConfig,
    MLPConfig,
    RMSNormConfig,
    RopeConfig,
    SwiGLUConfig,
)

LENGTH = 96
_ATTENTION = AttentionConfig(heads=4, kv_heads=2, head_dim=12, qk_norm=False)
_BASE = DecoderConfig(
    vocabulary_size=61,
    context=LENGTH,
    width=32,
    layers=3,
    norm=RMSNormConfig(eps=3e-5),
    positions=RopeConfig(theta=3.0),  # the slowest pair turns more than once in the text
    attention=_ATTENTION,
    feed_forward=SwiGLUConfig(hidden=48),
    tied=False,
)
_QK = replace(_ATTENTION, qk_norm=True)
_NORMAL_THETA = RopeConfig(theta=500.0)


def _attention(base: AttentionConfig = _ATTENTION, **changes: object) -> AttentionConfig:
    return replace(base, **changes)  # type: ignore[arg-type]


def _shape(**changes: object) -> DecoderConfig:
    return replace(_BASE, **changes)  # type: ignore[arg-type]


_GEMMA = _shape(
    layers=4,
    norm=RMSNormConfig(eps=3e-5, unit_offset=True),
    norm_places="both",
    positions=RopeConfig(theta=500.0, local_theta=3.0, scaling=LinearScalingConfig(8.0)),
    attention=_attention(_QK, window=20, global_layers=(1, 3), query_scale=24**-0.5),
    feed_forward=SwiGLUConfig(hidden=48, activation="gelu_tanh"),
    embedding_scale=math.sqrt(32),
    logit_softcap=30.0,
    tied=True,
)
_NANOCHAT = _shape(
    norm=RMSNormConfig(eps=3e-5, weight=False),
    attention=_attention(_QK, qk_norm_weight=False, qk_norm_rotated=True),
    feed_forward=MLPConfig(hidden=48, activation="relu_squared"),
    embedding_norm=True,
    logit_softcap=12.0,
)
_EXPERTS = ExpertsConfig(hidden=24, experts=5, chosen=2, normalised=True)

FAMILIES: dict[str, tuple[str, DecoderConfig]] = {
    "gpt2": (
        "gpt2",
        _shape(
            norm=LayerNormConfig(eps=3e-5),
            positions=LearnedPositionsConfig(),
            attention=AttentionConfig(heads=4, kv_heads=4, head_dim=8, qk_norm=False, bias=True, output_bias=True),
            feed_forward=MLPConfig(hidden=48, bias=True),
            tied=True,
        ),
    ),
    "llama": ("llama", _shape()),
    "llama tied": ("llama", _shape(tied=True)),
    "llama scaled": (
        "llama",
        _shape(positions=RopeConfig(theta=500.0, scaling=Llama3ScalingConfig(8.0, 1.0, 4.0, 40))),
    ),
    "llama linear": ("llama", _shape(positions=RopeConfig(theta=500.0, scaling=LinearScalingConfig(4.0)))),
    "llama biases": (
        "llama",
        _shape(
            attention=_attention(bias=True, output_bias=True),
            feed_forward=SwiGLUConfig(hidden=48, bias=True),
            tied=True,
        ),
    ),
    "mistral": ("mistral", _shape(attention=_attention(window=20))),
    "qwen2": ("qwen2", _shape(attention=_attention(bias=True))),
    "qwen2 window": ("qwen2", _shape(attention=_attention(bias=True, window=20, global_layers=(0,)))),
    "qwen3": ("qwen3", _shape(attention=_QK)),
    "qwen3 tied": ("qwen3", _shape(attention=_QK, tied=True)),
    "qwen3 experts": ("qwen3_moe", _shape(attention=_QK, feed_forward=_EXPERTS)),
    "qwen3 experts, not normalised": (
        "qwen3_moe",
        _shape(attention=_QK, feed_forward=replace(_EXPERTS, normalised=False)),
    ),
    "gemma3": ("gemma3_text", _GEMMA),
    "olmo2": (
        "olmo2",
        _shape(norm_places="after", attention=_attention(_QK, qk_norm_span="all"), positions=_NORMAL_THETA),
    ),
    "phi3": ("phi3", _shape(positions=RopeConfig(theta=3.0, partial_rotary_factor=0.5))),
    "phi3 window": (
        "phi3",
        _shape(
            width=48,
            positions=RopeConfig(theta=3.0, partial_rotary_factor=0.5),
            attention=_attention(window=20, head_dim=12),
        ),
    ),
    "nanochat": ("nanochat", _NANOCHAT),
}
"""The model_type that must hold each toy shape, and the shape."""

_NARROW = _attention(head_dim=8)
_GLOBAL = RopeConfig(theta=1e6, local_theta=1e4, scaling=LinearScalingConfig(8.0))
_IN_GEMMA = _attention(_GEMMA.attention, global_layers=(5,), query_scale=12**-0.5)
IN_GGUF: dict[str, DecoderConfig] = {
    **{
        name: FAMILIES[name][1]
        for name in ("gpt2", "llama", "llama tied", "llama linear", "qwen3", "qwen3 tied", "qwen3 experts")
    },
    "llama 3": _shape(positions=RopeConfig(theta=500_000.0, scaling=Llama3ScalingConfig(32.0))),
    "qwen2": _shape(attention=replace(_NARROW, bias=True)),
    "gemma3": replace(_GEMMA, layers=7, positions=_GLOBAL, attention=_IN_GEMMA),
    "olmo2": replace(FAMILIES["olmo2"][1], attention=replace(_NARROW, qk_norm=True, qk_norm_span="all")),
    "phi3": _shape(positions=RopeConfig(theta=3.0, partial_rotary_factor=0.5), attention=_NARROW),
}
"""Shapes that llama.cpp runs: heads of the usual width, windows and scaling where it has them."""
BEYOND_GGUF = tuple(name for name, (kind, _) in FAMILIES.items() if name not in IN_GGUF and kind != "nanochat")
"""Toy shapes that it does not: other factors than Llama 3's, windows and biases where it has none."""
