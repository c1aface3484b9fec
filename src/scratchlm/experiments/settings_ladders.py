"""What the experiments that compare methods can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.experiments.settings import ExperimentConfig, StorySettings
from scratchlm.recipes.dial import MAX_DEPTH


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


@dataclass(frozen=True)
class LadderTranslateConfig(ExperimentConfig):
    """English into German, from rules and word counts to networks with attention."""

    pairs: Annotated[int, Range(100, 10**9)] = 20_000
    """Pairs of sentences that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 1000
    """Sentences that are tested, about."""
    rounds: Annotated[int, Range(1, 1000)] = 5
    """Rounds of each IBM model."""
    epochs: Epochs = 4.0
    """Times that the networks see the pairs."""
    width: Annotated[int, Range(32, 65_536)] = 128
    """Channels of the networks."""
    vocabulary_size: Vocabulary = 2048
    """Tokens of the networks' tokenizer."""
    init: Path | None = None
    """Model folder of a published model: one more rung, which is only prompted with some pairs."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.width % 32:
            problems.append(f"--width {self.width}: must be a multiple of 32, the channels of a head")
        return problems


@dataclass(frozen=True)
class LabelEfficiencyConfig(ExperimentConfig):
    """F1 at finding spam against the number of labelled messages, for each kind of method."""

    sizes: Annotated[tuple[int, ...], Range(4, 10**9)] = (8, 32, 128, 512)
    """Numbers of labels, besides all of them; give the flag again for another."""
    draws: Annotated[int, Range(2, 10**6)] = 5
    """How often so many labels are drawn."""
    epochs: Epochs = 2.0
    """Times that our model sees the labels, if that is more steps than the least."""
    recurrent_epochs: Epochs = 4.0
    """Times that the recurrent network sees them."""
    least_steps: Count = 48
    """Training steps of a network at least, however few the labels."""
    vocabulary_size: Vocabulary = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Steps in which our model reads books before it sees a message."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes:
            problems.append(f"--sizes {', '.join(map(str, self.sizes))}: give each once, the smallest first")
        return problems


@dataclass(frozen=True)
class LadderUnderstandConfig(ExperimentConfig):
    """Questions on passages of fairy tales, by rules, by retrieval, by networks that are taught to answer."""

    questions: Annotated[int, Range(32, 10**9)] = 5000
    """Questions that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 500
    """Questions that are tested, at most."""
    epochs: Epochs = 1.0
    """Times that the networks see the questions."""
    vocabulary_size: Annotated[int, Range(2048, 1 << 20)] = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Steps in which our model reads books before it sees a question."""
    init: Path | None = None
    """Model folder of a published model that answers: one more rung, which is only asked."""


@dataclass(frozen=True)
class LadderRespondConfig(StorySettings):
    """Replies to what is said, by patterns, by retrieval, by counting, by a model that was taught to answer."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions that are put, at most, beside requests for a story."""
    read: Count = 30
    """Of these, how many are laid out to be read blind."""
    ratings: Path | None = None
    """The sheet `blind.tsv` of this run, filled in by a reader: the same command with it counts the ratings."""
