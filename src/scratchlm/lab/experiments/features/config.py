"""What the experiment features can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class FeaturesConfig(ExperimentConfig):
    """What can be read from each layer of a model that no one told it: simple and compound, by linear probes."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 600
    """Steps in which the model reads books."""
    windows: Annotated[int, Range(8, 10**9)] = 320
    """Windows of text that probes learn from; half as many of other books are read for the test."""
    tokens: Annotated[int, Range(20, 10**9)] = 6000
    """Tokens of each mark that a probe learns from, at most."""
