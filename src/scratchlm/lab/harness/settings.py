"""Settings that all experiments share. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.ranges import Count, Epochs, Range, Seed, Threads, Vocabulary, out_of_range

NOT_SETTINGS = ("out", "data", "replay", "threads", "force", "guess", "json")
"""Settings that say where and how to run, not what is measured."""
BOOKS = "pretrain/books.jsonl"
"""The pretraining text of the small model, in the data folder."""
INIT = "init"
"""Name of a published model, among an experiment's settings and its files."""
MODEL = "model"
"""Name of a quickstart's model, among an experiment's settings and its files."""
NOT_STEPS = (INIT, "seeds")
"""Settings that change no step: a published model's steps carry its hash in their names, and a seed has its own folder.

So a run with more seeds goes on from one with fewer.
"""


@dataclass(frozen=True)
class ExperimentConfig:
    """Settings of every experiment."""

    reads: ClassVar[Mapping[str, str]] = {}
    """Files of the data folder that the experiment reads, by their names in its result."""
    out: Path | None = None
    """Folder to write; runs/NAME if not given. After an interruption the same command resumes there."""
    data: Path | None = None
    """Folder of real data; if not given, the one that the environment variable SCRATCHLM_DATA names."""
    full: bool = False
    """Full size: more folds, more training, larger models. Takes hours instead of minutes."""
    small: bool = False
    """Smoke-test size: one or two minutes. Its numbers differ from the notes, and it refutes no claim, except in
    limits with a quickstart's model."""
    replay: Path | None = None
    """Result file to replay: the run takes its settings, and the new result is compared with it."""
    seed: Seed = 0
    """Seed of the initial weights, the data order and all sampling; the first of several."""
    seeds: Annotated[int, Range(1, 100)] = 1
    """Number of seeds: every network is trained once for each, and intervals are over seeds and test items."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    force: bool = False
    """Start over in a folder that holds another run of an experiment."""
    guess: bool = False
    """Ask for your guesses of some values first; after the run show each beside the measured value."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        raise_all(self._problems())

    def _problems(self) -> list[str]:
        problems = out_of_range(self)
        if self.full and self.small:
            problems.append("--full and --small: exclude each other; give one")
        return problems

    def files(self) -> dict[str, Path]:
        """Return the files that the experiment reads, without the published model."""
        return {name: self.data_file(place) for name, place in self.reads.items()}

    @property
    def books(self) -> Path:
        """The pretraining text of the small model."""
        return self.data_file(BOOKS)

    def data_file(self, name: str) -> Path:
        """Return a file of the data folder. Raises `UserError` with where to get it if it is missing."""
        folder = self.data or (Path(os.environ["SCRATCHLM_DATA"]) if os.environ.get("SCRATCHLM_DATA") else None)
        if folder is None:
            raise UserError(
                f"{name}: this experiment reads it; name the folder that holds it with --data or SCRATCHLM_DATA "
                "(which files, and where they come from: notes/data.md)"
            )
        if not (folder / name).exists():
            raise UserError(f"{folder / name}: no such file; notes/data.md says where it comes from")
        return folder / name


@dataclass(frozen=True)
class BookSettings(ExperimentConfig):
    """Settings of experiments on a small model that is pretrained on books."""

    reads: ClassVar[Mapping[str, str]] = {"books": BOOKS}
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 600
    """Pretraining steps on books."""


@dataclass(frozen=True)
class StorySettings(ExperimentConfig):
    """Settings of experiments on a small model that is pretrained on the embedded stories."""

    pretraining_steps: Count = 1200
    """Pretraining steps of the small model on stories; a batch has 8 rows of 192 tokens."""
    vocabulary_size: Vocabulary = 2048
    """Vocabulary size of its tokenizer."""
    epochs: Epochs = 2.0
    """Epochs of fine-tuning on conversations."""
