"""GPT-2 (Radford et al. 2019) in the form of GPT2LMHeadModel: input axis first, queries, keys and values fused."""

from __future__ import annotations

from typing import Any

from scratchlm.model.config import (
    AttentionConfig,
    DecoderConfig,
    LayerNormConfig,
    LearnedPositionsConfig,
    MLPConfig,
    grouped,
)
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.mapping import TensorRule

ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}


def _inside(theirs: str, *ours: str, transposed: bool = False) -> list[TensorRule]:
    """Return the rules of a weight and its bias inside each layer."""
    return [
        TensorRule(
            f"transformer.h.{{layer}}.{theirs}.{kind}",
            tuple(f"blocks.{{layer}}.{name}.{kind}" for name in ours),
            transposed=transposed and kind == "weight",
        )
        for kind in ("weight", "bias")
    ]


RULES = (
    TensorRule("transformer.wte.weight", ("embedding.weight",)),
    TensorRule("transformer.wpe.weight", ("position_embedding.weight",)),
    *_inside("ln_1", "attention_norm"),
    *_inside("attn.c_attn", "attention.query", "attention.key", "attention.value", transposed=True),
    *_inside("attn.c_proj", "attention.output", transposed=True),
    *_inside("ln_2", "feed_forward_norm"),
    *_inside("mlp.c_fc", "feed_forward.up", transposed=True),
    *_inside("mlp.c_proj", "feed_forward.down", transposed=True),
    TensorRule("transformer.ln_f.weight", ("final_norm.weight",)),
    TensorRule("transformer.ln_f.bias", ("final_norm.bias",)),
    TensorRule("lm_head.weight", ("head.weight",)),
)


def _read(fields: Fields) -> DecoderConfig:
    width, heads = fields.integer("n_embd", 768), fields.integer("n_head", 12)
    fields.only("scale_attn_weights", True)
    fields.only("scale_attn_by_inverse_layer_idx", False)
    fields.only("add_cross_attention", False)
    if width % heads:
        fields.problems.append(f"n_embd is {width} and n_head {heads}: the width must be a multiple of the heads")
    name = fields.data.get("activation_function", "gelu_new")
    fields.only("activation_function", *ACTIVATIONS)
    return DecoderConfig(
        vocabulary_size=fields.integer("vocab_size", 50257),
        context=fields.integer("n_positions", 1024),
        width=width,
        layers=fields.integer("n_layer", 12),
        norm=LayerNormConfig(eps=fields.number("layer_norm_epsilon", 1e-5)),
        positions=LearnedPositionsConfig(),
        attention=AttentionConfig(
            heads=heads, kv_heads=heads, head_dim=max(1, width // heads), qk_norm=False, bias=True, output_bias=True
        ),
        feed_forward=MLPConfig(
            hidden=fields.integer("n_inner", 4 * width), activation="gelu" if name == "gelu" else "gelu_tanh", bias=True
        ),
        tied=fields.truth("tie_word_embeddings", True),
    )


def _write(config: DecoderConfig) -> dict[str, Any]:
    plain = isinstance(config.feed_forward, MLPConfig) and config.feed_forward.activation == "gelu"
    return {
        "vocab_size": config.vocabulary_size,
        "n_positions": config.context,
        "n_ctx": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": grouped(config).heads,
        "n_inner": config.feed_forward.hidden,
        "activation_function": "gelu" if plain else "gelu_new",
        "layer_norm_epsilon": config.norm.eps,
        "tie_word_embeddings": config.tied,
    }


GPT2 = Family(
    "gpt2",
    "GPT2LMHeadModel",
    RULES,
    _read,
    _write,
    ignored=r".*\.attn\.(masked_)?bias|lm_head\.weight",  # the causal mask, which some files have
    prefix="transformer.",
)
