"""N-gram counts of all orders in numpy, at corpus size: the basis of the fast n-gram models.

A gram is identified by its row in a sorted array. The row of a longer gram is found from the row of its context: the
pair (row of the context, next token) is packed into one 64-bit integer, exactly and without hashing, and the integers
of each order are sorted. So the grams that continue a context are adjacent, and finding a gram of N tokens takes N
binary searches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import Ids, checked_ids

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


def row_of(levels: Iterable[NDArray[np.int64]], gram: NDArray[np.int64], vocabulary_size: int) -> int:
    """Return the row of one gram among the keys of its order, -1 where it is unseen; the empty gram is row 0."""
    row = np.zeros(1, np.int64)
    for keys, token in zip(levels, gram, strict=False):
        row = find(keys, row * vocabulary_size + token)
    return int(row[0])


class Table(Protocol):
    """One order of an n-gram model: its grams, their discounted probabilities, and the contexts' back-off weights."""

    @property
    def keys(self) -> NDArray[np.int64]:
        """The packed grams."""

    @property
    def kept(self) -> NDArray[np.float64]:
        """The discounted probability of each gram."""

    @property
    def backoff(self) -> NDArray[np.float64]:
        """The back-off weight of each context."""


def table_bytes(tables: Iterable[Table]) -> int:
    """Return the bytes of the tables of an n-gram model."""
    return sum(each.nbytes for table in tables for each in (table.keys, table.kept, table.backoff))


def joined(documents: Iterable[Ids], vocabulary_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
