"""Settings of `scratchlm learn`. Imports no torch, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.ranges import Count, Seed
from scratchlm.config.settings import File, Folder, Positional


@dataclass(frozen=True)
class LearnConfig:
    """List the course: its chapters, what is solved, what comes next."""

    progress: File | None = None
    """Progress file; in the user's data folder if not given."""
    json: bool = False
    """Print the list as JSON."""


@dataclass(frozen=True)
class StartConfig:
    """Write the files of a chapter's exercises into a folder: the functions are there, their bodies are yours."""

    chapter: Positional[str]
    """A chapter: 3, or A."""
    out: File = Path()
    """Folder that gets them. A file that is there already stays as it is."""


@dataclass(frozen=True)
class CheckConfig:
    """Check exercises: the first difference in shape or value, and the classic mistake that makes it."""

    exercise: Positional[str]
    """An exercise (3.2), or all of a chapter (3)."""
    file: Positional[File | None] = None
    """Your file; without it the one that `learn start` wrote into the current folder."""
    hint: bool = False
    """Print the hints, and check nothing."""
    solution: bool = False
    """Print the solution, and check nothing."""
    progress: File | None = None
    """Progress file; in the user's data folder if not given."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class TrainOwnConfig:
    """Train the GPT that you wrote by its own functions, and save it as a model that every other command can use."""

    file: Positional[File] = Path("gpt.py")
    """Your file, with all exercises of chapters 2 to 5 solved."""
    text: File | None = None
    """A text file to train on; built-in stories if not given."""
    out: Folder = Path("my-gpt")
    """Model folder to write."""
    steps: Count = 400
    """Steps of training, of 16 rows of 64 tokens."""
    seed: Seed = 0
    """Seed of the weights and of the order of the text."""
    force: bool = False
    """Replace a model that stands in the folder."""
    json: bool = False
    """Print the result as JSON."""
