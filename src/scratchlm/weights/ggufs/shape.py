"""A model's config as GGUF's fields, in both directions, so that writing can check that reading gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, Llama3ScalingConfig, RopeConfig
from scratchlm.model.positions import rope_frequencies
from scratchlm.weights.families.family import Family, different, for_inference
from scratchlm.weights.families.fields import llama3_scaling
from scratchlm.weights.families.known import read_shape
from scratchlm.weights.ggufs.layout import ARCHITECTURES, field_names

WIDEST_GEMMA = 62
"""Layers of Gemma 3 27B, which scales attention scores differently from the other sizes."""
PER_HEAD = ("gpt2", "qwen2", "olmo2", "phi3")
"""Architectures for which llama.cpp reads no head dimension."""
SEES_ALL = ("llama", "phi3")
"""Architectures for which llama.cpp has no sliding window, even if a file has the field."""


@dataclass(frozen=True)
class Described:
    """The config of a model in GGUF's terms."""

    architecture: str
    rows: int
    """Rows of the embedding."""
    tied: bool
    """Whether the head is tied to the embedding."""
    values: dict[str, Any] = field(default_factory=dict)
    """Fields without the architecture's prefix."""
    factors: Tensor | None = None
    """Divisors of the RoPE frequencies (`rope_freqs.weight`)."""


def describe(family: Family, config: DecoderConfig) -> Described:
    """Convert a `DecoderConfig` to GGUF's fields.

    Raises `UserError` where llama.cpp has no such architecture, or its fields cannot represent the config.
    """
    if family.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"{family.model_type}: llama.cpp has no such architecture; known are {known}")
    architecture = ARCHITECTURES[family.model_type]
    fields = family.fields(config)
    values = {
        key: value
        for key, theirs in field_names(architecture).items()
        if (value := fields.get(theirs)) is not None and not isinstance(value, bool)
    }
    factors, rope = None, config.positions
    if isinstance(rope, RopeConfig):
        head_dim = config.attention.head_dim
        turned = int(head_dim * rope.partial_rotary_factor)
        values |= {"attention.value_length": head_dim, "rope.dimension_count": turned}
        if isinstance(rope.scaling, Llama3ScalingConfig):
            plain, scaled = (rope_frequencies(head_dim, rope.theta, each) for each in (None, rope.scaling))
            factors = plain / scaled
    scaling = fields.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        values |= {"rope.scaling.type": "linear", "rope.scaling.factor": scaling["factor"]}
    described = Described(architecture, config.vocabulary_size, config.tied, values, factors)
    lost = _lost(described, config) + _unsupported(architecture, config)
    if lost:
        raise UserError(f"GGUF cannot represent this model: {'; '.join(lost)}; export it to hf")
    return described


def _lost(described: Described, config: DecoderConfig) -> list[str]:
    """Return what reading the fields again would change; biases would be in tensors that it does not look for."""
    try:
        _, again = shape_of(described, "the file")
    except UserError as error:
        return [str(error)]
    return different(for_inference(config), for_inference(again), "the file")


def _unsupported(architecture: str, config: DecoderConfig) -> list[str]:
    """Return what the fields state and llama.cpp does not support (src/llama-model.cpp)."""
    attention, problems = config.attention, []
    per_head = config.width // attention.heads
    if architecture in PER_HEAD and attention.head_dim != per_head:
        problems.append(
            f"model.attention.head_dim {attention.head_dim}: llama.cpp's {architecture} needs width / heads, {per_head}"
        )
    if architecture in SEES_ALL and attention.window is not None and attention.window < config.context:
        problems.append(f"model.attention.window {attention.window}: llama.cpp's {architecture} has none")
    return problems


def shape_of(described: Described, where: str) -> tuple[Family, DecoderConfig]:
    """Convert GGUF's fields to those of a config.json, which the family reads.

    Raises `UserError` for an unknown architecture and unsupported fields.
    """
    kind, values = described.architecture, described.values
    model_type = next((name for name, architecture in ARCHITECTURES.items() if architecture == kind), None)
    if model_type is None:
        known = ", ".join(sorted(set(ARCHITECTURES.values())))
        raise UserError(f"{where}: its architecture {kind!r} is not known; known are {known}")
    fields: dict[str, Any] = {
        theirs: values[key] for key, theirs in field_names(kind).items() if values.get(key) is not None
    }
    if not fields.get("sliding_window"):
        fields.pop("sliding_window", None)  # some files write none as 0
    if kind == "llama" and "sliding_window" in fields:
        model_type = "mistral"
    fields |= {"vocab_size": described.rows, "tie_word_embeddings": described.tied}
    fields |= _further(described, fields, where)
    return read_shape({"model_type": model_type, **fields}, where)


def _further(described: Described, fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return fields that GGUF does not store, by architecture."""
    more: dict[str, Any] = {}
    values, heads = described.values, fields.get("num_attention_heads")
    width, head_dim = fields.get("hidden_size"), fields.get("head_dim")
    per_head = width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None
    scaling = values.get("rope.scaling.type")
    if scaling not in (None, "none"):
        more["rope_scaling"] = {"rope_type": scaling, "factor": values.get("rope.scaling.factor", 1.0)}
    if described.factors is not None:
        more["rope_scaling"] = _llama3_scaling(described.factors, fields, where)
    match described.architecture:
        case "qwen3moe":
            more["norm_topk_prob"] = True
        case "gemma3":
            widest = fields.get("num_hidden_layers") == WIDEST_GEMMA
            more["query_pre_attn_scalar"] = per_head if widest else head_dim or 256
        case "phi3" if values.get("rope.dimension_count") and (head_dim or per_head):
            more["partial_rotary_factor"] = values["rope.dimension_count"] / (head_dim or per_head)
    return more


def _llama3_scaling(factors: Tensor, fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Find the RoPE scaling of these factors; Llama 3's models differ only in the largest."""
    theta = float(fields.get("rope_theta", 10_000.0))
    scaling = Llama3ScalingConfig(factor=float(factors.max()))
    plain, scaled = (rope_frequencies(2 * len(factors), theta, each) for each in (None, scaling))
    if not torch.allclose(plain / scaled, factors.float(), rtol=1e-4):
        raise UserError(f"{where}: rope_freqs.weight holds factors that are not Llama 3's; they cannot be read")
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    return llama3_scaling(scaling.factor, low, high, scaling.original_context)
