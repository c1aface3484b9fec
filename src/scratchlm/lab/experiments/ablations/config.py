"""What the experiment ablations can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class KnobsConfig(ExperimentConfig):
    """Parameters counted by part, one of them turned, parts frozen, all of them disturbed."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 600
    """Steps in which the model reads books."""
    frozen_steps: Count = 100
    """Steps in which the free parts of a model learn."""
    targets: Annotated[int, Range(256, 10**9)] = 16_384
    """Held-out tokens that are predicted under each condition."""
