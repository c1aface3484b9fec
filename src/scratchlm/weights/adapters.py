"""Where adapters attach: the matrices of a model by the names that PEFT gives them, and by ours.

LoRA (Hu et al. 2021, arXiv 2106.09685) adds to a matrix W (outputs, inputs) a product B A of rank r. PEFT keeps them
under the name of the module that holds W; where a family fuses several of our matrices into one, a slot lists them in
the order in which theirs stacks them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchlm.base.errors import raise_all
from scratchlm.base.files import read_json, write_json
from scratchlm.model.config import DecoderConfig, NoClassesConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import AdaptedLinear, adapted, add_adapter
from scratchlm.model.loraconfig import PARTS, LoRAConfig
from scratchlm.weights.checkpoint import SavedModel, save_tensors
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.known import family_of
from scratchlm.weights.mapping import expand, shapes
from scratchlm.weights.tensors import SafetensorsFiles

SCORE = "score"
"""What transformers calls the head of classes of decoders."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before the names of modules."""


@dataclass(frozen=True)
class Slot:
    """A matrix that an adapter may change."""

    theirs: str
    """Module of transformers' model."""
    ours: tuple[str, ...]
    """Modules here; several where theirs is these, stacked along the outputs."""
    outputs: tuple[int, ...]
    """Outputs of each of ours."""
    inputs: int

    def names(self, rank_first: str = "lora_A", rank_last: str = "lora_B") -> tuple[str, str]:
        """Return the names under which PEFT stores A (r, inputs) and B (outputs, r)."""
        return f"{PREFIX}{self.theirs}.{rank_first}.weight", f"{PREFIX}{self.theirs}.{rank_last}.weight"


def slots(family: Family, config: DecoderConfig) -> list[Slot]:
    """Return the matrices inside layers that adapters may change; experts, which PEFT fuses its own way, are none."""
    expected = shapes(config)
    found = []
    for each in expand(family.rules, config, expected):
        name = each.theirs[0]
        sizes = [expected[part] for part in each.ours]
        if "{layer}" not in each.rule.theirs or "{expert}" in each.rule.theirs or len(sizes[0]) != 2:
            continue
        ours = tuple(part.removesuffix(".weight") for part in each.ours)
        found.append(Slot(name.removesuffix(".weight"), ours, tuple(size[0] for size in sizes), sizes[0][1]))
    return found


def write_adapter(folder: Path, model: SavedModel, name: str) -> Family:
    """Write an adapter as PEFT reads it.

    Where theirs fuses several of our matrices, their products stand in one of a larger rank, side by side: equal, and
    `rank_pattern` and `alpha_pattern` say so. Raises `UserError` where no family holds the model below.
    """
    decoder = model.decoder
    family = family_of(replace(decoder.config, classes=NoClassesConfig()))
    config, layers = model.adapters[name], adapted(decoder)
    tensors: dict[str, Tensor] = {}
    modules, ranks, alphas = set(), {}, {}
    for slot in slots(family, decoder.config):
        parts = [layers.get(ours) for ours in slot.ours]
        held = [part for part in parts if part is not None and name in part.scales]
        if not held:
            continue
        first, last = slot.names()
        tensors[first], tensors[last] = _side_by_side(slot, parts, name)
        kind = slot.theirs.rpartition(".")[2]
        modules.add(kind)
        if len(held) > 1:
            ranks[kind], alphas[kind] = len(held) * config.rank, len(held) * config.alpha
    if decoder.classifier is not None:
        tensors[f"{PREFIX}{SCORE}.weight"] = decoder.classifier.weight
    save_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    told: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if decoder.classifier is None else "SEQ_CLS",
        "modules_to_save": None if decoder.classifier is None else [SCORE],
        "base_model_name_or_path": None if model.base is None else str(model.base.path),
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "bias": "none",
        "fan_in_fan_out": any(rule.transposed for rule in family.rules),
        "inference_mode": True,
    }
    write_json(folder / CONFIG, told)
    return family


