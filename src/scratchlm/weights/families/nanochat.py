"""Nanochat (Karpathy 2025) as transformers defines it.

Norms without weights, one on the embedding and, after RoPE, on queries and keys; ReLU squared; capped logits.
RoPE rotates in the other direction than in Llama, which equals swapping the halves of each head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scratchlm.model.config import DecoderConfig, MLPConfig, RMSNormConfig, grouped
from scratchlm.weights.families.family import ATTENTION, EMBEDDING, Family, inside
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.llama import read_common, with_attention, write_common
from scratchlm.weights.mapping import TensorRule

RULES = (
    *EMBEDDING,
    *(replace(rule, halves_swapped="q_proj" in rule.theirs or "k_proj" in rule.theirs) for rule in ATTENTION),
    inside("mlp.fc1.weight", "feed_forward.up.weight"),
    inside("mlp.fc2.weight", "feed_forward.down.weight"),
    TensorRule("lm_head.weight", ("head.weight",)),
)


def _read(fields: Fields) -> DecoderConfig:
    usual = {"vocab_size": 50304, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 6}
    config = read_common(fields, "relu2", **usual, intermediate_size=8192)
    bias = fields.truth("attention_bias", False)
    capped = "final_logit_softcapping" not in fields.data or fields.data["final_logit_softcapping"] is not None
    return replace(
        with_attention(config, qk_norm=True, qk_norm_weight=False, qk_norm_rotated=True, bias=bias, output_bias=bias),
        norm=RMSNormConfig(eps=config.norm.eps, weight=False),
        feed_forward=MLPConfig(hidden=config.feed_forward.hidden, activation="relu_squared"),
        embedding_norm=True,
        logit_softcap=fields.number("final_logit_softcapping", 15.0) if capped else None,
    )


def _write(config: DecoderConfig) -> dict[str, Any]:
    changed = {"hidden_act": "relu2", "attention_bias": grouped(config).bias}
    return {**write_common(config), **changed, "final_logit_softcapping": config.logit_softcap}


NANOCHAT = Family("nanochat", "NanoChatForCausalLM", RULES, _read, _write)
