"""Settings of the experiment ablations. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class AblationsConfig(ExperimentConfig):
    """Ablations of a model: count parameters by part, change one, freeze parts, add noise, set weights to zero."""

    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 600
    """Pretraining steps on books."""
    frozen_steps: Count = 100
    """Training steps of a model with frozen parts."""
    targets: Annotated[int, Range(256, 10**9)] = 16_384
    """Held-out tokens, predicted once per condition."""
