"""Settings of the experiment ladder-translate. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderTranslateConfig(ExperimentConfig):
    """Translation of English into German, from rules and word alignment to networks with attention."""

    pairs: Annotated[int, Range(100, 10**9)] = 20_000
    """Training pairs of sentences, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 1000
    """Test sentences, about."""
    rounds: Annotated[int, Range(1, 1000)] = 5
    """EM iterations of each IBM model."""
    epochs: Epochs = 4.0
    """Epochs of the networks on the pairs."""
    width: Annotated[int, Range(32, 65_536)] = 128
    """Width of the networks."""
    vocabulary_size: Vocabulary = 2048
    """Vocabulary size of the networks' tokenizer."""
    init: Path | None = None
    """Model folder of a published model: one more method, prompted few-shot with some pairs."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.width % 32:
            problems.append(f"--width {self.width}: must be a multiple of 32, the width of a head")
        return problems
