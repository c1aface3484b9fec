"""Settings of the experiment ladder-spam. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LadderSpamConfig(ExperimentConfig):
    """Spam detection on five fixed folds, by every method from the majority baseline to a language model."""

    texts: Path | None = None
    """Your own labelled texts of two classes, the rarer one positive. The SMS spam collection if not given."""
    text_column: str | None = None
    """Column of --texts that holds the text."""
    label_column: str | None = None
    """Column of --texts that holds the label."""
    folds: Annotated[int, Range(1, 5)] = 5
    """Number of the five folds to test; the other four folds train the method for each."""
    fold_file: Path | None = None
    """File with the fold of each text. The SMS spam collection has one built in; other texts go by their hash."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the networks' tokenizer, trained on the pretraining text."""
    pretraining_steps: Count = 600
    """Pretraining steps of the small model on books."""
    epochs: Epochs = 2.0
    """Epochs of the small model on the messages."""
    recurrent_epochs: Epochs = 6.0
    """Epochs of the recurrent network on the messages."""
    init: Path | None = None
    """Model folder of a published model of about 135 million parameters: adds two methods, zero-shot and LoRA."""
