"""LoRA adapters in PEFT's format: target matrices under PEFT's names and ours.

LoRA (Hu et al. 2021, arXiv 2106.09685) adds to a matrix W (outputs, inputs) a product B A of rank r. PEFT stores them
under the name of the module of W; where a family fuses several of our matrices into one, a slot lists them in the order
in which that matrix stacks them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all, raise_first
from scratchlm.base.files import read_json, write_json
from scratchlm.base.paths import stored_path
from scratchlm.base.reading import intact, require_table
from scratchlm.model.config import ClassesConfig, DecoderConfig, NoClassesConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import AdaptedLinear, adapted, add_adapter
from scratchlm.model.loraconfig import PARTS, LoRAConfig
from scratchlm.weights.checkpoint import SavedModel, save_tensors
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.known import family_of
from scratchlm.weights.mapping import expand, shapes
from scratchlm.weights.tensors import SafetensorsFiles

SCORE = "score"
"""Name of the classification head of decoders in transformers."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""PEFT's prefix of module names."""


@dataclass(frozen=True)
class Slot:
    """A matrix that an adapter can target."""

    theirs: str
    """Module in transformers."""
    ours: tuple[str, ...]
    """Modules here; several where theirs stacks them along the outputs."""
    outputs: tuple[int, ...]
    """Number of outputs of each of ours."""
    inputs: int

    @property
    def names(self) -> tuple[str, str]:
        """The names under which PEFT stores A (r, inputs) and B (outputs, r)."""
        return f"{PREFIX}{self.theirs}.lora_A.weight", f"{PREFIX}{self.theirs}.lora_B.weight"


def slots(family: Family, config: DecoderConfig) -> list[Slot]:
    """Return the matrices of the layers that adapters can target; not experts, which PEFT fuses in its own way."""
    expected = shapes(config)
    every = []
    for each in expand(family.rules, config, expected):
        name = each.theirs[0]
        sizes = [expected[part] for part in each.ours]
        if "{layer}" not in each.rule.theirs or "{expert}" in each.rule.theirs or len(sizes[0]) != 2:
            continue
        ours = tuple(part.removesuffix(".weight") for part in each.ours)
        every.append(Slot(name.removesuffix(".weight"), ours, tuple(size[0] for size in sizes), sizes[0][1]))
    return every


def write_adapter(folder: Path, model: SavedModel, name: str) -> Family:
    """Write an adapter in PEFT's format.

    Where theirs fuses several of our matrices, one adapter of a larger rank holds their products block by block: the
    result is equal, and `rank_pattern` and `alpha_pattern` state the rank. Raises `UserError` where no family can
    represent the base model.
    """
    decoder = model.decoder
    family = family_of(replace(decoder.config, classes=NoClassesConfig()))
    config = model.adapters[name]
    _require_plain(family, decoder)
    owned = {path: part for path, part in adapted(decoder).items() if name in part.scales}
    stored = {slot: [owned[ours] for ours in slot.ours if ours in owned] for slot in slots(family, decoder.config)}
    left = {slot.theirs.rpartition(".")[2] for slot, parts in stored.items() if not parts}
    tensors: dict[str, Tensor] = {}
    modules, ranks, alphas = set(), {}, {}
    for slot, parts in stored.items():
        if not parts:
            continue
        first, last = slot.names
        tensors[first], tensors[last] = _side_by_side(slot, [owned.get(ours) for ours in slot.ours], name)
        *_, parent, kind = slot.theirs.split(".")
        kind = f"{parent}.{kind}" if kind in left else kind  # GPT-2 has a c_proj in attention and MLP
        modules.add(kind)
        if len(parts) > 1:
            ranks[kind], alphas[kind] = len(parts) * config.rank, len(parts) * config.alpha
    if decoder.classifier is not None:
        tensors[f"{PREFIX}{SCORE}.weight"] = decoder.classifier.weight
    save_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    values: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if decoder.classifier is None else "SEQ_CLS",
        "modules_to_save": None if decoder.classifier is None else [SCORE],
        "base_model_name_or_path": None if model.base is None else stored_path(model.base.path, folder),
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "layers_to_transform": list(range(config.first_layer, len(decoder.blocks))) if config.first_layer else None,
        "bias": "none",
        "fan_in_fan_out": any(rule.transposed for rule in family.rules),
        "inference_mode": True,
    }
    write_json(folder / CONFIG, values)
    return family


def _require_plain(family: Family, decoder: Decoder) -> None:
    """Refuse what PEFT's format cannot represent: another rotation of heads, and mean pooling of a classifier."""
    if any(rule.halves_swapped for rule in family.rules):
        raise UserError(
            f"{family.model_type}: its adapters cannot be exchanged with PEFT; export the merged model to hf"
        )
    if isinstance(decoder.config.classes, ClassesConfig) and decoder.config.classes.pooling != "last":
        raise UserError("--pooling mean: PEFT has classifiers on the last token only; train with --pooling last")


