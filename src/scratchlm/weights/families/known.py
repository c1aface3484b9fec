"""All families, and the family of a config.json or of a `DecoderConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.fields import Fields
from scratchlm.weights.families.gemma import GEMMA3
from scratchlm.weights.families.gpt2 import GPT2
from scratchlm.weights.families.llama import LLAMA, MISTRAL, OLMO2, PHI3
from scratchlm.weights.families.nanochat import NANOCHAT
from scratchlm.weights.families.qwen import QWEN2, QWEN3, QWEN3_MOE

FAMILIES = (QWEN3, LLAMA, MISTRAL, QWEN2, QWEN3_MOE, GEMMA3, OLMO2, PHI3, NANOCHAT, GPT2)
"""In the order in which `family_of` tries them: the most widely supported first."""


def read_shape(data: Mapping[str, Any], where: str = "config.json") -> tuple[Family, DecoderConfig]:
    """Return the family and the `DecoderConfig` of a config.json.

    Raises `UserError` for an unknown architecture, which lists the known ones, and for unsupported fields.
    """
    kind = data.get("model_type")
    family = next((family for family in FAMILIES if family.model_type == kind), None)
    if family is None:
        named = data.get("architectures") or ["none"]
        known = ", ".join(f"{family.model_type} ({family.architecture})" for family in FAMILIES)
        raise UserError(f"{where}: model_type {kind!r} (architecture {named[0]}) is not known; known are {known}")
    return family, family.shape(Fields(data, where))


def family_of(config: DecoderConfig) -> Family:
    """Return the first family that can represent a config. Raises `UserError` with what the nearest one cannot."""
    differences = {family.model_type: family.differences(config) for family in FAMILIES}
    family = min(FAMILIES, key=lambda family: len(differences[family.model_type]))
    lacking = differences[family.model_type]
    if lacking:
        raise UserError(
            f"no known family can represent this model; nearest is {family.architecture}: {'; '.join(lacking)}; train "
            "one of the recipe default to export it"
        )
    return family
