"""What the experiment context can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class ContextConfig(ExperimentConfig):
    """What the tokens before the predicted one are worth: more or fewer of them, in disorder, without attention."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 900
    """Steps in which the model reads books."""
    targets: Annotated[int, Range(8, 10**9)] = 1024
    """Held-out tokens that are predicted under each condition."""
    copies: Annotated[int, Range(2, 10**6)] = 16
    """Rows of random tokens that are repeated."""
    copy_steps: Count = 400
    """Training steps of a model of two layers that learns to copy."""
