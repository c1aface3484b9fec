"""What the experiment limits can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class LimitsConfig(StorySettings):
    """Where a model is fluent and wrong: other wordings, negations, premises that are false, sentences it remembers."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions of each kind, at most."""
    sampled: Annotated[int, Range(10, 10**9)] = 200
    """Sentences that the model writes and that are traced to what it read."""
