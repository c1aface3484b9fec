"""What the experiments that compare methods can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scratchlm.experiments.settings import ExperimentConfig, StorySettings, not_positive, too_small
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
    folds: int = 5
    """How many of the five folds are tested; each is tested by what learned from the other four."""
    fold_file: Path | None = None
    """File that tells the fold of each text; those of the SMS spam collection are known, other texts go by hash."""
    vocabulary_size: int = 4096
    """Tokens of the networks' tokenizer, trained on the text that is pretrained on."""
    pretraining_steps: int = 600
    """Steps in which our model reads books before it sees a message."""
    epochs: float = 2.0
    """Times that our model sees the messages."""
    recurrent_epochs: float = 6.0
    """Times that the recurrent network sees them."""
    init: Path | None = None
    """Model folder of a published model of about 135 million parameters: two more rungs, one taught with LoRA, one only
    asked."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if not 1 <= self.folds <= 5:
            problems.append(f"--folds {self.folds}: must be from 1 to 5")
        problems += too_small(self, {"vocabulary_size": 256})
        return problems + not_positive(self, "pretraining_steps", "epochs", "recurrent_epochs")


@dataclass(frozen=True)
class LadderLmConfig(ExperimentConfig):
    """Language models from counting words to a transformer, on the same text: bits per byte, grammar, samples."""

    megabytes: float = 10.0
    """Millions of bytes of books that every model learns from."""
    vocabulary_size: int = 4096
    """Tokens of the tokenizer that all share."""
    epochs: float = 1.0
    """Times that the networks read the text; the others count it once."""
    depth: int = 4
    """Layers of the transformer."""
    recurrent_width: int = 256
    """Channels of the recurrent network."""
    pairs: int = 50
    """Pairs of each set of BLiMP that are judged."""
    sample_tokens: int = 50
    """Tokens of each sample."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        least = {"megabytes": 0.1, "vocabulary_size": 256, "depth": 1, "recurrent_width": 1, "pairs": 2}
        problems += too_small(self, {**least, "sample_tokens": 1})
        if self.depth > MAX_DEPTH:
            problems.append(f"--depth {self.depth}: must be at most {MAX_DEPTH}")
        return problems + not_positive(self, "epochs")


@dataclass(frozen=True)
class LadderTranslateConfig(ExperimentConfig):
    """English into German, from rules and word counts to networks with attention."""

    pairs: int = 20_000
    """Pairs of sentences that are learned from, at most."""
    tested: int = 1000
    """Sentences that are tested, about."""
    rounds: int = 5
    """Rounds of each IBM model."""
    epochs: float = 4.0
    """Times that the networks see the pairs."""
    width: int = 128
    """Channels of the networks."""
    vocabulary_size: int = 2048
    """Tokens of the networks' tokenizer."""
    init: Path | None = None
    """Model folder of a published model: one more rung, which is only prompted with some pairs."""

    def _problems(self) -> list[str]:
        least = {"pairs": 100, "tested": 10, "rounds": 1, "width": 32, "vocabulary_size": 256}
        problems = super()._problems() + too_small(self, least)
        problems += not_positive(self, "epochs")
        if self.width % 32:
            problems.append(f"--width {self.width}: must be a multiple of 32, the channels of a head")
        return problems


@dataclass(frozen=True)
class LabelEfficiencyConfig(ExperimentConfig):
    """F1 at finding spam against the number of labelled messages, for each kind of method."""

    sizes: tuple[int, ...] = (8, 32, 128, 512)
    """Numbers of labels, besides all of them; give the flag again for another."""
    draws: int = 5
    """How often so many labels are drawn."""
    epochs: float = 2.0
    """Times that our model sees the labels, if that is more steps than the least."""
    recurrent_epochs: float = 4.0
    """Times that the recurrent network sees them."""
    least_steps: int = 48
    """Training steps of a network at least, however few the labels."""
    vocabulary_size: int = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: int = 400
    """Steps in which our model reads books before it sees a message."""

    def _problems(self) -> list[str]:
        least = {"draws": 2, "least_steps": 1, "vocabulary_size": 256, "pretraining_steps": 1}
        few = [f"--sizes {size}: must be at least 4, two of each class" for size in self.sizes if size < 4]
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes:
            few.append(f"--sizes {', '.join(map(str, self.sizes))}: give each once, the smallest first")
        return super()._problems() + too_small(self, least) + not_positive(self, "epochs", "recurrent_epochs") + few


@dataclass(frozen=True)
class LadderUnderstandConfig(ExperimentConfig):
    """Questions on passages of fairy tales, by rules, by retrieval, by networks that are taught to answer."""

    questions: int = 5000
    """Questions that are learned from, at most."""
    tested: int = 500
    """Questions that are tested, at most."""
    epochs: float = 1.0
    """Times that the networks see the questions."""
    vocabulary_size: int = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: int = 400
    """Steps in which our model reads books before it sees a question."""
    init: Path | None = None
    """Model folder of a published model that answers: one more rung, which is only asked."""

    def _problems(self) -> list[str]:
        least = {"questions": 32, "tested": 10, "vocabulary_size": 2048, "pretraining_steps": 1}
        problems = super()._problems() + too_small(self, least)
        return problems + not_positive(self, "epochs")


@dataclass(frozen=True)
class LadderRespondConfig(StorySettings):
    """Replies to what is said, by patterns, by retrieval, by counting, by a model that was taught to answer."""

    tested: int = 200
    """Questions that are put, at most, beside requests for a story."""
    read: int = 30
    """Of these, how many are laid out to be read blind."""
    ratings: Path | None = None
    """The sheet `blind.tsv` of this run, filled in by a reader: the same command with it counts the ratings."""

    def _problems(self) -> list[str]:
        return super()._problems() + too_small(self, {"tested": 10, "read": 1})
