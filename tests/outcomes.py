"""Outcomes to be filled, and which of their claims hold."""

from __future__ import annotations

from scratchlm.experiments.outcome import Outcome


def outcome() -> Outcome:
    return Outcome("toy", "?")


def holding(made: Outcome) -> set[str]:
    return {key for key, claim in made.claims.items() if claim.holds}
