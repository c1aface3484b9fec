"""What the experiment ladder-spam can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderSpamConfig(ExperimentConfig):
    """Spam among text messages, by every method from the commoner class to a language model, on the same five folds."""

    texts: Path | None = None
    """Labelled texts of your own, of two classes; the rarer one is sought. The SMS spam collection if not given."""
    text_column: str | None = None
    """Column of the texts of --texts."""
    label_column: str | None = None
    """Column of their labels."""
    folds: Annotated[int, Range(1, 5)] = 5
    """How many of the five folds are tested; each is tested by what learned from the other four."""
    fold_file: Path | None = None
    """File that tells the fold of each text; those of the SMS spam collection are known, other texts go by hash."""
    vocabulary_size: Vocabulary = 4096
    """Tokens of the networks' tokenizer, trained on the text that is pretrained on."""
    pretraining_steps: Count = 600
    """Steps in which our model reads books before it sees a message."""
    epochs: Epochs = 2.0
    """Times that our model sees the messages."""
    recurrent_epochs: Epochs = 6.0
    """Times that the recurrent network sees them."""
    init: Path | None = None
    """Model folder of a published model of about 135 million parameters: two more rungs, one taught with LoRA, one only
    asked."""
