"""Settings of the experiment features. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class FeaturesConfig(ExperimentConfig):
    """Linear probes on each layer: which simple and contextual properties of tokens can be read."""

    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 600
    """Pretraining steps on books."""
    windows: Annotated[int, Range(8, 10**9)] = 320
    """Windows of text that train the probes; the test uses half as many from other books."""
    tokens: Annotated[int, Range(20, 10**9)] = 6000
    """Tokens that train a probe, at most."""
