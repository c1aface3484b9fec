"""Experiment ladder-understand: claims about the methods, and about reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.methods import MethodResult
from scratchlm.lab.harness.outcome import Claim, Outcome, Value
from scratchlm.lab.shared.proportions import mean_of


def claim(
    outcome: Outcome, by: dict[str, MethodResult], compare: Callable[[MethodResult, MethodResult], Comparison]
) -> None:
    """Add the claims."""
    for key, above, below, says in (
        (
            "overlap-beats-first",
            "overlap",
            "first",
            "The sentence with most shared words is a better answer than the first sentence",
        ),
        (
            "rules-help",
            "rules",
            "overlap",
            "Question-word rules answer better than the whole sentence they extract from",
        ),
        ("pretraining-helps", "pretrained", "random", "Pretraining improves the fine-tuned small model"),
        ("taught-beats-rules", "pretrained", "rules", "The small model, pretrained and fine-tuned, beats the rules"),
        ("taught-beats-retrieval", "pretrained", "tfidf", "and beats sentence retrieval"),
        ("rules-beat-taught", "rules", "pretrained", "Rules beat the small model, pretrained and fine-tuned"),
        ("asked-beats-taught", "asked", "pretrained", "A published model zero-shot beats the fine-tuned small model"),
        ("asked-beats-rules", "asked", "rules", "and beats the rules"),
    ):
        if above not in by:  # no --init
            continue
        outcome.claims[key] = Claim(says, compare(by[below], by[above]).interval.low > 0)
    best = max(result.scores["exact"].value for result in by.values())
    outcome.values["best_exact"] = Value(best)
    outcome.claims["half-stay-unanswered"] = Claim(
        "No method reaches an exact match on half of the questions", best < 0.5
    )


def claim_reading(outcome: Outcome, own: np.ndarray, elsewhere: np.ndarray, passages: Sequence[str]) -> None:
    """Add the claim that the fine-tuned small model uses the passage."""
    gap = outcome.values["pretrained.reading"] = mean_of(own - elsewhere, passages)
    says = "The fine-tuned small model answers better on the right passage than on one of another story"
    outcome.claims["taught-reads"] = Claim(says, gap.low is not None and gap.low > 0)
