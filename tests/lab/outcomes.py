"""Outcomes to be filled, and which of their claims hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from xml.etree import ElementTree

from scratchlm.base.config import from_dict
from scratchlm.base.statistics import Comparison, comparison_of
from scratchlm.lab.catalogue import EXPERIMENTS, sentences
from scratchlm.lab.harness.findings import Findings, Sentence, conclude
from scratchlm.lab.harness.methods import MethodResult
from scratchlm.lab.harness.outcome import Curves, Outcome, Value
from scratchlm.lab.harness.verdicts import LEVEL, judged

SENTENCES = {key: each for name in EXPERIMENTS for key, each in sentences(name).items()}
"""What the claims of all experiments say; where two have the same key, of one of them."""


def concluded(*found: Findings, says: Mapping[str, Sentence] = SENTENCES) -> Outcome:
    """Return the outcome that the findings at one or several seeds give, each claim judged as if it were alone."""
    made = Outcome("toy", "?")
    conclude(made, found, says)
    shown = {key: judged(claim.test, made.values) for key, claim in made.claims.items() if claim.test}
    for key, each in shown.items():
        holds = each.holds if (each.p or 0.0) <= LEVEL else None
        made.claims[key] = replace(made.claims[key], holds=holds)
    return made


def holding(*found: Findings, says: Mapping[str, Sentence] = SENTENCES) -> set[str]:
    return {key for key, claim in concluded(*found, says=says).claims.items() if claim.holds}


def of_today(stored: Outcome) -> bool:
    """Return whether a published result has controls, as those of today's experiments do."""
    return any(claim.control for claim in stored.claims.values())


def results_of(
    scores: Mapping[str, float], score: str
) -> tuple[dict[str, MethodResult], Callable[[MethodResult, MethodResult], Comparison]]:
    """Return a result of one score for each method, and a comparison with a small error."""
    by = {key: MethodResult(key, key, {score: Value(value)}, 0.0, 0.0, 0.0) for key, value in scores.items()}
    return by, lambda a, b: comparison_of(b.scores[score].value - a.scores[score].value, 0.01)


def drawn_from(drawn: str) -> Curves:
    """Return the curves that a figure was drawn from."""
    described = ElementTree.fromstring(drawn).findtext(".//{http://purl.org/dc/elements/1.1/}description")
    return from_dict(Curves, json.loads(described or "{}"))
