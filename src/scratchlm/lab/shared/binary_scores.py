"""F1 and average precision of two classes, with intervals and comparisons that resample texts quickly.

F1 depends on a few counts alone, and resampling texts draws those counts from a multinomial distribution. For average
precision the texts are sorted once.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from scratchlm.base.statistics import Comparison, bootstrap_interval, compare_statistics, comparison_of
from scratchlm.lab.harness.outcome import Value

Probabilities = Float[np.ndarray, " N"]
Classes = Int[np.ndarray, " N"]
"""The classes of texts, 1 for the positive one, else 0."""
SAMPLES = 2000
"""Resamples of the texts."""


def f1_score(truth: Classes, predicted: Classes) -> Value:
    """Return the F1 of the positive class with its bootstrap interval over texts; 0 without a true or predicted one."""
    counts = np.bincount(2 * truth + predicted, minlength=4)
    drawn = _f1(_resampled(counts).reshape(-1, 2, 2))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Value(float(_f1(counts.reshape(2, 2))), float(low), float(high), share=True)


def compare_f1(truth: Classes, one: Classes, other: Classes) -> Comparison:
    """Compare the F1 of two methods' predicted classes of the same texts: the second minus the first."""
    counts = np.bincount(4 * truth + 2 * one + other, minlength=8)

    def gap(cells: np.ndarray) -> np.ndarray:
        each = cells.reshape(*cells.shape[:-1], 2, 2, 2)  # truth, one, other
        return _f1(each.sum(-2)) - _f1(each.sum(-1))

    return comparison_of(float(gap(counts)), float(np.std(gap(_resampled(counts)), ddof=1)))


def _resampled(counts: Int[np.ndarray, " K"]) -> Int[np.ndarray, "S K"]:
    return np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), SAMPLES)


def _f1(counts: Int[np.ndarray, "*S 2 2"]) -> Float[np.ndarray, "*S"]:
    """Return F1 from counts of texts by true and by predicted class."""
    hits = counts[..., 1, 1]
    missed = counts[..., 0, 1] + counts[..., 1, 0]
    return np.asarray(2 * hits / np.maximum(2 * hits + missed, 1))


class Ranking:
    """Texts sorted by their probability of the positive class, the likeliest first; equal ones are not ordered."""

    def __init__(self, truth: Classes, probabilities: Probabilities) -> None:
        self._order = np.argsort(-probabilities, kind="stable")
        self._truth, falling = truth[self._order], probabilities[self._order]
        self._ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))

    def average_precision(self, rows: Int[np.ndarray, " M"] | None = None) -> float:
        """Return the area under the precision-recall curve of some texts, given by index, perhaps more than once.

        Without `rows`, of all texts. The precision at each distinct probability counts by the recall that it adds, as
        in scikit-learn. Without a positive text it is 0.
        """
        counts = np.ones(len(self._order)) if rows is None else np.bincount(rows, minlength=len(self._order))
        counts = counts[self._order]
        hits, taken = ((np.cumsum(each))[self._ends] for each in (counts * self._truth, counts))
        precision = hits / np.maximum(taken, 1)
        return float((np.diff(hits, prepend=0) * precision).sum() / max(hits[-1], 1))


def average_precision(truth: Classes, probabilities: Probabilities) -> Value:
    """Return the average precision with its bootstrap interval over texts."""
    ranking = Ranking(truth, probabilities)
    texts = np.arange(len(truth), dtype=np.float64)
    interval = bootstrap_interval(
        texts, lambda drawn: ranking.average_precision(drawn.astype(np.int64)), 0, SAMPLES // 4
    )
    return Value(ranking.average_precision(), *interval, share=True)


def compare_rankings(truth: Classes, one: Probabilities, other: Probabilities) -> Comparison:
    """Compare the average precision of two methods on the same texts: the second minus the first."""
    below, above = Ranking(truth, one), Ranking(truth, other)
    return compare_statistics(len(truth), lambda rows: above.average_precision(rows) - below.average_precision(rows))
