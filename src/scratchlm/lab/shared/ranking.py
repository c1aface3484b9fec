"""Average precision of a ranking, fast enough for thousands of resamples: the items are sorted once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from scratchlm.base.statistics import Comparison, bootstrap_interval, compare_statistics
from scratchlm.lab.harness.outcome import Value

Probabilities = Float[np.ndarray, " N"]
Truth = Int[np.ndarray, " N"]


class Ranking:
    """Items sorted by their probability of the positive class, the likeliest first; equal ones are not ordered."""

    def __init__(self, probabilities: Probabilities, truth: Truth) -> None:
        """Sort the items; `truth` is 1 for the positive class, else 0."""
        self._order = np.argsort(-probabilities, kind="stable")
        self._truth, falling = truth[self._order], probabilities[self._order]
        self._ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))

    def average_precision(self, rows: Int[np.ndarray, " M"] | None = None) -> float:
        """Return the area under the precision-recall curve of some items, given by index, perhaps more than once.

        Without `rows`, of all items. The precision at each distinct probability counts by the recall that it adds, as
        in scikit-learn. Without a positive item it is 0.
        """
        counts = np.ones(len(self._order)) if rows is None else np.bincount(rows, minlength=len(self._order))
        counts = counts[self._order]
        hits, taken = ((np.cumsum(each))[self._ends] for each in (counts * self._truth, counts))
        precision = hits / np.maximum(taken, 1)
        return float((np.diff(hits, prepend=0) * precision).sum() / max(hits[-1], 1))


def average_precision(probabilities: Probabilities, truth: Truth, samples: int = 1000) -> Value:
    """Return the average precision with its bootstrap interval over items."""
    ranking = Ranking(probabilities, truth)
    items = np.arange(len(truth), dtype=np.float64)
    low, high = bootstrap_interval(items, lambda drawn: ranking.average_precision(drawn.astype(np.int64)), 0, samples)
    return Value(ranking.average_precision(), low, high)


def compare_rankings(one: Probabilities, other: Probabilities, truth: Truth) -> Comparison:
    """Compare the average precision of two methods on the same items: the second minus the first."""
    below, above = Ranking(one, truth), Ranking(other, truth)
    return compare_statistics(len(truth), lambda rows: above.average_precision(rows) - below.average_precision(rows))
