"""`scratchlm plan` of a published model: what it would take to hold, to run and to train."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from scratchlm.base.result import Result
from scratchlm.model.counting import TRAINING_BYTES
from scratchlm.runs.config import PublishedConfig
from scratchlm.weights.families.published import sizes_of_published

TOKENS_A_PARAMETER = 20
"""Tokens that train a parameter at the least cost for a loss (Hoffmann et al. 2022, arXiv 2203.15556)."""


@dataclass(frozen=True, repr=False)
class Published(Result):
    """A published shape in figures."""

    model: str
    parameters: int
    active: int
    parts: dict[str, int]
    weight_bytes: dict[str, int]
    training_bytes: int
    cache_bytes_per_token: int
    context: int
    tokens: float
    training_flops: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return dataclasses.asdict(self)

    def __rich__(self) -> Table:
        table = Table(show_header=False, title=f"plan of {self.model}", title_justify="left")
        passed = "" if self.active == self.parameters else f", of which a token passes {self.active:,}"
        table.add_row("parameters", f"{self.parameters:,}{passed}")
        table.add_row("by part", ", ".join(f"{name} {count:,}" for name, count in self.parts.items()))
        weights = ", ".join(f"{size / 1e9:,.2f} in {name}" for name, size in self.weight_bytes.items())
        table.add_row("weights, GB", weights)
        table.add_row("training, GB", f"{self.training_bytes / 1e9:,.1f} and activations (Adam, fp32)")
        whole = self.cache_bytes_per_token * self.context / 1e9
        table.add_row(
            "cache", f"{self.cache_bytes_per_token:,} bytes a token in bf16; {whole:,.2f} GB at {self.context:,} tokens"
        )
        table.add_row("training FLOPs", f"{self.training_flops:.3g} for {self.tokens:.3g} tokens")
        return table


def plan_published(config: PublishedConfig) -> Published:
    """Count a shape by name or a config.json."""
    sizes = sizes_of_published(config.recipe)
    tokens = config.tokens or TOKENS_A_PARAMETER * sizes.active
    return Published(
        model=config.recipe,
        parameters=sizes.parameters,
        active=sizes.active,
        parts=sizes.parts,
        weight_bytes=sizes.weight_bytes(),
        training_bytes=TRAINING_BYTES * sizes.parameters,
        cache_bytes_per_token=2 * sizes.cache_numbers,
        context=sizes.context,
        tokens=tokens,
        training_flops=tokens * sizes.flops_per_token,
    )
