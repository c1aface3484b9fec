"""Outcomes to be filled, and which of their claims hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scratchlm.base.statistics import Comparison, comparison_of
from scratchlm.lab.harness.methods import Rung
from scratchlm.lab.harness.outcome import Outcome, Value


def outcome() -> Outcome:
    return Outcome("toy", "?")


def holding(made: Outcome) -> set[str]:
    return {key for key, claim in made.claims.items() if claim.holds}


def climbed(scores: Mapping[str, float], score: str) -> tuple[dict[str, Rung], Callable[[Rung, Rung], Comparison]]:
    """Return rungs of one score, and what compares them with a small error."""
    by = {key: Rung(key, key, {score: Value(value)}, 0.0, 0.0, 0.0) for key, value in scores.items()}
    return by, lambda a, b: comparison_of(b.scores[score].value - a.scores[score].value, 0.01)