def _side_by_side(slot: Slot, parts: list[AdaptedLinear | None], name: str) -> tuple[Tensor, Tensor]:
    """Return A and B of a slot: those of ours above and beside each other, zeros where a part has no adapter."""
    held = [part is not None and name in part.scales for part in parts]
    firsts = [part.lora_a[name].detach() for part, there in zip(parts, held, strict=True) if part is not None and there]
    rank = len(firsts[0])
    last = torch.zeros(sum(slot.outputs), rank * len(firsts))
    row = column = 0
    for part, there, outputs in zip(parts, held, slot.outputs, strict=True):
        if part is not None and there:
            last[row : row + outputs, column : column + rank] = part.lora_b[name].detach()
            column += rank
        row += outputs
    return torch.cat(firsts), last


def read_adapter(folder: Path, decoder: Decoder, name: str) -> LoRAConfig:
    """Give a decoder an adapter that PEFT wrote, and use it.

    Raises `UserError` for adapters of another kind, and with every tensor that does not fit the decoder.
    """
    told = read_json(folder / CONFIG)
    raise_all(_beyond(told, folder))
    family = family_of(decoder.config)
    tensors = SafetensorsFiles(folder, WEIGHTS)
    found = {slot: slot.names() for slot in slots(family, decoder.config) if slot.names()[0] in tensors}
    known = {each for names in found.values() for each in names}
    problems = [f"{each}: no such matrix in the model below" for each in sorted(tensors.keys() - known)]
    for slot, (first, last) in found.items():
        rank = len(tensors[first])
        for each, wanted in [(first, (rank, slot.inputs)), (last, (sum(slot.outputs), rank))]:
            if each not in tensors:
                problems.append(f"{each}: missing")
            elif tuple(tensors[each].shape) != wanted:
                problems.append(f"{each}: {tuple(tensors[each].shape)} where {wanted} is expected")
    more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
    raise_all([f"{folder}: {problem}" for problem in problems[:5]] + more)
    kinds = {ours.rpartition(".")[2] for slot in found for ours in slot.ours}
    targets = tuple(part for part in PARTS if part in kinds)
    config = LoRAConfig(int(told["r"]), float(told["lora_alpha"]), targets)
    add_adapter(decoder, name, config)
    for slot, (first, last) in found.items():
        _put(decoder, slot, name, tensors[first], tensors[last], _scale(told, slot))
    return config


def _beyond(told: dict[str, Any], folder: Path) -> list[str]:
    """Say what of an adapter's description is more than a plain LoRA."""
    plain = {"peft_type": "LORA", "use_dora": False, "use_rslora": False, "bias": "none", "modules_to_save": None}
    return [
        f"{folder / CONFIG}: {key} is {told[key]!r}; only {value!r} can be read"
        for key, value in plain.items()
        if told.get(key, value) not in (value, [])
    ]


def _scale(told: dict[str, Any], slot: Slot) -> float:
    kind = slot.theirs.rpartition(".")[2]
    rank = (told.get("rank_pattern") or {}).get(kind, told["r"])
    return float((told.get("alpha_pattern") or {}).get(kind, told["lora_alpha"])) / float(rank)


@torch.no_grad()
def _put(decoder: Decoder, slot: Slot, name: str, first: Tensor, last: Tensor, scale: float) -> None:
    """Give each of our matrices its share of a slot's product."""
    for ours, rows in zip(slot.ours, torch.split(last, list(slot.outputs)), strict=True):
        layer = decoder.get_submodule(ours)
        assert isinstance(layer, AdaptedLinear)
        ratio = scale / layer.scales[name]  # the adapter has one scale, a pattern may give a matrix another
        layer.lora_a[name] = torch.nn.Parameter(first.float().clone())
        layer.lora_b[name] = torch.nn.Parameter(rows.float() * ratio)
