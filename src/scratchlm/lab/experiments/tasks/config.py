"""What the experiment tasks can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class TasksConfig(StorySettings):
    """One model answers, finds spam, rewrites and translates, beside a narrow rival for each and a model for each."""

    messages: Annotated[int, Range(20, 10**9)] = 2000
    """Labelled messages that are learned from, at most."""
    vocabulary_size: Annotated[int, Range(1024, 1 << 20)] = 2048
    """Tokens of its tokenizer."""
    pairs: Annotated[int, Range(100, 10**9)] = 3000
    """Pairs of English and German sentences that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 250
    """Cases of each task that are tested, at most."""
