"""What an adapter is made of. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Positive, Range, out_of_range

Part = Literal["query", "key", "value", "output", "gate", "up", "down", "query_down", "latent", "expand"]
ADAPTER_NAME = "default"
"""Name of an adapter that is the only one of its model."""
PARTS: tuple[Part, ...] = ("query", "key", "value", "output", "gate", "up", "down")


@dataclass(frozen=True)
class LoRAConfig:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): the model stays, a product of two thin matrices is learned.

    A matrix W answers W x + (alpha / rank) B A x.
    """

    rank: Annotated[int, Range(1, 65_536)] = 8
    """Rows of A and columns of B."""
    alpha: Positive = 16.0
    """What the product is multiplied by, over the rank."""
    targets: tuple[Part, ...] = PARTS
    """Matrices of each layer that have an adapter: query, key, value and output of attention; gate, up and down of the
    feed-forward. query_down, latent and expand, of latent attention, on demand."""
    first_layer: Amount = 0
    """First layer with adapters, counted from 0; no gradient is computed below it. PEFT's `layers_to_transform`."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self, "lora")
        if not self.targets:
            problems.append(f"lora.targets is empty: name some of {', '.join(PARTS)}")
        raise_all(problems)

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank
