"""Settings of the experiment tasks. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class TasksConfig(StorySettings):
    """Multi-task fine-tuning: one model for four tasks, compared with a baseline and a single-task model for each."""

    messages: Annotated[int, Range(20, 10**9)] = 2000
    """Labelled training messages, at most."""
    vocabulary_size: Annotated[int, Range(1024, 1 << 20)] = 2048
    """Vocabulary size of its tokenizer."""
    pairs: Annotated[int, Range(100, 10**9)] = 3000
    """Training pairs of English and German sentences, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 250
    """Test cases of each task, at most."""
