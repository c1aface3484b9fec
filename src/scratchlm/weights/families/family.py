"""A family of models: its table of tensors, and the reading and writing of its config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, NoMultiTokenPredictionConfig, grouped
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.mapping import TensorRule

UNREAD = r".*\.rotary_emb\.inv_freq|lm_head\.weight"
"""Tensors in some files that no model needs: computed tables, and a tied head."""


@dataclass(frozen=True)
class Family:
    """A family of models: one `model_type` of transformers."""

    model_type: str
    architecture: str
    """The class in transformers, as in `architectures`."""
    rules: tuple[TensorRule, ...]
    read: Callable[[Fields], DecoderConfig]
    """Converts the fields of a config.json to a `DecoderConfig`."""
    write: Callable[[DecoderConfig], dict[str, Any]]
    """Converts a config to fields; what the family cannot represent is dropped, and `differences` reports it."""
    ignored: str = UNREAD
    """A regular expression for tensors that are not needed."""
    prefix: str = ""
    """A prefix of the names in the table that some files lack."""

    def shape(self, fields: Fields) -> DecoderConfig:
        """Read a config.json. Raises `UserError`, which lists all fields that are missing, invalid or unsupported."""
        try:
            return self.read(fields)
        finally:  # also for an impossible config: most likely because fields were missing or invalid
            fields.check()

    def fields(self, config: DecoderConfig) -> dict[str, Any]:
        """Return the fields of a config.json."""
        return {"architectures": [self.architecture], "model_type": self.model_type, **self.write(config)}

    def read_back(self, config: DecoderConfig) -> DecoderConfig:
        """Convert a config to fields and back."""
        return self.read(Fields(self.fields(config)))

    def differences(self, config: DecoderConfig) -> list[str]:
        """Return what of a config the family cannot represent: what `read_back` changes."""
        try:
            return different(config, self.read_back(config), self.architecture)
        except UserError as error:  # sizes that the family cannot have
            return [str(error)]


def different(config: DecoderConfig, other: DecoderConfig, holder: str) -> list[str]:
    """Return the values in which two configs differ for inference; the other is that of `holder`."""
    ours, theirs = (dict(flatten(to_dict(for_inference(each)))) for each in (config, other))
    return [
        f"model.{name} is {ours.get(name)!r} where {holder} has {theirs.get(name)!r}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def for_inference(config: DecoderConfig) -> DecoderConfig:
    """Return a config without settings for training only, and with the default kernels."""
    return replace(
        config,
        attention=replace(grouped(config), implementation="fused"),
        multi_token_prediction=NoMultiTokenPredictionConfig(),
        dropout=0.0,
        init_std=DecoderConfig.init_std,
        zero_init_outputs=DecoderConfig.zero_init_outputs,
    )


LAYER, BLOCK = "model.layers.{layer}.", "blocks.{layer}."


def inside(theirs: str, *ours: str, **changes: bool) -> TensorRule:
    """Return a rule for a tensor inside each layer of a Llama-like model."""
    return TensorRule(LAYER + theirs, tuple(BLOCK + name for name in ours), **changes)


EMBEDDING = (TensorRule("model.embed_tokens.weight", ("embedding.weight",)),)
END = (TensorRule("model.norm.weight", ("final_norm.weight",)), TensorRule("lm_head.weight", ("head.weight",)))
"""The final norm and, where it is not tied, the head."""

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
