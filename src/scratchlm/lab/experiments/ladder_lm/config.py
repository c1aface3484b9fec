"""Settings of the experiment ladder-lm. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class LadderLmConfig(ExperimentConfig):
    """Language models from n-grams to a transformer on the same text: bits per byte, grammar, samples."""

    megabytes: Annotated[float, Range(0.1, 10**6)] = 10.0
    """Training text of every model, in millions of bytes of books."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the shared tokenizer."""
    epochs: Epochs = 1.0
    """Epochs of the networks; the n-gram models count the text once."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 4
    """Layers of the transformer."""
    recurrent_width: Annotated[int, Range(1, 65_536)] = 256
    """Width of the recurrent network."""
    pairs: Annotated[int, Range(2, 10**9)] = 50
    """Pairs of each BLiMP set that are scored."""
    sample_tokens: Count = 50
    """Tokens of each sample."""
