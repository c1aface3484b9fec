"""Interpolated Kneser-Ney in numpy: the same probabilities as `ngram.PlainKneserNey`, at corpus size.

`counted.py` counts and finds the grams.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchlm.classic.counted import NO_KEY, counted, find, joined, row_of
from scratchlm.classic.ngram import (
    DiscountRule,
    Discounts,
    Ids,
    NgramModel,
    check_settings,
    checked_ids,
    three_discounts,
)


@dataclass(frozen=True)
class Level:
    """The step from contexts of n tokens to grams of n + 1, with G grams and C contexts.

    Each array has one extra entry at its end, for unseen grams, so that row -1 works as an index.
    """

    keys: NDArray[np.int64]  # (G + 1,) row of the context * V + token, ascending
    kept: NDArray[np.float64]  # (G + 1,) discounted count of the gram / count of its context
    backoff: NDArray[np.float64]  # (C + 1,) fraction of a context's probability that the shorter context distributes
    discounts: Discounts


class KneserNey(NgramModel):
    """Kneser-Ney for corpora: 24 bytes for each distinct gram of each order; exact, on one core."""

    def __init__(self, levels: list[Level], vocabulary_size: int) -> None:
        self.levels = levels
        self.vocabulary_size = vocabulary_size
        self.order = len(levels)

    @classmethod
    def fit(
        cls,
        documents: Iterable[Ids],
        vocabulary_size: int,
        order: int = 5,
        estimate: DiscountRule = three_discounts,
    ) -> KneserNey:
        """Count `documents` (each a row of ids) and return the model; `UserError` for ids outside the vocabulary.

        All ids are in memory at once, with about 100 bytes of working memory each besides the model.
        """
        check_settings(vocabulary_size, order)
        tokens, starts = joined(documents, vocabulary_size)
        levels: list[Level] = []
        contexts = 1
        for grams in counted(tokens, starts, vocabulary_size, order):
            counts = grams.occurrences if grams.neighbours is None else grams.neighbours
            levels.append(_smoothed(grams.keys, counts, contexts, vocabulary_size, estimate))
            contexts = len(grams.keys)
        return cls(levels, vocabulary_size)

    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,)."""
        tokens = checked_ids(ids, self.vocabulary_size)
        probabilities = np.full(len(tokens), 1 / self.vocabulary_size)
        contexts = np.zeros(len(tokens), np.int64)  # row of the gram of `length` tokens from each position on
        for length, level in enumerate(self.levels):
            grams = find(level.keys, contexts * self.vocabulary_size + tokens[length:])
            probabilities[length:] *= level.backoff[contexts]
            probabilities[length:] += level.kept[grams]
            contexts = grams[:-1]
        log_probabilities: NDArray[np.float64] = np.log(probabilities)
        return log_probabilities

    def distribution(self, context: Ids) -> NDArray[np.float64]:
        """Return the probability of each id after `context`, shape (V,), all above zero, summing to 1."""
        recent = checked_ids(context[max(len(context) - self.order + 1, 0) :], self.vocabulary_size)
        probabilities = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        for length in range(len(recent) + 1):
            row = row_of((level.keys for level in self.levels), recent[len(recent) - length :], self.vocabulary_size)
            if row < 0:
                break
            level = self.levels[length]
            smallest_key = row * self.vocabulary_size
            first, last = np.searchsorted(level.keys, [smallest_key, smallest_key + self.vocabulary_size])
            probabilities *= level.backoff[row]
            probabilities[level.keys[first:last] - smallest_key] += level.kept[first:last]
        return probabilities


def _smoothed(
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    contexts: int,
    vocabulary_size: int,
    estimate: DiscountRule,
) -> Level:
    """Turn the adjusted counts of one order into discounted probabilities and back-off weights."""
    discounts = estimate([int((counts == count).sum()) for count in (1, 2, 3, 4)])
    taken = np.array((0.0, *discounts))[np.minimum(counts, 3)]
    parents = keys // vocabulary_size
    totals = np.bincount(parents, weights=counts, minlength=contexts)
    reserved = np.bincount(parents, weights=taken, minlength=contexts)
    # A context without followers (the last of a document) backs off entirely: weight 1, like the unseen row.
    backoff = np.ones(contexts + 1)
    np.divide(reserved, totals, out=backoff[:-1], where=totals > 0)
    kept = (counts - taken) / totals[parents]
    return Level(np.append(keys, NO_KEY), np.append(kept, 0.0), backoff, discounts)
