"""Interpolated Kneser-Ney in numpy: the same probabilities as `ngram.PlainKneserNey`, at corpus size.

`counted.py` counts and finds the grams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scratchlm.classic.counted import NO_KEY, Level, WeightedNgrams, concatenated, counted
from scratchlm.classic.ngram import DiscountRule, Discounts, Ids, check_settings, three_discounts


class KneserNey(WeightedNgrams):
    """Kneser-Ney for corpora: 24 bytes for each distinct gram of each order; exact, on one core."""

    discounts: Sequence[Discounts] = ()
    """Of each order, the lowest first; none in a model that was not fitted."""

    @classmethod
    def fit(
        cls, documents: Iterable[Ids], vocabulary_size: int, order: int = 5, estimate: DiscountRule = three_discounts
    ) -> KneserNey:
        """Count `documents` (each a row of ids) and return the model; `UserError` for ids outside the vocabulary.

        All ids are in memory at once, with about 100 bytes of working memory each besides the model.
        """
        check_settings(vocabulary_size, order)
        levels: list[Level] = []
        rules, contexts = [], 1
        for grams in counted(*concatenated(documents, vocabulary_size), vocabulary_size, order):
            counts = grams.occurrences if grams.neighbours is None else grams.neighbours
            rules.append(estimate([int((counts == count).sum()) for count in (1, 2, 3, 4)]))
            levels.append(_smoothed(grams.keys, counts, contexts, vocabulary_size, rules[-1]))
            contexts = len(grams.keys)
        model = cls(levels, vocabulary_size)
        model.discounts = rules
        return model

    def joined(self, kept: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add both: seen grams are interpolated."""
        return below + kept


def _smoothed(
    keys: NDArray[np.int64], counts: NDArray[np.int64], contexts: int, vocabulary_size: int, discounts: Discounts
) -> Level:
    """Turn the adjusted counts of one order into discounted probabilities and back-off weights."""
    taken = np.array((0.0, *discounts))[np.minimum(counts, 3)]
    parents = keys // vocabulary_size
    totals = np.bincount(parents, weights=counts, minlength=contexts)
    reserved = np.bincount(parents, weights=taken, minlength=contexts)
    # A context without followers (the last of a document) backs off entirely: weight 1, like the unseen row.
    backoff = np.ones(contexts + 1)
    np.divide(reserved, totals, out=backoff[:-1], where=totals > 0)
    kept = (counts - taken) / totals[parents]
    return Level(np.append(keys, NO_KEY), np.append(kept, 0.0), backoff)
