"""What the experiment ladder-translate can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderTranslateConfig(ExperimentConfig):
    """English into German, from rules and word counts to networks with attention."""

    pairs: Annotated[int, Range(100, 10**9)] = 20_000
    """Pairs of sentences that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 1000
    """Sentences that are tested, about."""
    rounds: Annotated[int, Range(1, 1000)] = 5
    """Rounds of each IBM model."""
    epochs: Epochs = 4.0
    """Times that the networks see the pairs."""
    width: Annotated[int, Range(32, 65_536)] = 128
    """Channels of the networks."""
    vocabulary_size: Vocabulary = 2048
    """Tokens of the networks' tokenizer."""
    init: Path | None = None
    """Model folder of a published model: one more rung, which is only prompted with some pairs."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.width % 32:
            problems.append(f"--width {self.width}: must be a multiple of 32, the channels of a head")
        return problems
