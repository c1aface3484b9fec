"""The smoothing methods before Kneser-Ney: add-k and Katz back-off, each in plain Python and in numpy.

An unseen n-gram must not have probability zero. Add-k adds k to every count, which takes far too much probability from
seen n-grams. Katz discounts small counts by the Good-Turing estimate, and gives the freed probability to unseen
n-grams only, in proportion to the shorter context: seen n-grams are not interpolated.

    p(w | h) = d(c(h w)) c(h w) / c(h)      where h w was seen
             = alpha(h) p(w | h')           where it was not, h' being h without its oldest token

Below the empty context the probability is 1 / V. alpha(h) distributes the discounted probability. Where there is none,
a context's total is counted one higher, so that no probability is zero; where every token was seen, no count is
discounted.

Sources: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling"; Katz 1987,
"Estimation of probabilities from sparse data for the language model component of a speech recognizer".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError
from scratchlm.classic.counted import NO_KEY, FastNgrams, Grams, Level, WeightedNgrams, concatenated, counted
from scratchlm.classic.ngram import Ids, PlainNgrams, check_settings, checked_ids, counts_of_counts

RELIABLE = 5
"""Counts above it are not discounted (Katz 1987)."""


def katz_discounts(counts: Sequence[int]) -> NDArray[np.float64]:
    """Return the factors of counts 0 to 5 and above: the Good-Turing ratio, scaled to reach 1 above 5.

    `counts` are the numbers of grams that occur once, twice, ... six times. Where they are too small for a ratio
    between 0 and 1, the factor of a count is 1 - 1 / 2^count.
    """
    factors = np.ones(RELIABLE + 2)
    rest = (RELIABLE + 1) * counts[RELIABLE] / counts[0] if counts[0] else 1.0
    for count in range(1, RELIABLE + 1):
        here, above = counts[count - 1], counts[count]
        ratio = (count + 1) * above / (count * here) if here else 0.0
        factor = (ratio - rest) / (1 - rest) if rest < 1 else 0.0
        factors[count] = factor if 0 < factor < 1 else 1 - 0.5**count
    return factors


class _Dictionaries(PlainNgrams):
    """Counts of grams of all orders, and of their contexts."""

    def __init__(self, documents: Iterable[Ids], vocabulary_size: int, order: int) -> None:
        check_settings(vocabulary_size, order)
        self.vocabulary_size, self.order = vocabulary_size, order
        self.counts: Counter[tuple[int, ...]] = Counter()
        for document in documents:
            row = checked_ids(document, vocabulary_size).tolist()
            for end in range(1, len(row) + 1):
                self.counts.update(tuple(row[start:end]) for start in range(max(end - order, 0), end))
        self.totals: Counter[tuple[int, ...]] = Counter()
        for gram, count in self.counts.items():
            self.totals[gram[:-1]] += count


class PlainAddK(_Dictionaries):
    """Add-k in dictionaries: (c(h w) + k) / (c(h) + k V), without shorter contexts."""

    def __init__(self, documents: Iterable[Ids], vocabulary_size: int, order: int, k: float = 1.0) -> None:
        super().__init__(documents, vocabulary_size, order)
        self.k = k

    def of(self, token: int, context: tuple[int, ...]) -> float:
        """Apply the formula."""
        return (self.counts[(*context, token)] + self.k) / (self.totals[context] + self.k * self.vocabulary_size)


class PlainKatz(_Dictionaries):
    """Katz's back-off in dictionaries, the formula at the head of this file."""

    def __init__(self, documents: Iterable[Ids], vocabulary_size: int, order: int) -> None:
        super().__init__(documents, vocabulary_size, order)
        self.followers: dict[tuple[int, ...], list[int]] = {}
        for gram in self.counts:
            self.followers.setdefault(gram[:-1], []).append(gram[-1])
        alike = {n: [c for gram, c in self.counts.items() if len(gram) == n] for n in range(1, order + 1)}
        self.factors = {n: katz_discounts(counts_of_counts(counts, RELIABLE + 1)) for n, counts in alike.items()}
        self.backoffs = {context: self._backoff(context) for context in self.followers}

    def of(self, token: int, context: tuple[int, ...]) -> float:
        """Apply the formula."""
        if self.counts[(*context, token)]:
            return self._seen(token, context)
        shorter = self.of(token, context[1:]) if context else 1 / self.vocabulary_size
        return self.backoffs.get(context, 1.0) * shorter

    def _seen(self, token: int, context: tuple[int, ...]) -> float:
        if len(self.followers[context]) == self.vocabulary_size:
            return self.counts[(*context, token)] / self.totals[context]
        discounted = [self._discounted(each, context) for each in self.followers[context]]
        total = self.totals[context]
        return self._discounted(token, context) / (total if sum(discounted) < total - 1e-9 else total + 1)

    def _discounted(self, token: int, context: tuple[int, ...]) -> float:
        count = self.counts[(*context, token)]
        return float(self.factors[len(context) + 1][min(count, RELIABLE + 1)]) * count

    def _backoff(self, context: tuple[int, ...]) -> float:
        seen = self.followers[context]
        left = 1 - sum(self._seen(token, context) for token in seen)
        below = sum(self.of(token, context[1:]) if context else 1 / self.vocabulary_size for token in seen)
        return left / (1 - below) if len(seen) < self.vocabulary_size else 0.0


