"""Weight names of other libraries and ours, as one table a family that is read in both directions.

Each rule names one of their tensors and the tensor of ours that it is, or the several of ours that it holds stacked.
`{layer}` stands for every layer's number. Reading is strict: a tensor left over, missing or of another shape is an
error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Decoder


@dataclass(frozen=True)
class Rule:
    """One tensor of theirs and what it is here."""

    theirs: str
    ours: tuple[str, ...]
    """Several: theirs is these, stacked along the output axis."""
    transposed: bool = False
    """Whether theirs stores inputs first, as GPT-2's Conv1D does."""

    @property
    def per_layer(self) -> bool:
        """Whether the rule stands once for each layer."""
        return "{layer}" in self.theirs


GPT2 = (
    Rule("transformer.wte.weight", ("embedding.weight",)),
    Rule("transformer.wpe.weight", ("position_embedding.weight",)),
    Rule("transformer.h.{layer}.ln_1.weight", ("blocks.{layer}.attention_norm.weight",)),
    Rule("transformer.h.{layer}.ln_1.bias", ("blocks.{layer}.attention_norm.bias",)),
    Rule(
        "transformer.h.{layer}.attn.c_attn.weight",
        (
            "blocks.{layer}.attention.query.weight",
            "blocks.{layer}.attention.key.weight",
            "blocks.{layer}.attention.value.weight",
        ),
        transposed=True,
    ),
    Rule(
        "transformer.h.{layer}.attn.c_attn.bias",
        (
            "blocks.{layer}.attention.query.bias",
            "blocks.{layer}.attention.key.bias",
            "blocks.{layer}.attention.value.bias",
        ),
    ),
    Rule("transformer.h.{layer}.attn.c_proj.weight", ("blocks.{layer}.attention.output.weight",), transposed=True),
    Rule("transformer.h.{layer}.attn.c_proj.bias", ("blocks.{layer}.attention.output.bias",)),
    Rule("transformer.h.{layer}.ln_2.weight", ("blocks.{layer}.feed_forward_norm.weight",)),
    Rule("transformer.h.{layer}.ln_2.bias", ("blocks.{layer}.feed_forward_norm.bias",)),
    Rule("transformer.h.{layer}.mlp.c_fc.weight", ("blocks.{layer}.feed_forward.up.weight",), transposed=True),
    Rule("transformer.h.{layer}.mlp.c_fc.bias", ("blocks.{layer}.feed_forward.up.bias",)),
    Rule("transformer.h.{layer}.mlp.c_proj.weight", ("blocks.{layer}.feed_forward.down.weight",), transposed=True),
    Rule("transformer.h.{layer}.mlp.c_proj.bias", ("blocks.{layer}.feed_forward.down.bias",)),
    Rule("transformer.ln_f.weight", ("final_norm.weight",)),
    Rule("transformer.ln_f.bias", ("final_norm.bias",)),
)
"""GPT-2 as transformers' GPT2LMHeadModel stores it; the head is tied."""

QWEN3 = (
    Rule("model.embed_tokens.weight", ("embedding.weight",)),
    Rule("model.layers.{layer}.input_layernorm.weight", ("blocks.{layer}.attention_norm.weight",)),
    Rule("model.layers.{layer}.self_attn.q_proj.weight", ("blocks.{layer}.attention.query.weight",)),
    Rule("model.layers.{layer}.self_attn.k_proj.weight", ("blocks.{layer}.attention.key.weight",)),
    Rule("model.layers.{layer}.self_attn.v_proj.weight", ("blocks.{layer}.attention.value.weight",)),
    Rule("model.layers.{layer}.self_attn.o_proj.weight", ("blocks.{layer}.attention.output.weight",)),
    Rule("model.layers.{layer}.self_attn.q_norm.weight", ("blocks.{layer}.attention.query_norm.weight",)),
    Rule("model.layers.{layer}.self_attn.k_norm.weight", ("blocks.{layer}.attention.key_norm.weight",)),
    Rule("model.layers.{layer}.post_attention_layernorm.weight", ("blocks.{layer}.feed_forward_norm.weight",)),
    Rule("model.layers.{layer}.mlp.gate_proj.weight", ("blocks.{layer}.feed_forward.gate.weight",)),
    Rule("model.layers.{layer}.mlp.up_proj.weight", ("blocks.{layer}.feed_forward.up.weight",)),
    Rule("model.layers.{layer}.mlp.down_proj.weight", ("blocks.{layer}.feed_forward.down.weight",)),
    Rule("model.norm.weight", ("final_norm.weight",)),
    Rule("lm_head.weight", ("head.weight",)),
)
"""Qwen3 dense as transformers' Qwen3ForCausalLM stores it; `lm_head` only where the head is not tied."""


def expand(rules: Sequence[Rule], config: DecoderConfig) -> list[Rule]:
    """Write every rule out for every layer, leaving the head out where it is tied."""
    written = []
    for rule in rules:
        if rule.ours == ("head.weight",) and config.tied:
            continue
        for layer in range(config.layers if rule.per_layer else 1):
            ours = tuple(name.replace("{layer}", str(layer)) for name in rule.ours)
            written.append(Rule(rule.theirs.replace("{layer}", str(layer)), ours, rule.transposed))
    return written


def shapes(config: DecoderConfig) -> dict[str, torch.Size]:
    """Return the shape of each of our tensors without giving any of them memory."""
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in Decoder(config).named_parameters()}


def to_ours(theirs: Mapping[str, Tensor], rules: Sequence[Rule], config: DecoderConfig) -> dict[str, Tensor]:
    """Turn their tensors into ours. Raises `UserError` with all that is missing, left over or of a wrong shape."""
    written, expected = expand(rules, config), shapes(config)
    problems = [f"{rule.theirs}: missing" for rule in written if rule.theirs not in theirs]
    known = {rule.theirs for rule in written} | ({"lm_head.weight"} if config.tied else set())
    problems += [f"{name}: unknown tensor" for name in theirs if name not in known]
    ours: dict[str, Tensor] = {}
    for rule in written:
        if rule.theirs not in theirs:
            continue
        tensor = theirs[rule.theirs].T if rule.transposed else theirs[rule.theirs]
        sizes = [expected[name][0] for name in rule.ours]
        if tensor.size(0) != sum(sizes):
            problems.append(f"{rule.theirs}: {tuple(theirs[rule.theirs].shape)} does not give {sum(sizes)} outputs")
            continue
        for name, part in zip(rule.ours, torch.split(tensor, sizes), strict=True):
            if part.shape != expected[name]:
                problems.append(f"{rule.theirs}: gives {tuple(part.shape)} where {name} is {tuple(expected[name])}")
            ours[name] = part.contiguous()
    unfilled = sorted(expected.keys() - {name for rule in written for name in rule.ours})
    problems += [f"{name}: this family's table has no source for it" for name in unfilled]
    raise_all(problems)
    return ours


def to_theirs(ours: Mapping[str, Tensor], rules: Sequence[Rule], config: DecoderConfig) -> dict[str, Tensor]:
    """Turn our tensors into theirs; a tensor of ours that the table does not place is a `UserError`."""
    written = expand(rules, config)
    left = sorted(ours.keys() - {name for rule in written for name in rule.ours})
    if left:
        raise UserError(f"{left[0]}: this family has no place for it; export a model of the family's shape")
    theirs = {}
    for rule in written:
        stacked = torch.cat([ours[name] for name in rule.ours])
        theirs[rule.theirs] = (stacked.T if rule.transposed else stacked).contiguous()
    return theirs
