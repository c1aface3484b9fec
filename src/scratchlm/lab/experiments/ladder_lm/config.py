"""What the experiment ladder-lm can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig
from scratchlm.runs.depth_scaling import MAX_DEPTH


@dataclass(frozen=True)
class LadderLmConfig(ExperimentConfig):
    """Language models from counting words to a transformer, on the same text: bits per byte, grammar, samples."""

    megabytes: Annotated[float, Range(0.1, 10**6)] = 10.0
    """Millions of bytes of books that every model learns from."""
    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer that all share."""
    epochs: Epochs = 1.0
    """Times that the networks read the text; the others count it once."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 4
    """Layers of the transformer."""
    recurrent_width: Annotated[int, Range(1, 65_536)] = 256
    """Channels of the recurrent network."""
    pairs: Annotated[int, Range(2, 10**9)] = 50
    """Pairs of each set of BLiMP that are judged."""
    sample_tokens: Count = 50
    """Tokens of each sample."""
