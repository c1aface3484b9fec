"""What the experiment objective can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class ObjectiveConfig(ExperimentConfig):
    """One model before, during and after training; and bytes, characters, sub-words and words by the byte."""

    megabytes: Annotated[float, Range(0.05, 10**6)] = 4.0
    """Millions of bytes of the beginnings of books, some of which are held out."""
    steps: Count = 300
    """Training steps on each kind of token."""
    vocabulary_size: Vocabulary = 4096
    """Sub-words, and words, at most."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 4
    """Layers of the model."""
    sample_tokens: Count = 40
    """Tokens of each sample."""
