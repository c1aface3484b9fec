"""Named shapes. A preset is a function from a vocabulary size to a configuration; it holds no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from scratchlm.base.errors import UserError, nearest
from scratchlm.model.config import (
    AttentionConfig,
    DecoderConfig,
    LayerNormConfig,
    LearnedPositionsConfig,
    MLPConfig,
    NgramEmbeddingConfig,
    RMSNormConfig,
    RopeConfig,
    SwiGLUConfig,
)


def qwen3_shaped(
    vocabulary_size: int, *, width: int, layers: int, context: int, head_dim: int = 32, kv_share: int = 2
) -> DecoderConfig:
    """Shape a decoder as Qwen3 (arXiv 2505.09388): what transformers, llama.cpp, Ollama and vLLM load unpatched.

    Feed-forward width is three times the model's, rounded up to a multiple of 32.
    """
    heads = kv_share * -(-width // (head_dim * kv_share))  # whole groups, whatever the width
    return DecoderConfig(
        vocabulary_size=vocabulary_size,
        context=context,
        width=width,
        layers=layers,
        norm=RMSNormConfig(eps=1e-6),
        positions=RopeConfig(theta=10_000.0),
        attention=AttentionConfig(heads=heads, kv_heads=heads // kv_share, head_dim=head_dim),
        feed_forward=SwiGLUConfig(hidden=-(-3 * width // 32) * 32),
        zero_init_outputs=True,
    )


def tiny(vocabulary_size: int = 512) -> DecoderConfig:
    """Shape a decoder that tests and first lessons train in seconds: 2 layers of width 64."""
    return qwen3_shaped(vocabulary_size, width=64, layers=2, context=128)


def default(vocabulary_size: int = 4096) -> DecoderConfig:
    """Shape the default decoder at a middle depth; `pretraining/depth_scaling.py` sets other sizes."""
    return qwen3_shaped(vocabulary_size, width=192, layers=6, context=256)


def speedrun(vocabulary_size: int = 4096, *, width: int = 192, layers: int = 6, context: int = 256) -> DecoderConfig:
    """Shape for fast learning: ReLU squared, zero-initialised outputs, capped logits, pairs of tokens looked up.

    Heads of 64, so `width` is best a multiple of it. Exports to fewer places than `qwen3_shaped`.
    """
    heads = -(-width // 64)
    return DecoderConfig(
        vocabulary_size=vocabulary_size,
        context=context,
        width=width,
        layers=layers,
        norm=RMSNormConfig(eps=1e-6, weight=False),
        attention=AttentionConfig(heads=heads, kv_heads=heads, head_dim=64),
        feed_forward=MLPConfig(hidden=4 * width, activation="relu_squared"),
        ngrams=NgramEmbeddingConfig(),
        logit_softcap=15.0,
        zero_init_outputs=True,
    )


def gpt2(vocabulary_size: int = 50257, *, width: int = 768, layers: int = 12, heads: int = 12) -> DecoderConfig:
    """Shape a decoder as GPT-2 (Radford et al. 2019): 124M parameters by default."""
    return DecoderConfig(
        vocabulary_size=vocabulary_size,
        context=1024,
        width=width,
        layers=layers,
        norm=LayerNormConfig(eps=1e-5),
        positions=LearnedPositionsConfig(),
        attention=AttentionConfig(
            heads=heads, kv_heads=heads, head_dim=width // heads, qk_norm=False, bias=True, output_bias=True
        ),
        feed_forward=MLPConfig(hidden=4 * width, activation="gelu_tanh", bias=True),
    )


PRESETS: Mapping[str, Callable[[], DecoderConfig]] = {
    "tiny": tiny,
    "default": default,
    "speedrun": speedrun,
    "gpt2": gpt2,
    "gpt2-medium": partial(gpt2, width=1024, layers=24, heads=16),  # 355M parameters
    "gpt2-large": partial(gpt2, width=1280, layers=36, heads=20),  # 774M
    "gpt2-xl": partial(gpt2, width=1600, layers=48, heads=25),  # 1,558M
}
"""Every preset by the name that recipes and commands use."""


def preset(name: str) -> DecoderConfig:
    """Return the named shape; an unknown name is a `UserError` that offers the nearest."""
    if name not in PRESETS:
        raise UserError(f"unknown model preset {name!r}: {nearest(name, PRESETS)}")
    return PRESETS[name]()
