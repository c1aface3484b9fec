"""Nanochat (Karpathy 2025) as transformers defines it.

Norms without weights, one on the embedding and, after RoPE, on queries and keys; ReLU squared; capped logits.
RoPE rotates in the other direction than in Llama, which equals swapping the halves of each head.
"""

from __future__ import annotations

from typing import Any

from scratchlm.model.config import AttentionConfig, DecoderConfig, MLPConfig, RMSNormConfig
from scratchlm.weights.families.family import EMBEDDING, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import write_common
from scratchlm.weights.mapping import Rule

RULES = (
    *EMBEDDING,
    *(
        inside(f"self_attn.{theirs}.{kind}", f"attention.{ours}.{kind}", halves_swapped=ours in ("query", "key"))
        for theirs, ours in [("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("o_proj", "output")]
        for kind in ("weight", "bias")
    ),
    inside("mlp.fc1.weight", "feed_forward.up.weight"),
    inside("mlp.fc2.weight", "feed_forward.down.weight"),
    Rule("lm_head.weight", ("head.weight",)),
)


def read(fields: Fields) -> DecoderConfig:
    """Convert a config.json to a `DecoderConfig`."""
    fields.only("hidden_act", "relu2")
    width, heads = fields.whole("hidden_size", 768), fields.whole("num_attention_heads", 6)
    context, bias = fields.whole("max_position_embeddings", 2048), fields.truth("attention_bias", False)
    capped = "final_logit_softcapping" not in fields.data or fields.data["final_logit_softcapping"] is not None
    return DecoderConfig(
        vocabulary_size=fields.whole("vocab_size", 50304),
        context=context,
        width=width,
        layers=fields.whole("num_hidden_layers", 12),
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", 1e-6), weight=False),
        positions=fields.rope(context),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=fields.whole("num_key_value_heads", heads),
            head_dim=fields.whole("head_dim", width // heads),
            qk_norm_weight=False,
            qk_norm_rotated=True,
            bias=bias,
            output_bias=bias,
        ),
        feed_forward=MLPConfig(hidden=fields.whole("intermediate_size", 8192), activation="relu_squared"),
        embedding_norm=True,
        logit_softcap=fields.number("final_logit_softcapping", 15.0) if capped else None,
        tied=fields.truth("tie_word_embeddings", False),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    """Convert a `DecoderConfig` to the fields of a config.json."""
    return {
        **write_common(config),
        "hidden_act": "relu2",
        "attention_bias": config.attention.bias,
        "final_logit_softcapping": config.logit_softcap,
    }


NANOCHAT = Family("nanochat", "NanoChatForCausalLM", RULES, read, write)
