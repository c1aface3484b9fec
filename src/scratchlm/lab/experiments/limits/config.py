"""Settings of the experiment limits. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class LimitsConfig(StorySettings):
    """Limits of a fluent model: rewording, negation, false premises, unknown facts, memorised sentences."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions of each kind, at most."""
    sampled: Annotated[int, Range(10, 10**9)] = 200
    """Sentences that the model writes and that are looked up in its training text."""
