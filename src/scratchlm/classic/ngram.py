"""Interpolated Kneser-Ney n-grams in plain Python; `ngram_fast.KneserNey` is the same model in numpy.

An n-gram model of order N predicts a token from the N - 1 tokens before it by counting. Most long contexts were never
seen, or seen once, so each order takes a discount off every count and gives that probability to the next shorter
context. The idea of Kneser-Ney is how it counts in those shorter contexts: not how *often* a gram occurs but after how
many *different* tokens. "Francisco" is frequent and yet improbable after an unseen word, because it follows only "San".

With c the adjusted count, h the context, h' the context without its oldest token and D the discount of a count:

    p(w | h) = (c(h w) - D(c(h w))) / c(h)  +  (sum over v of D(c(h v))) / c(h) * p(w | h')

where the first term is zero for a w that never followed h, and p(w | h) = p(w | h') for an unseen h.
The recursion ends below the empty context at 1 / V, so every id of the vocabulary has a probability above zero.

Conventions. A document begins with the empty context, which grows to N - 1 tokens; there is no padding, and no gram
spans two documents. The start of a document counts as one left neighbour, so each gram in the text has a count of
at least 1 at each order. To condition on "a document begins here", put the end-of-text id first in each document,
in `fit` as in scoring, and leave its own log-probability out of the sum.

Sources: Kneser & Ney 1995, "Improved backing-off for m-gram language modeling"; Chen & Goodman 1998, "An empirical
study of smoothing techniques for language modeling", whose modified form with three discounts is the default.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError

Ids = Sequence[int] | NDArray[np.integer]
"""Token ids, shape (T,)."""

Discounts = tuple[float, float, float]
"""The discounts of a count of 1, of 2, and of 3 or more."""

DiscountRule = Callable[[Sequence[int]], Discounts]
"""Maps the numbers of grams of an order with adjusted counts 1, 2, 3 and 4 to the discounts of that order."""

FALLBACK_DISCOUNTS: Discounts = (0.5, 1.0, 1.5)
"""Used where the text is too small, or too regular, for the estimate (the same values as KenLM's fallback)."""


def three_discounts(counts_of_counts: Sequence[int]) -> Discounts:
    """Estimate a discount each for counts of 1, of 2, and of 3 or more (Chen & Goodman 1998, equation 26).

    Returns `FALLBACK_DISCOUNTS` where one of the four counts is zero or a discount would not lie above zero.
    """
    n1, n2, n3, n4 = counts_of_counts
    if min(n1, n2, n3, n4) == 0:
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return discounts if min(discounts) > 0 else FALLBACK_DISCOUNTS


def one_discount(counts_of_counts: Sequence[int]) -> Discounts:
    """Estimate a single discount for all counts, n1 / (n1 + 2 n2) (Ney, Essen & Kneser 1994).

    Returns `FALLBACK_DISCOUNTS` where no gram has a count of 1 or none has a count of 2.
    """
    n1, n2 = counts_of_counts[:2]
    if min(n1, n2) == 0:
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    return (y, y, y)


def check_settings(vocabulary_size: int, order: int) -> None:
    """Raise `UserError` unless both the vocabulary and the order are at least 1."""
    if vocabulary_size < 1:
        raise UserError(f"vocabulary_size {vocabulary_size}: must be at least 1; give the tokenizer's size")
    if order < 1:
        raise UserError(f"order {order}: must be at least 1; 5 is usual")


def checked_ids(ids: Ids, vocabulary_size: int) -> NDArray[np.int64]:
    """Return `ids` as int64, shape (T,); `UserError` where they are not whole numbers from 0 to V - 1 in one row."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"token ids of shape {array.shape} and type {array.dtype}: give one row of whole numbers")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= vocabulary_size:
        wrong = low if low < 0 else high
        raise UserError(f"token id {wrong}: ids go from 0 to {vocabulary_size - 1}; use the model's own tokenizer")
    return array.astype(np.int64)


class NgramModel(ABC):
    """The base of the plain and the fast model: what follows from the probabilities of the next token."""

    vocabulary_size: int
    order: int

    @abstractmethod
    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,).

        The first is predicted from the empty context. `UserError` for an id outside the vocabulary.
        """

    @abstractmethod
    def distribution(self, context: Ids) -> NDArray[np.float64]:
        """Return the probability of each id after `context`, shape (V,), all above zero, summing to 1.

        Only the last `order - 1` tokens of `context` matter. `UserError` for an id outside the vocabulary.
        """

    def probability(self, token: int, context: Ids) -> float:
        """Return the probability of `token` after `context`, above 0 and at most 1."""
        recent = [*context[max(len(context) - self.order + 1, 0) :], token]
        return math.exp(self.token_log_probabilities(recent)[-1])

    def log_likelihood(self, ids: Ids) -> float:
        """Return the log-probability of all of `ids`, in nats; divide by -ln 2 and the bytes for bits per byte."""
        return float(self.token_log_probabilities(ids).sum())

    def sample(self, prompt: Ids, length: int, seed: int | np.random.Generator = 0) -> list[int]:
        """Return `length` new tokens drawn one by one after `prompt`, without the prompt.

        Needs V operations per token and order. A generator given as `seed` is advanced.
        """
        generator = np.random.default_rng(seed)
        ids = list(prompt)
        for _ in range(length):
            recent = ids[max(len(ids) - self.order + 1, 0) :]
            ids.append(int(generator.choice(self.vocabulary_size, p=self.distribution(recent))))
        return ids[len(prompt) :]


class PlainNgrams(NgramModel):
    """The base of the plain forms: one probability at a time."""

    @abstractmethod
    def of(self, token: int, context: tuple[int, ...]) -> float:
        """Return the probability of a token after at most `order - 1` tokens."""

    def token_log_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the natural log-probability of each token given those before it, shape (T,)."""
        row = checked_ids(ids, self.vocabulary_size).tolist()
        contexts = (tuple(row[max(end - self.order + 1, 0) : end]) for end in range(len(row)))
        return np.array([math.log(self.of(token, h)) for token, h in zip(row, contexts, strict=True)])

    def distribution(self, context: Ids) -> NDArray[np.float64]:
        """Return the probability of each id after `context`, shape (V,)."""
        row = checked_ids(context, self.vocabulary_size).tolist()
        recent = tuple(row[max(len(row) - self.order + 1, 0) :])
        return np.array([self.of(token, recent) for token in range(self.vocabulary_size)])


@dataclass
class Followers:
    """The tokens after one context: the adjusted count of each, their sum, and the sum of their discounts."""

    counts: dict[int, int]
    total: int
    reserved: float


class PlainKneserNey(PlainNgrams):
    """Kneser-Ney in dictionaries: one entry for each seen context of 0 to N - 1 tokens.

    For reading, and as the reference of the fast model. At order 5, training needs up to about 2 kB and 15 microseconds
    a token.
    """

    def __init__(
        self, followers: dict[tuple[int, ...], Followers], discounts: dict[int, Discounts], vocabulary_size: int
    ) -> None:
        self.followers, self.discounts = followers, discounts  # discounts by the length of the gram
        self.vocabulary_size, self.order = vocabulary_size, len(discounts)

    @classmethod
    def fit(
        cls, documents: Iterable[Ids], vocabulary_size: int, order: int = 5, estimate: DiscountRule = three_discounts
    ) -> PlainKneserNey:
        """Count `documents` (each a row of ids) and return the model; `UserError` for ids outside the vocabulary."""
        check_settings(vocabulary_size, order)
        rows = (checked_ids(document, vocabulary_size).tolist() for document in documents)
        counts = adjusted_counts(rows, order)
        discounts = {
            length: estimate(counts_of_counts((c for gram, c in counts.items() if len(gram) == length), 4))
            for length in range(1, order + 1)
        }
        followers: dict[tuple[int, ...], Followers] = {}
        for gram, count in counts.items():
            after = followers.setdefault(gram[:-1], Followers({}, 0, 0.0))
            after.counts[gram[-1]] = count
            after.total += count
            after.reserved += discounts[len(gram)][min(count, 3) - 1]
        return cls(followers, discounts, vocabulary_size)

    def of(self, token: int, context: tuple[int, ...]) -> float:
        """Apply the formula at the head of this file."""
        shorter = self.of(token, context[1:]) if context else 1 / self.vocabulary_size
        after = self.followers.get(context)
        if after is None:
            return shorter
        count = after.counts.get(token, 0)
        kept = count - self.discounts[len(context) + 1][min(count, 3) - 1] if count else 0.0
        return kept / after.total + after.reserved / after.total * shorter


def counts_of_counts(counts: Iterable[int], most: int) -> list[int]:
    """Return how many of `counts` are 1, 2, ... `most`."""
    tally = Counter(counts)
    return [tally[count] for count in range(1, most + 1)]


def adjusted_counts(documents: Iterable[Sequence[int]], order: int) -> dict[tuple[int, ...], int]:
    """Count grams of 1 to `order` tokens: occurrences of the longest, different left neighbours of the others."""
    occurrences: Counter[tuple[int, ...]] = Counter()
    neighbours: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    document_start = -1
    for document in documents:
        for end in range(1, len(document) + 1):
            for start in range(max(end - order, 0), end):
                gram = tuple(document[start:end])
                if len(gram) == order:
                    occurrences[gram] += 1
                else:
                    neighbours[gram].add(document[start - 1] if start else document_start)
    return dict(occurrences) | {gram: len(before) for gram, before in neighbours.items()}
