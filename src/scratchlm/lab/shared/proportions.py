"""Proportions and means with confidence intervals, and the scoring of answers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from scratchlm import storyworld
from scratchlm.base.statistics import standard_error, wilson_interval
from scratchlm.lab.harness.outcome import Value


def proportion(values: Sequence[float], clusters: Sequence[object] | None = None) -> Value:
    """Return the proportion of ones with Wilson's interval at the effective sample size.

    Values of one cluster, such as questions about one person, vary together. The design effect (Kish 1965, "Survey
    sampling") is the squared ratio of the clustered to the independent standard error; it divides the sample size.
    """
    n, mean = len(values), float(np.mean(values))
    alone = standard_error(values)
    design_effect = 1.0
    if clusters is not None and alone == 0:
        design_effect = n / len(set(clusters))  # all equal: the correlation is unknown, so assume the largest
    elif clusters is not None:
        together = standard_error(values, clusters)
        design_effect = max(1.0, (together / alone) ** 2) if math.isfinite(together) else float(n)
    counted = max(1, round(n / design_effect))
    ones = round(mean * counted, 9)  # if not a whole number, the interval covers both neighbours
    low, high = (wilson_interval(end(ones), counted) for end in (math.floor, math.ceil))
    return Value(mean, low.low, high.high, share=True, cases=n)


def mean_of(values: Sequence[float] | np.ndarray, clusters: Sequence[object] | None = None) -> Value:
    """Return the mean with its clustered interval; without one for a single cluster."""
    mean, half = float(np.mean(values)), 1.96 * standard_error(values, clusters)
    return Value(mean, mean - half, mean + half) if math.isfinite(half) else Value(mean)


def names(text: str, value: str) -> bool:
    """Return whether a text names a value as whole words, ignoring case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def grammatical(text: str) -> bool:
    """Return whether the grammar of the embedded stories accepts all sentences of a text, at least one.

    A last sentence without end punctuation was cut off and is not judged.
    """
    parts = storyworld.sentences(text)
    if not text.rstrip().endswith((".", "!", "?", '"')):
        parts = parts[:-1]
    return bool(parts) and all(map(storyworld.parses, parts))
