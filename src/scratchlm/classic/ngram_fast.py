"""Interpolated Kneser-Ney in numpy: the model of `ngram.PlainKneserNey`, number for number, at corpus size.

A gram is its row in a sorted array. The row of a longer gram is found from the row of its context: the pair
(row of the context, next token) is packed into one 64-bit integer, exactly and without hashing, and the integers
of each order are sorted. So the grams that continue a context lie side by side, and finding a gram of N tokens is
N binary searches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import (
    DiscountRule,
    Discounts,
    Ids,
    NgramModel,
    check_settings,
    checked_ids,
    three_discounts,
)

_NO_KEY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Level:
    """The step from contexts of n tokens to grams of n + 1, with G grams and C contexts.

    Each array has one more entry than it needs. It stands for "never seen", so that row -1 works as an index.
    """

    keys: NDArray[np.int64]  # (G + 1,) row of the context * V + token, ascending
    kept: NDArray[np.float64]  # (G + 1,) discounted count of the gram / count of its context
    backoff: NDArray[np.float64]  # (C + 1,) share of a context's probability that the shorter context deals out
    discounts: Discounts

    def find(self, queries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each key, -1 where it was never seen. Keys made from context -1 are negative: unseen."""
        rows = np.searchsorted(self.keys, queries)
        return np.where(self.keys[rows] == queries, rows, -1)


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

        All ids are held in memory at once, with about 100 bytes of working space each beside the model.
        """
        check_settings(vocabulary_size, order)
        tokens, starts = _joined(documents, vocabulary_size)
        levels: list[Level] = []
        contexts = 1
        for keys, counts in _counted(tokens, starts, vocabulary_size, order):
            levels.append(_smoothed(keys, counts, contexts, vocabulary_size, estimate))
            contexts = len(keys)
        return cls(levels, vocabulary_size)

    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,)."""
        tokens = checked_ids(ids, self.vocabulary_size)
        probabilities = np.full(len(tokens), 1 / self.vocabulary_size)
        contexts = np.zeros(len(tokens), np.int64)  # row of the gram of `length` tokens from each position on
        for length, level in enumerate(self.levels):
            grams = level.find(contexts * self.vocabulary_size + tokens[length:])
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
            row = self._row(recent[len(recent) - length :])
            if row < 0:
                break
            level = self.levels[length]
            smallest_key = row * self.vocabulary_size
            first, last = np.searchsorted(level.keys, [smallest_key, smallest_key + self.vocabulary_size])
            probabilities *= level.backoff[row]
            probabilities[level.keys[first:last] - smallest_key] += level.kept[first:last]
        return probabilities

    def _row(self, gram: NDArray[np.int64]) -> int:
        """Return the row of one gram, -1 where it was never seen; the empty gram is row 0."""
        row = np.zeros(1, np.int64)
        for level, token in zip(self.levels, gram, strict=False):
            row = level.find(row * self.vocabulary_size + token)
        return int(row[0])


def _joined(documents: Iterable[Ids], vocabulary_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all ids in one row, and where each document that is not empty begins."""
    rows = [row for document in documents if (row := checked_ids(document, vocabulary_size)).size]
    lengths = np.array([len(row) for row in rows], np.int64)
    return np.concatenate([np.zeros(0, np.int64), *rows]), np.cumsum(lengths) - lengths


def _counted(
    tokens: NDArray[np.int64], starts: NDArray[np.int64], vocabulary_size: int, order: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the keys, ascending, and the adjusted counts of the grams of 1, 2, ... `order` tokens.

    The left neighbours of a gram are counted from the grams one longer, so each order is yielded one turn late.
    """
    ends = np.append(starts[1:], len(tokens))
    room = np.repeat(ends, ends - starts) - np.arange(len(tokens)) if len(tokens) else tokens
    contexts = np.zeros(len(tokens), np.int64)  # row of the gram of `length - 1` tokens from each position on
    rows_before = 1
    keys_before = tokens[:0]
    for length in range(1, order + 1):
        if rows_before > _NO_KEY // vocabulary_size:
            raise UserError(f"vocabulary_size {vocabulary_size}: too large to pack with {rows_before:,} grams")
        positions = np.flatnonzero(room >= length)
        packed = contexts[positions] * vocabulary_size + tokens[positions + length - 1]
        keys, rows, occurrences = np.unique(packed, return_inverse=True, return_counts=True)
        if length > 1:
            where = np.empty(len(keys), np.int64)
            where[rows] = positions
            yield keys_before, _left_neighbours(contexts, where, starts, rows_before)
        contexts = np.full(len(tokens), -1, np.int64)
        contexts[positions] = rows
        keys_before, rows_before = keys, len(keys)
    yield keys, occurrences


def _left_neighbours(
    rows: NDArray[np.int64], longer: NDArray[np.int64], starts: NDArray[np.int64], grams: int
) -> NDArray[np.int64]:
    """Count the different left neighbours of each gram, the start of a document being one.

    `rows` holds the gram that begins at each position, `longer` one position of each distinct gram one token longer.
    """
    neighbours = np.bincount(rows[longer + 1], minlength=grams)
    opening = np.unique(rows[starts])
    neighbours[opening[opening >= 0]] += 1
    return neighbours


def _smoothed(
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    contexts: int,
    vocabulary_size: int,
    estimate: DiscountRule,
) -> Level:
    """Turn the adjusted counts of one order into what is kept of each gram and what each context gives away."""
    discounts = estimate([int((counts == count).sum()) for count in (1, 2, 3, 4)])
    taken = np.array((0.0, *discounts))[np.minimum(counts, 3)]
    parents = keys // vocabulary_size
    totals = np.bincount(parents, weights=counts, minlength=contexts)
    reserved = np.bincount(parents, weights=taken, minlength=contexts)
    # A context that nothing follows (the last of a document) hands everything on: backoff 1, like the unseen row.
    backoff = np.ones(contexts + 1)
    np.divide(reserved, totals, out=backoff[:-1], where=totals > 0)
    kept = (counts - taken) / totals[parents]
    return Level(np.append(keys, _NO_KEY), np.append(kept, 0.0), backoff, discounts)
