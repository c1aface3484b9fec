"""What the experiment scaling can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from scratchlm.base.ranges import Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class ScalingConfig(ExperimentConfig):
    """Loss against parameters, tokens and compute, and how well a law of small runs foretells a larger one."""

    renamed: ClassVar[dict[str, str]] = {"batch_rows": "batch_size"}
    depths: Annotated[tuple[int, ...], Range(1, MAX_DEPTH)] = (1, 2, 3)
    """Layers of the models that the law is fitted to, the fewest first; give the flag again for another."""
    tokens: Annotated[tuple[int, ...], Range(4096)] = (400_000, 800_000, 1_600_000)
    """Tokens that each of them reads, the fewest first."""
    larger_depth: Annotated[int, Range(1, MAX_DEPTH)] = 5
    """Layers of the run that is foretold."""
    larger_tokens: Annotated[int, Range(4096)] = 1_800_000
    """Tokens that it reads."""
    vocabulary_size: Vocabulary = 2048
    """Tokens of the tokenizer that all share."""
    batch_size: Annotated[int, Range(1, 65_536)] = 8
    """Rows of a step, of 256 tokens each."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        for name in ("depths", "tokens"):
            given = getattr(self, name)
            if len(given) < 2 or list(given) != sorted(set(given)):
                shown = f"--{name} {', '.join(map(str, given))}"
                problems.append(f"{shown}: give at least two, each once, the smallest first")
        larger = (self.larger_depth, self.larger_tokens)
        least_of = (max(self.depths, default=1), max(self.tokens, default=1))
        if larger[0] < least_of[0] or larger[1] < least_of[1] or larger == least_of:
            problems.append(
                f"--larger-depth {larger[0]}, --larger-tokens {larger[1]}: must be beyond the runs of the fit, "
                f"{least_of[0]} and {least_of[1]}"
            )
        return problems
