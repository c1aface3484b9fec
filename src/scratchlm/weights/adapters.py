"""Where adapters attach: the matrices of a model by the names that PEFT gives them, and by ours.

LoRA (Hu et al. 2021, arXiv 2106.09685) adds to a matrix W (outputs, inputs) a product B A of rank r. PEFT keeps them
under the name of the module that holds W; where a family fuses several of our matrices into one, a slot lists them in
the order in which theirs stacks them.
"""

from __future__ import annotations

from dataclasses import dataclass

from scratchlm.model.config import DecoderConfig
from scratchlm.weights.families.family import Family
from scratchlm.weights.mapping import expand, shapes

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
