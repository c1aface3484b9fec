"""Settings of the experiment ladder-respond. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.ranges import Count, Range
from scratchlm.lab.harness.settings import StorySettings


@dataclass(frozen=True)
class LadderRespondConfig(StorySettings):
    """Replies in a conversation, from ELIZA's patterns, retrieval and n-grams to a fine-tuned model."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Test questions, at most, besides requests for a story."""
    read: Count = 30
    """Test prompts whose replies are laid out for blind rating."""
    ratings: Path | None = None
    """The sheet `blind.tsv` of this run with a reader's ratings; the same command then counts them."""
