"""Settings of the experiment objective. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class ObjectiveConfig(ExperimentConfig):
    """The training objective: loss and samples during training; bytes, characters, sub-words and words compared."""

    megabytes: Annotated[float, Range(0.05, 10**6)] = 4.0
    """Text in millions of bytes: the beginnings of books, some of them held out."""
    steps: Count = 300
    """Training steps for each kind of token."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of sub-words and of words, at most."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 4
    """Layers of the model."""
    sample_tokens: Count = 40
    """Tokens of each sample."""
