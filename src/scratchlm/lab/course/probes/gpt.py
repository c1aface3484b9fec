"""Probes of chapter 4: the parts of the model and the whole."""

from __future__ import annotations

from types import ModuleType

import torch

from scratchlm.lab.course.probing import Outputs, differentiated, filled, numbers, shape_of


def gelu(mine: ModuleType) -> Outputs:
    """Numbers on both sides of 0, and large ones."""
    for x in (torch.linspace(-4, 4, 17), numbers(2, 3, 4)):
        yield from differentiated(f"x of {shape_of(x)}", mine.gelu, [x], ["x"])


def layer_norm(mine: ModuleType) -> Outputs:
    """Vectors with a mean far from 0, small ones at which 1e-5 shows, and one of equal numbers."""
    for x in (
        numbers(2, 3, 8) + 3,
        numbers(2, 3, 6, scale=2e-3),
        torch.full((1, 1, 4), 2.0),
    ):
        norm = filled(mine.LayerNorm(x.size(-1)))
        yield from differentiated(f"x of {shape_of(x)}", norm.forward, [x], ["x"], norm)


def block(mine: ModuleType) -> Outputs:
    """One layer, in two shapes."""
    for batch, time, width, heads in ((2, 5, 12, 3), (1, 1, 8, 2)):
        layer = filled(mine.Block(width, heads), seed=4)
        x = numbers(batch, time, width, seed=2)
        yield from differentiated(f"x of {shape_of(x)}", layer.forward, [x], ["x"], layer)


def gpt(mine: ModuleType) -> Outputs:
    """A model of two layers on texts shorter than its context."""
    for batch, time in ((2, 5), (1, 7)):
        model = filled(mine.GPT(11, context=8, width=8, layers=2, heads=2), seed=5)
        ids = torch.arange(batch * time).view(batch, time) * 7 % 11
        yield from differentiated(f"ids of {shape_of(ids)}", model.forward, [ids], ["ids"], model)


PROBES = {"gelu": gelu, "LayerNorm.forward": layer_norm, "Block.forward": block, "GPT.forward": gpt}