def _side_by_side(slot: Slot, parts: list[AdaptedLinear | None], name: str) -> tuple[Tensor, Tensor]:
    """Return A and B of a slot: ours stacked (A) and block-diagonal (B), zeros for a part without an adapter."""
    firsts = [part.lora_a[name].detach() for part in parts if part is not None]
    lasts = [
        torch.zeros(outputs, 0) if part is None else part.lora_b[name].detach().float()
        for part, outputs in zip(parts, slot.outputs, strict=True)
    ]
    return torch.cat(firsts), torch.block_diag(*lasts)  # type: ignore[no-untyped-call]


def read_adapter(folder: Path, decoder: Decoder, name: str) -> LoRAConfig:
    """Add an adapter in PEFT's format to a decoder, and activate it.

    Raises `UserError` for adapters of another kind, and lists every tensor that does not fit the decoder.
    """
    values = require_table(read_json(folder / CONFIG), str(folder / CONFIG))
    with intact(folder / CONFIG, "adapter_config.json"):
        raise_all(_beyond(values, folder))
    family = family_of(decoder.config)
    _require_plain(family, decoder)
    tensors = SafetensorsFiles(folder, WEIGHTS)
    by_slot = {slot: slot.names for slot in slots(family, decoder.config) if slot.names[0] in tensors}
    known = {each for names in by_slot.values() for each in names}
    problems = [f"{each}: no such matrix in the base model" for each in sorted(tensors.keys() - known)]
    problems += [problem for slot, names in by_slot.items() for problem in _misfits(slot, names, tensors)]
    raise_first([f"{folder}: {problem}" for problem in problems], "tensors")
    kinds = {ours.rpartition(".")[2] for slot in by_slot for ours in slot.ours}
    with intact(folder / CONFIG, "adapter_config.json"):
        scales = {slot: _scale(values, slot) for slot in by_slot}
    shares = [
        (ours, scales[slot], *_without_zeros(tensors[first].float(), rows.float()))
        for slot, (first, last) in by_slot.items()
        for ours, rows in zip(slot.ours, torch.split(tensors[last], list(slot.outputs)), strict=True)
    ]
    rank = max((len(narrow) for _, _, narrow, _ in shares), default=0)
    with intact(folder / CONFIG, "adapter_config.json"):
        alpha = float(values["lora_alpha"]) * rank / float(values["r"])
        first = min((int(ours.split(".")[1]) for ours, *_ in shares), default=0)  # of blocks.3.attention.query
        config = LoRAConfig(rank, alpha, tuple(part for part in PARTS if part in kinds), first)
    add_adapter(decoder, name, config)
    for ours, scale, narrow, wide in shares:
        layer = decoder.get_submodule(ours)
        assert isinstance(layer, AdaptedLinear)
        spare = rank - len(narrow)  # rank_pattern may give some matrices a smaller rank, and a scale of their own
        layer.lora_a[name] = torch.nn.Parameter(F.pad(narrow, (0, 0, 0, spare)))
        layer.lora_b[name] = torch.nn.Parameter(F.pad(wide * (scale / config.scale), (0, spare)))
    return config


def _misfits(slot: Slot, names: tuple[str, str], tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the problems of a slot's two tensors: missing, or of another shape than the base model needs."""
    rank, problems = tensors[names[0]].size(0) if tensors[names[0]].dim() else 0, []
    for name, wanted in zip(names, [(rank, slot.inputs), (sum(slot.outputs), rank)], strict=True):
        if name not in tensors:
            problems.append(f"{name}: missing")
        elif tuple(tensors[name].shape) != wanted:
            problems.append(f"{name}: {tuple(tensors[name].shape)} where {wanted} is expected")
    return problems


def _without_zeros(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Drop the ranks of a fused matrix that only its other parts use; at least one rank is kept."""
    used = last.any(0)
    used[0] |= not used.any()
    return first[used], last[:, used]


def _beyond(values: dict[str, Any], folder: Path) -> list[str]:
    """Return the settings of an adapter that go beyond plain LoRA."""
    plain = {"peft_type": "LORA", "use_dora": False, "use_rslora": False, "bias": "none", "modules_to_save": None}
    return [
        f"{folder / CONFIG}: {key} is {values[key]!r}; only {value!r} can be read"
        for key, value in plain.items()
        if values.get(key, value) not in (value, [])
    ]


def _scale(values: dict[str, Any], slot: Slot) -> float:
    def of(patterns: dict[str, Any] | None, usual: Any) -> float:
        """Return the value whose pattern matches the end of the module's name, as in PEFT."""
        fitting = (value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", slot.theirs))
        return float(next(fitting, usual))

    return of(values.get("alpha_pattern"), values["lora_alpha"]) / of(values.get("rank_pattern"), values["r"])
