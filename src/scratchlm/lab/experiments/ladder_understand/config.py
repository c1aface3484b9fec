"""What the experiment ladder-understand can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderUnderstandConfig(ExperimentConfig):
    """Questions on passages of fairy tales, by rules, by retrieval, by networks that are taught to answer."""

    questions: Annotated[int, Range(32, 10**9)] = 5000
    """Questions that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 500
    """Questions that are tested, at most."""
    epochs: Epochs = 1.0
    """Times that the networks see the questions."""
    vocabulary_size: Annotated[int, Range(2048, 1 << 20)] = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Steps in which our model reads books before it sees a question."""
    init: Path | None = None
    """Model folder of a published model that answers: one more rung, which is only asked."""
