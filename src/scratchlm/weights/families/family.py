"""What a family of models is: a table of tensors, and its config.json read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, NoMultiTokenPredictionConfig
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.mapping import Rule

UNREAD = r".*\.rotary_emb\.inv_freq|lm_head\.weight"
"""Tensors that some files hold and no model needs: tables that are computed, and a tied head."""


@dataclass(frozen=True)
class Family:
    """A family of models that transformers knows by one `model_type`."""

    model_type: str
    architecture: str
    """The class of transformers that `architectures` names."""
    rules: tuple[Rule, ...]
    read: Callable[[Fields], DecoderConfig]
    """Turns the fields of a config.json into a shape."""
    write: Callable[[DecoderConfig], dict[str, Any]]
    """Turns a shape into fields; what the family cannot express is left out, and `differences` finds it."""
    ignored: str = UNREAD
    """A regular expression for tensors that hold nothing to read."""
    prefix: str = ""
    """What the names of the table begin with and those of some files lack."""

    def shape(self, fields: Fields) -> DecoderConfig:
        """Read a config.json. Raises `UserError` with all fields that are missing, wrong or beyond our parts."""
        try:
            config = self.read(fields)
        except UserError:  # a shape that no decoder has: most likely of fields that were missing or wrong
            fields.check()
            raise
        fields.check()
        return config

    def fields(self, config: DecoderConfig) -> dict[str, Any]:
        """Write a config.json's fields."""
        return {"architectures": [self.architecture], "model_type": self.model_type, **self.write(config)}

    def read_back(self, config: DecoderConfig) -> DecoderConfig:
        """Write a shape and read it again."""
        return self.read(Fields(self.fields(config)))

    def differences(self, config: DecoderConfig) -> list[str]:
        """Say what of a shape the family cannot express: what is lost when it is written and read again."""
        try:
            again = for_inference(self.read_back(config))
        except UserError as error:  # sizes that the family cannot have at all
            return [str(error)]
        return different(for_inference(config), again, self.architecture)


def different(config: DecoderConfig, other: DecoderConfig, holder: str) -> list[str]:
    """Say in which values two shapes differ; the other is what `holder` has."""
    ours, theirs = (dict(flatten(to_dict(each))) for each in (config, other))
    return [
        f"model.{name} is {ours.get(name)!r} where {holder} has {theirs.get(name)!r}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def for_inference(config: DecoderConfig) -> DecoderConfig:
    """Return a shape without what training alone reads, and with the usual kernels."""
    return replace(
        config,
        attention=replace(config.attention, implementation="fused"),
        multi_token_prediction=NoMultiTokenPredictionConfig(),
        dropout=0.0,
        init_std=DecoderConfig.init_std,
        zero_init_outputs=DecoderConfig.zero_init_outputs,
    )


LAYER, BLOCK = "model.layers.{layer}.", "blocks.{layer}."


def inside(theirs: str, *ours: str, **changes: bool) -> Rule:
    """Return a rule for a tensor inside each layer of a Llama-like model."""
    return Rule(LAYER + theirs, tuple(BLOCK + name for name in ours), **changes)


EMBEDDING = (Rule("model.embed_tokens.weight", ("embedding.weight",)),)
END = (Rule("model.norm.weight", ("final_norm.weight",)), Rule("lm_head.weight", ("head.weight",)))
"""The last norm and, where it is not tied, the head."""

ATTENTION = tuple(
    inside(f"self_attn.{theirs}.{kind}", f"attention.{ours}.{kind}")
    for theirs, ours in [("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("o_proj", "output")]
    for kind in ("weight", "bias")
)
QK_NORM = (
    inside("self_attn.q_norm.weight", "attention.query_norm.weight"),
    inside("self_attn.k_norm.weight", "attention.key_norm.weight"),
)
NORMS_BEFORE = (
    inside("input_layernorm.weight", "attention_norm.weight"),
    inside("post_attention_layernorm.weight", "feed_forward_norm.weight"),
)
GATED = tuple(
    inside(f"mlp.{name}_proj.{kind}", f"feed_forward.{name}.{kind}")
    for name in ("gate", "up", "down")
    for kind in ("weight", "bias")
)
