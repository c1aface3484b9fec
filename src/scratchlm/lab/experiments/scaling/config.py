"""Settings of the experiment scaling. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from scratchlm.base.ranges import Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class ScalingConfig(ExperimentConfig):
    """Loss against parameters, tokens and compute, and how well a law fitted to small runs predicts a larger one."""

    renamed: ClassVar[dict[str, str]] = {"batch_rows": "batch_size"}
    depths: Annotated[tuple[int, ...], Range(1, MAX_DEPTH)] = (1, 2, 3)
    """Depths of the models that the law is fitted to, ascending; repeat the flag for several."""
    tokens: Annotated[tuple[int, ...], Range(4096)] = (400_000, 800_000, 1_600_000)
    """Training tokens of each of them, ascending."""
    larger_depth: Annotated[int, Range(1, MAX_DEPTH)] = 5
    """Depth of the larger run that is predicted."""
    larger_tokens: Annotated[int, Range(4096)] = 1_800_000
    """Training tokens of the larger run."""
    vocabulary_size: Vocabulary = 2048
    """Vocabulary size of the shared tokenizer."""
    batch_size: Annotated[int, Range(1, 65_536)] = 8
    """Rows of a batch, of 256 tokens each."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        for name in ("depths", "tokens"):
            given = getattr(self, name)
            if len(given) < 2 or list(given) != sorted(set(given)):
                shown = f"--{name} {', '.join(map(str, given))}"
                problems.append(f"{shown}: give at least two, each once, in ascending order")
        larger = (self.larger_depth, self.larger_tokens)
        least_of = (max(self.depths, default=1), max(self.tokens, default=1))
        if larger[0] < least_of[0] or larger[1] < least_of[1] or larger == least_of:
            problems.append(
                f"--larger-depth {larger[0]}, --larger-tokens {larger[1]}: must exceed the runs of the fit, "
                f"{least_of[0]} and {least_of[1]}"
            )
        return problems
