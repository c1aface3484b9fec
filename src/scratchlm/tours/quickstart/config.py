"""The settings of `quickstart`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Minutes, Seed, Threads, out_of_range
from scratchlm.config.settings import Folder


@dataclass(frozen=True)
class QuickstartConfig:
    """The whole life of a model in minutes, offline: text, tokenizer, pretraining, questions, report, chat."""

    minutes: Minutes = 3.0
    """Time for everything; kept within a tenth, and the size of the model follows from it."""
    out: Folder = Path("quickstart")
    """Folder to write the model, the questions and the report to."""
    source: str = "storyworld"
    """Text to learn from: the embedded corpus, a named source, or a file or folder of your own."""
    text_column: str | None = None
    """Column or field of a structured file that holds the text."""
    seed: Seed = 0
    """Seed of the text, the weights and the order of training."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of matrix products; auto takes what is faster by the processor's features, as `doctor` says."""
    chat: bool = True
    """Whether to open a chat at the end, on a terminal."""
    force: bool = False
    """Replace what an earlier quickstart left in the folder."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges."""
        raise_all(out_of_range(self))
