"""Settings of the experiment ladder-understand. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderUnderstandConfig(ExperimentConfig):
    """Question answering on passages of fairy tales, by rules, by retrieval and by networks."""

    questions: Annotated[int, Range(32, 10**9)] = 5000
    """Training questions, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 500
    """Test questions, at most."""
    epochs: Epochs = 1.0
    """Epochs of the networks on the questions."""
    vocabulary_size: Annotated[int, Range(2048, 1 << 20)] = 4096
    """Vocabulary size of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Pretraining steps of the small model on books."""
    init: Path | None = None
    """Model folder of a published chat model: one more method, zero-shot."""
