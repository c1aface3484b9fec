"""What the experiment ladder-respond can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class LadderRespondConfig(StorySettings):
    """Replies to what is said, by patterns, by retrieval, by counting, by a model that was taught to answer."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions that are put, at most, beside requests for a story."""
    read: Count = 30
    """Of these, how many are laid out to be read blind."""
    ratings: Path | None = None
    """The sheet `blind.tsv` of this run, filled in by a reader: the same command with it counts the ratings."""
