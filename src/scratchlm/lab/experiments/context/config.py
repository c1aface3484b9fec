"""Settings of the experiment context. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class ContextConfig(ExperimentConfig):
    """The value of context: more or fewer tokens, shuffled tokens, and no attention."""

    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 900
    """Pretraining steps on books."""
    targets: Annotated[int, Range(8, 10**9)] = 1024
    """Held-out tokens, predicted once per condition."""
    copies: Annotated[int, Range(2, 10**6)] = 16
    """Rows of random tokens that are repeated."""
    copy_steps: Count = 400
    """Training steps of a two-layer model that learns to copy."""