class AddK(FastNgrams):
    """Add-k at corpus size; the same numbers as `PlainAddK`."""

    k: float

    @classmethod
    def fit(cls, documents: Iterable[Ids], vocabulary_size: int, order: int, k: float = 1.0) -> AddK:
        """Count documents, each a row of ids. Raises `UserError` for ids outside the vocabulary, and k not above 0."""
        check_settings(vocabulary_size, order)
        if not k > 0:
            raise UserError(f"k {k:g}: must be over 0, or unseen n-grams have probability zero")
        levels, contexts = [], 1
        for grams in counted(*concatenated(documents, vocabulary_size), vocabulary_size, order):
            totals = np.bincount(grams.keys // vocabulary_size, weights=grams.occurrences, minlength=contexts)
            kept = np.append(grams.occurrences.astype(np.float64), 0.0)
            levels.append(Level(np.append(grams.keys, NO_KEY), kept, np.append(totals, 0.0)))
            contexts = len(grams.keys)
        model = cls(levels, vocabulary_size)
        model.k = k
        return model

    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,)."""
        tokens = checked_ids(ids, self.vocabulary_size)
        probabilities = np.zeros(len(tokens))
        for length, level, contexts, grams in self.rows(tokens):
            total = level.backoff[contexts] + self.k * self.vocabulary_size
            probabilities[length:] = (level.kept[grams] + self.k) / total
        return np.log(probabilities)

    def distribution(self, context: Ids) -> NDArray[np.float64]:
        """Return the probability of each id after `context`, shape (V,)."""
        recent = self.recent(context)
        row, followers, kept = self.followers(recent)
        counts = np.full(self.vocabulary_size, self.k)
        counts[followers] += kept
        return counts / (self.levels[len(recent)].backoff[row] + self.k * self.vocabulary_size)


class Katz(WeightedNgrams):
    """Katz's back-off at corpus size; the same numbers as `PlainKatz`."""

    @classmethod
    def fit(cls, documents: Iterable[Ids], vocabulary_size: int, order: int = 3) -> Katz:
        """Count documents, each a row of ids. Raises `UserError` for ids outside the vocabulary."""
        check_settings(vocabulary_size, order)
        levels: list[Level] = []
        contexts, below = 1, np.full(1, 1 / vocabulary_size)
        for grams in counted(*concatenated(documents, vocabulary_size), vocabulary_size, order):
            levels.append(_backed_off(grams, contexts, below, vocabulary_size))
            contexts, below = len(grams.keys), levels[-1].kept
        return cls(levels, vocabulary_size)

    def joined(self, kept: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take what a seen gram keeps, else what is below: seen grams are not interpolated."""
        return np.where(kept > 0, kept, below)


def _backed_off(grams: Grams, contexts: int, below: NDArray[np.float64], vocabulary_size: int) -> Level:
    """Return the probabilities of the seen grams of one order, and each context's back-off weight for unseen ones.

    `below` holds the probability of each gram one token shorter, by its row.
    """
    factors = katz_discounts([int((grams.occurrences == count).sum()) for count in range(1, RELIABLE + 2)])
    parents = grams.keys // vocabulary_size
    complete = np.bincount(parents, minlength=contexts) == vocabulary_size
    discounted = factors[np.minimum(grams.occurrences, RELIABLE + 1)] * grams.occurrences
    discounted = np.where(complete[parents], grams.occurrences, discounted)
    totals = np.bincount(parents, weights=grams.occurrences, minlength=contexts)
    taken = np.bincount(parents, weights=discounted, minlength=contexts)
    totals = np.where(complete | (taken < totals - 1e-9), totals, totals + 1)
    kept = discounted / totals[parents]
    left = 1 - np.bincount(parents, weights=kept, minlength=contexts)
    room = 1 - np.bincount(parents, weights=below[grams.shorter], minlength=contexts)
    # A context without followers (the last of a document) backs off entirely: weight 1, like the unseen row.
    backoff = np.ones(contexts + 1)
    np.divide(left, room, out=backoff[:-1], where=~complete)
    backoff[:-1][complete] = 0.0
    return Level(np.append(grams.keys, NO_KEY), np.append(kept, 0.0), backoff)
