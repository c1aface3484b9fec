"""Shares and means with their errors, and what makes an answer right."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from scratchlm import storyworld
from scratchlm.base.statistics import standard_error, wilson_interval
from scratchlm.lab.harness.outcome import Value

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantile 0.975 of Student's t for 2, 3, ... 10 values; more take the last, a little wide."""


def share(values: Sequence[float], clusters: Sequence[object] | None = None) -> Value:
    """Return the share of ones with Wilson's interval, for as many values as the clusters are worth.

    Values of one cluster, such as questions about one person, vary together: where their error is so many times that
    of values by themselves, so many times fewer of them count (Kish 1965, "Survey sampling", the design effect).
    """
    n, mean = len(values), float(np.mean(values))
    alone = standard_error(values)
    worth = 1.0
    if clusters is not None and alone == 0:
        worth = n / len(set(clusters))  # all alike: how much they vary together is not known, so take the most
    elif clusters is not None:
        together = standard_error(values, clusters)
        worth = max(1.0, (together / alone) ** 2) if math.isfinite(together) else float(n)
    counted = max(1, round(n / worth))
    ones = round(mean * counted, 9)  # where it is no whole number, the interval is that of both neighbours
    return Value(mean, wilson_interval(math.floor(ones), counted).low, wilson_interval(math.ceil(ones), counted).high)


def mean_of(values: Sequence[float], clusters: Sequence[object] | None = None) -> Value:
    """Return the mean with the interval that its clusters allow; none where they are a single one."""
    mean, half = float(np.mean(values)), 1.96 * standard_error(values, clusters)
    return Value(mean, mean - half, mean + half) if math.isfinite(half) else Value(mean)


def of_draws(scores: Sequence[float]) -> Value:
    """Return the mean over draws with its interval by Student's t; a single draw has none."""
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return Value(mean)
    wide = STUDENT[min(len(scores), len(STUDENT) + 1) - 2] * standard_error(scores)
    return Value(mean, mean - wide, mean + wide)


def names(text: str, value: str) -> bool:
    """Tell whether a text has a value in it as words of its own, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def grammatical(text: str) -> bool:
    """Tell whether all whole sentences of a text belong to the grammar of the embedded stories, and there is one.

    A last sentence without its mark was cut off and is not judged.
    """
    found = storyworld.sentences(text)
    if not text.rstrip().endswith((".", "!", "?", '"')):
        found = found[:-1]
    return bool(found) and all(map(storyworld.parses, found))
