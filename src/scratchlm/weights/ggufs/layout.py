"""The conversion between Hugging Face's format and GGUF: names, fields, and the order of numbers.

It builds on Hugging Face's format, so that one table a family is enough for both. Sources: convert_hf_to_gguf.py in
ggml-org/llama.cpp, and the names in its library `gguf`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gguf
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, Llama3ScalingConfig, RopeConfig, grouped
from scratchlm.model.positions import rope_frequencies
from scratchlm.weights.families.family import Family, different
from scratchlm.weights.families.fields import llama3_scaling
from scratchlm.weights.families.known import read_shape

ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma3_text": "gemma3",
    "olmo2": "olmo2",
    "phi3": "phi3",
    "gpt2": "gpt2",
}
"""llama.cpp's name of each `model_type`; of two with the same name, the first is used for reading."""

FIELDS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "rope.freq_base": "rope_theta",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
"""Fields under `{architecture}.` and their names in config.json, for Llama-like families."""

GPT2_FIELDS = {
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "block_count": "n_layer",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}

WIDEST_GEMMA = 62
"""Layers of Gemma 3 27B, which scales attention scores differently from the other sizes."""
PER_HEAD = ("gpt2", "qwen2", "olmo2", "phi3")
"""Architectures for which llama.cpp reads no head dimension."""
SEES_ALL = ("llama", "phi3")
"""Architectures for which llama.cpp has no sliding window, even if a file has the field."""

PAIRED = ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.bias")
TURNED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


@dataclass(frozen=True)
class Layout:
    """The layout of one model's tensors in GGUF."""

    architecture: str
    layers: int
    head_dim: int

    def names(self, theirs: list[str]) -> dict[str, tuple[str, int | None]]:
        """Return for each of Hugging Face's names the GGUF tensor, and the expert's index where it stacks experts."""
        kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        known, mapping = gguf.get_tensor_name_map(kind, self.layers), {}
        for name in theirs:
            before, at, rest = name.partition(".experts.")
            number, _, part = rest.partition(".")
            full = f"{before}.experts.{part}" if at else name
            stored = known.get_name(full, try_suffixes=(".weight", ".bias"))
            if stored is None:
                raise UserError(f"{name}: llama.cpp's {self.architecture} has no name for it")
            mapping[name] = (stored, int(number) if at else None)
        return mapping

    def converted(self, name: str, tensor: Tensor, back: bool = False) -> Tensor:
        """Convert a tensor from Hugging Face's layout to GGUF's, or `back`."""
        if self.architecture == "llama" and name.endswith(PAIRED):
            # RoPE in llama.cpp rotates adjacent channels, in Hugging Face channels half a head apart
            half = self.head_dim // 2
            pairs = (half, 2) if back else (2, half)
            return tensor.reshape(-1, *pairs, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)
        if self.architecture == "gemma3" and name.endswith("norm.weight"):
            return tensor - 1.0 if back else tensor.float() + 1.0
        return tensor.T if self.turned(name) else tensor

    def turned(self, name: str) -> bool:
        """Return whether a tensor is transposed."""
        return self.architecture == "gpt2" and name.endswith(TURNED)


def field_names(architecture: str) -> Mapping[str, str]:
    """Return the table of fields of an architecture."""
    return GPT2_FIELDS if architecture == "gpt2" else FIELDS


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
    """Convert a config to GGUF's fields. Raises `UserError` where llama.cpp has no such architecture or fields."""
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
        head_dim = grouped(config).head_dim
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
        return different(config, shape_of(described, "the file")[1], "the file")
    except UserError as error:
        return [str(error)]


def _unsupported(architecture: str, config: DecoderConfig) -> list[str]:
    """Return what the fields state and llama.cpp does not support (src/llama-model.cpp)."""
    attention, problems = grouped(config), []
    per_head = config.width // attention.heads
    if architecture in PER_HEAD and attention.head_dim != per_head:
        problems.append(
            f"model.attention.head_dim {attention.head_dim}: llama.cpp's {architecture} needs width / heads, {per_head}"
        )
    if architecture in SEES_ALL and attention.window is not None and attention.window < config.context:
        problems.append(f"model.attention.window {attention.window}: llama.cpp's {architecture} has none")
    return problems


def shape_of(described: Described, where: str) -> tuple[Family, DecoderConfig]:
    """Read GGUF's fields as a config.json. Raises `UserError` for an unknown architecture and unsupported fields."""
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
