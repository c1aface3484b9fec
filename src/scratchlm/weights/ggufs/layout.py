"""The conversion between Hugging Face's format and GGUF: names, fields, and the order of numbers.

It builds on Hugging Face's format, so that one table a family is enough for both. Sources: convert_hf_to_gguf.py in
ggml-org/llama.cpp, and the names in its library `gguf`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gguf
from torch import Tensor

from scratchlm.base.errors import UserError

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
        known, found = gguf.get_tensor_name_map(kind, self.layers), {}
        for name in theirs:
            before, at, rest = name.partition(".experts.")
            number, _, part = rest.partition(".")
            whole = f"{before}.experts.{part}" if at else name
            stored = known.get_name(whole, try_suffixes=(".weight", ".bias"))
            if stored is None:
                raise UserError(f"{name}: llama.cpp's {self.architecture} has no name for it")
            found[name] = (stored, int(number) if at else None)
        return found

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
