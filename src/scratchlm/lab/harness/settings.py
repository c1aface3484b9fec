"""What every experiment can be told. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.ranges import Count, Epochs, Seed, Threads, Vocabulary, out_of_range

NOT_SETTINGS = ("out", "data", "replay", "threads", "force", "json")
"""What says where and how to run, not what is measured."""
RATINGS = "ratings"
"""What a reader brings when all steps are done."""
NOT_STEPS = (RATINGS, "init")
"""What changes no step: a published model has steps of its own, which go by its mark."""


@dataclass(frozen=True)
class ExperimentConfig:
    """What every experiment can be told."""

    out: Path | None = None
    """Folder to write; runs/NAME if not given. Interrupted, the same command goes on where it stopped."""
    data: Path | None = None
    """Folder of real data; that which the environment variable SCRATCHLM_DATA names if not given."""
    full: bool = False
    """The thorough form: more folds, more training, larger models. Hours instead of minutes."""
    small: bool = False
    """The quick form: a minute or two, for a look. Its numbers are not those of the notes, and it refutes no claim."""
    replay: Path | None = None
    """Result file to repeat: its settings are taken, and what comes out is compared with it."""
    seed: Seed = 0
    """Seed of weights, order and draws."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    force: bool = False
    """Begin anew in a folder that holds another run of an experiment."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        raise_all(self._problems())

    def _problems(self) -> list[str]:
        problems = out_of_range(self)
        if self.full and self.small:
            problems.append("--full and --small: are two forms; give one")
        return problems

    def data_file(self, name: str) -> Path:
        """Return a file of the data folder; `UserError` that tells how to get it where it is missing."""
        given = self.data or (Path(os.environ["SCRATCHLM_DATA"]) if os.environ.get("SCRATCHLM_DATA") else None)
        if given is None:
            raise UserError(
                f"{name}: this experiment reads it; name the folder that holds it with --data or SCRATCHLM_DATA "
                "(which files, and where they come from: notes/data.md)"
            )
        if not (given / name).exists():
            raise UserError(f"{given / name}: no such file; notes/data.md tells where it comes from")
        return given / name


@dataclass(frozen=True)
class StorySettings(ExperimentConfig):
    """What experiments on a model of the embedded stories can be told."""

    pretraining_steps: Count = 1200
    """Steps, of 8 rows of 192 tokens, in which our model reads stories."""
    vocabulary_size: Vocabulary = 2048
    """Tokens of its tokenizer."""
    epochs: Epochs = 2.0
    """Times that it sees the conversations it is taught."""
