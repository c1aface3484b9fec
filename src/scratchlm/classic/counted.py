"""N-gram counts of all orders in numpy, at corpus size: the basis of the fast n-gram models.

A gram is identified by its row in a sorted array. The row of a longer gram is found from the row of its context: the
pair (row of the context, next token) is packed into one 64-bit integer, exactly and without hashing, and the integers
of each order are sorted. So the grams that continue a context are adjacent, and finding a gram of N tokens takes N
binary searches.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import Ids, NgramModel, checked_ids

NO_KEY = np.iinfo(np.int64).max


class Grams(NamedTuple):
    """The G grams of one order; contexts and shorter grams are rows of the next lower order, the empty gram row 0."""

    keys: NDArray[np.int64]
    """(G,) row of the context * V + token, ascending."""
    occurrences: NDArray[np.int64]
    """(G,) how often each occurs in the text."""
    neighbours: NDArray[np.int64] | None
    """(G,) how many distinct tokens precede each, the start of a document counting as one; None for the highest
    order."""
    shorter: NDArray[np.int64]
    """(G,) row of each gram without its oldest token."""


def find(keys: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of each query in `keys` (ascending, the last one `NO_KEY`), -1 where it is absent.

    Queries made from context -1 are negative, and so never found.
    """
    rows = np.searchsorted(keys, queries)
    return np.where(keys[rows] == queries, rows, -1)


class Level(NamedTuple):
    """The step from contexts of n tokens to grams of n + 1, with G grams and C contexts.

    Each array has one extra entry at its end, for unseen grams, so that row -1 works as an index.
    """

    keys: NDArray[np.int64]
    """(G + 1,) row of the context * V + token, ascending."""
    kept: NDArray[np.float64]
    """(G + 1,) Kneser-Ney: discounted count of a gram / count of its context; Katz: probability; add-k: count."""
    backoff: NDArray[np.float64]
    """(C + 1,) fraction of a context's probability that the shorter context distributes; add-k: the context's count."""


def table_bytes(levels: Iterable[Level]) -> int:
    """Return the bytes of the tables of an n-gram model."""
    return sum(each.nbytes for level in levels for each in level)


class FastNgrams(NgramModel):
    """The base of the fast forms: the rows of grams, found order by order."""

    def __init__(self, levels: list[Level], vocabulary_size: int) -> None:
        self.levels, self.vocabulary_size, self.order = levels, vocabulary_size, len(levels)

    def rows(self, tokens: NDArray[np.int64]) -> Iterator[tuple[int, Level, NDArray[np.int64], NDArray[np.int64]]]:
        """Yield each length of a context with its level, and each token's rows of context and gram; unseen is -1."""
        contexts = np.zeros(len(tokens), np.int64)
        for length, level in enumerate(self.levels):
            grams = find(level.keys, contexts * self.vocabulary_size + tokens[length:])
            yield length, level, contexts, grams
            contexts = grams[:-1]

    def recent(self, context: Ids) -> NDArray[np.int64]:
        """Return the tokens of a context that matter."""
        return checked_ids(context[max(len(context) - self.order + 1, 0) :], self.vocabulary_size)

    def followers(self, context: NDArray[np.int64]) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Return a context's row, the tokens that followed it, and their `kept` values; row -1 where it is unseen."""
        level, size = self.levels[len(context)], self.vocabulary_size
        row = np.zeros(1, np.int64)  # of the empty gram
        for each, token in zip(self.levels, context, strict=False):
            row = find(each.keys, row * size + token)
        at = int(row[0])
        first, last = np.searchsorted(level.keys, [at * size, (at + 1) * size]) if at >= 0 else (0, 0)
        return at, level.keys[first:last] - at * size, level.kept[first:last]


class WeightedNgrams(FastNgrams):
    """Fast forms that interpolate with, or back off to, the weighted distribution of the shorter context."""

    @abstractmethod
    def joined(self, kept: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
        """Combine probabilities of grams, 0 where unseen, with the weighted ones of the lower order."""

    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,)."""
        tokens = checked_ids(ids, self.vocabulary_size)
        probabilities = np.full(len(tokens), 1 / self.vocabulary_size)
        for length, level, contexts, grams in self.rows(tokens):
            probabilities[length:] = self.joined(level.kept[grams], probabilities[length:] * level.backoff[contexts])
        log_probabilities: NDArray[np.float64] = np.log(probabilities)
        return log_probabilities

    def distribution(self, context: Ids) -> NDArray[np.float64]:
        """Return the probability of each id after `context`, shape (V,), all above zero, summing to 1."""
        recent = self.recent(context)
        probabilities = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        for length in range(len(recent) + 1):
            row, followers, kept = self.followers(recent[len(recent) - length :])
            if row < 0:
                break
            probabilities *= self.levels[length].backoff[row]
            probabilities[followers] = self.joined(kept, probabilities[followers])
        return probabilities


def concatenated(documents: Iterable[Ids], vocabulary_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all ids in one array, and the start of each document that is not empty."""
    rows = [row for document in documents if (row := checked_ids(document, vocabulary_size)).size]
    lengths = np.array([len(row) for row in rows], np.int64)
    return np.concatenate([np.zeros(0, np.int64), *rows]), np.cumsum(lengths) - lengths


def counted(tokens: NDArray[np.int64], starts: NDArray[np.int64], vocabulary_size: int, order: int) -> Iterator[Grams]:
    """Yield the grams of 1, 2, ... `order` tokens of documents that begin at `starts`.

    The left neighbours of a gram are counted from the grams one token longer, so each order is yielded one step late.
    """
    ends = np.append(starts[1:], len(tokens))
    room = np.repeat(ends, ends - starts) - np.arange(len(tokens)) if len(tokens) else tokens
    contexts = np.zeros(len(tokens), np.int64)  # row of the gram of `length - 1` tokens from each position on
    rows_before = 1
    before: Grams | None = None
    for length in range(1, order + 1):
        if rows_before > NO_KEY // vocabulary_size:
            raise UserError(f"vocabulary_size {vocabulary_size}: too large to pack with {rows_before:,} grams")
        positions = np.flatnonzero(room >= length)
        packed = contexts[positions] * vocabulary_size + tokens[positions + length - 1]
        keys, rows, occurrences = np.unique(packed, return_inverse=True, return_counts=True)
        where = np.empty(len(keys), np.int64)
        where[rows] = positions
        if before is not None:
            yield before._replace(neighbours=_left_neighbours(contexts, where, starts, rows_before))
        shorter = contexts[where + 1] if length > 1 else np.zeros(len(keys), np.int64)
        contexts = np.full(len(tokens), -1, np.int64)
        contexts[positions] = rows
        before, rows_before = Grams(keys, occurrences, None, shorter), len(keys)
    assert before is not None, "an order is at least 1"
    yield before


def _left_neighbours(
    rows: NDArray[np.int64], longer: NDArray[np.int64], starts: NDArray[np.int64], grams: int
) -> NDArray[np.int64]:
    """Count the distinct left neighbours of each gram, the start of a document counting as one.

    `rows` holds the gram that begins at each position, `longer` one position of each distinct gram one token longer.
    """
    neighbours = np.bincount(rows[longer + 1], minlength=grams)
    opening = np.unique(rows[starts])
    neighbours[opening[opening >= 0]] += 1
    return neighbours
