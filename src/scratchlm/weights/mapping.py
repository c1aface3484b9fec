"""Mapping of tensor names between other libraries and ours: one table a family, used in both directions.

Each rule maps one of their tensors to one of ours, or to several of ours that it stacks. `{layer}` is a layer's index,
`{expert}` an expert's: ours has the experts of a layer in one tensor. A rule whose tensors a model does not have (a
bias, an untied head) is skipped. Tensors are read one at a time, and reading is strict: unknown, missing and misshapen
tensors are errors, which are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.model.config import DecoderConfig, ExpertsConfig, grouped
from scratchlm.model.decoder import Decoder, outline
from scratchlm.weights.checkpoint import fill
from scratchlm.weights.tensors import StoredTensors

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class TensorRule:
    """One tensor of theirs and its counterpart here."""

    theirs: str
    ours: tuple[str, ...]
    """Our tensors; several where theirs stacks them along the output axis."""
    transposed: bool = False
    """Whether theirs has the input axis first, as in GPT-2's Conv1D."""
    halves_swapped: bool = False
    """Whether the two halves of each head are swapped, for a rotation in the other direction (nanochat)."""


@dataclass(frozen=True)
class ExpandedRule:
    """A rule for one layer: one of theirs and one or more of ours, or a stack of experts."""

    theirs: tuple[str, ...]
    """Their tensors; several for experts, which ours stacks along the first axis."""
    ours: tuple[str, ...]
    rule: TensorRule


def expand(rules: Sequence[TensorRule], config: DecoderConfig, expected: Shapes) -> list[ExpandedRule]:
    """Expand every rule for every layer, skipping those whose tensors the model does not have."""
    experts = config.feed_forward.experts if isinstance(config.feed_forward, ExpertsConfig) else 0
    placed = []
    for rule in rules:
        for layer in range(config.layers if "{layer}" in rule.theirs else 1):
            ours = tuple(name.replace("{layer}", str(layer)) for name in rule.ours)
            theirs = rule.theirs.replace("{layer}", str(layer))
            names = [theirs.replace("{expert}", str(i)) for i in range(experts)] if "{expert}" in theirs else [theirs]
            if all(name in expected for name in ours):
                placed.append(ExpandedRule(tuple(names), ours, rule))
    return placed


def shapes(config: DecoderConfig) -> dict[str, torch.Size]:
    """Return the shape of each of our tensors without allocating memory."""
    return {name: parameter.shape for name, parameter in outline(config).named_parameters()}


def problems_of(
    theirs: Shapes, placed: Sequence[ExpandedRule], expected: Shapes, ignored: str | None = None
) -> list[str]:
    """List every tensor of theirs that is missing, unknown or misshapen, and every tensor of ours without a rule.

    `ignored` is a regular expression for tensors of theirs that are not needed.
    """
    problems = []
    for each in placed:
        wanted = _their_shape(each, expected)
        for name in each.theirs:
            if name not in theirs:
                problems.append(f"{name}: missing")
            elif theirs[name] != wanted:
                problems.append(f"{name}: {tuple(theirs[name])} where {tuple(wanted)} is expected")
    known = {name for each in placed for name in each.theirs}
    unknown = [name for name in theirs if name not in known and not (ignored and re.fullmatch(ignored, name))]
    problems += [f"{name}: unknown tensor" for name in unknown]
    unfilled = sorted(expected.keys() - {name for each in placed for name in each.ours})
    return problems + [f"{name}: this family's table has no source for it" for name in unfilled]


def _their_shape(each: ExpandedRule, expected: Shapes) -> torch.Size:
    """Return the required shape of a tensor of theirs."""
    if len(each.theirs) > 1 or "{expert}" in each.rule.theirs:
        return expected[each.ours[0]][1:]
    first, *_ = (expected[name] for name in each.ours)
    joined = (sum(expected[name][0] for name in each.ours), *first[1:])
    return torch.Size(reversed(joined) if each.rule.transposed else joined)


def to_ours(
    theirs: Mapping[str, Tensor], rules: Sequence[TensorRule], config: DecoderConfig, ignored: str | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Yield our tensors from theirs, read one at a time; a part of a tensor of theirs is a view of it.

    Raises `UserError` before the first tensor, listing all that are missing, unknown or misshapen.
    """
    expected = shapes(config)
    placed = expand(rules, config, expected)
    sizes = theirs.shapes if isinstance(theirs, StoredTensors) else {name: each.shape for name, each in theirs.items()}
    raise_all(problems_of(sizes, placed, expected, ignored))
    for each in placed:
        if "{expert}" in each.rule.theirs:
            yield each.ours[0], torch.stack([theirs[name] for name in each.theirs])
            continue
        tensor = theirs[each.theirs[0]]
        tensor = tensor.T if each.rule.transposed else tensor
        outputs = [expected[name][0] for name in each.ours]
        for name, part in zip(each.ours, torch.split(tensor, outputs), strict=True):
            yield name, _swapped(part, config) if each.rule.halves_swapped else part


def from_hf(
    theirs: Mapping[str, Tensor],
    rules: Sequence[TensorRule],
    config: DecoderConfig,
    ignored: str | None = None,
    dtype: torch.dtype | None = None,
) -> Decoder:
    """Build a decoder from tensors under Hugging Face's names, in `dtype` or as stored. Raises as `to_ours` does."""
    read = to_ours(theirs, rules, config, ignored)
    return fill(outline(config), {name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in read})


def to_theirs(
    ours: Mapping[str, Tensor], rules: Sequence[TensorRule], config: DecoderConfig
) -> Iterator[tuple[str, Tensor]]:
    """Yield their tensors from ours; a tensor of ours without a rule is a `UserError`."""
    expected = shapes(config)
    placed = expand(rules, config, expected)
    left = sorted(ours.keys() - {name for each in placed for name in each.ours})
    if left:
        raise UserError(f"{left[0]}: this family has no place for it; export a model of the family's shape")
    for each in placed:
        if "{expert}" in each.rule.theirs:
            yield from zip(each.theirs, ours[each.ours[0]].unbind(0), strict=True)
            continue
        parts = [_swapped(ours[name], config) if each.rule.halves_swapped else ours[name] for name in each.ours]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        yield each.theirs[0], (joined.T if each.rule.transposed else joined).contiguous()


def _swapped(tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Swap the halves of each head's output channels; twice gives the tensor again."""
    half = grouped(config).head_dim // 2
    return tensor.reshape(-1, 2, half, *tensor.shape[1:]).flip(1).reshape(tensor.shape)
