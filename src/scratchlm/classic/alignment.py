"""IBM models 1 and 2: word alignment and word translation probabilities, learned from pairs of sentences.

The data do not say which word of a German sentence translates which word of its English one. Expectation maximisation
estimates it: start with uniform probabilities, count how often words occur in the same pair of sentences, each pairing
weighted by its current probability (E step), set the probabilities to the normalised counts (M step), and repeat.

    model 1:  p(f | e) = product over words f_j of  sum over i of  t(f_j | e_i) / (l + 1)
    model 2:  the same with a(i | j, l, m) instead of 1 / (l + 1): positions matter too

e_0 is the empty word (NULL), which aligns with words of f that no other word explains. Sources: Brown et al. 1993, "The
mathematics of statistical machine translation"; Collins 2011, "Statistical machine translation: IBM models 1 and 2".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError

EMPTY = ""
"""The empty word, NULL in the papers, which occurs in no sentence."""
_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def words_of(sentence: str, lower: bool = True) -> list[str]:
    """Split a sentence into words and punctuation, in lower case unless `lower` is False."""
    return _WORD.findall(sentence.lower() if lower else sentence)


@dataclass
class _Cells:
    """Every pairing of a word of f with a word of e in the same pair of sentences, one row each."""

    pair: NDArray[np.int64]
    """Index of the pair of words (e, f)."""
    place: NDArray[np.int64]
    """Index of (i, j, l, m)."""
    target: NDArray[np.int64]
    """Index of the word of f in the whole text: the weights of its pairings sum to 1."""
    source_of_pair: NDArray[np.int64]
    target_of_place: NDArray[np.int64]
    pairs: list[tuple[str, str]]
    places: list[tuple[int, int, int, int]]


@dataclass
class WordTranslation:
    """Learned probabilities: of the translations of each word of e, and of the source position of each position."""

    words: dict[str, dict[str, float]] = field(default_factory=dict)
    """t(f | e), by e and then by f; the most probable first."""
    places: dict[tuple[int, int, int], dict[int, float]] = field(default_factory=dict)
    """a(i | j, l, m), by (j, l, m) and then by i; empty for model 1. i = 0 is the empty word."""
    log_likelihoods: list[float] = field(default_factory=list)
    """Log-likelihood of the training sentences before each round, in nats; EM never lowers it."""

    def probability(self, f: str, e: str) -> float:
        """Return t(f | e), 0 for words that never occurred together."""
        return self.words.get(e, {}).get(f, 0.0)

    def align(self, e: Sequence[str], f: Sequence[str]) -> list[int]:
        """Return for each word of `f` the position, from 1, of the word of `e` it aligns with; 0: the empty word."""
        links = []
        for j, word in enumerate(f):
            probabilities = [self.probability(word, source) * self._place(i, j, len(e), len(f))
                       for i, source in enumerate([EMPTY, *e])]  # fmt: skip
            links.append(int(np.argmax(probabilities)))
        return links

    def _place(self, i: int, j: int, length: int, other: int) -> float:
        """Return a(i | j, l, m) for a sentence e of `length` words and an f of `other`."""
        known = self.places.get((j, length, other))
        return 1 / (length + 1) if known is None else known.get(i, 0.0)

    def word_for_word(self, e: Sequence[str]) -> list[str]:
        """Translate each word by its most probable translation, in the order of `e`; unknown words are copied."""
        return [next(iter(self.words[word]), word) if word in self.words else word for word in e]


def learn_translation(
    sentences: Sequence[tuple[Sequence[str], Sequence[str]]], rounds: int = 5, place_rounds: int = 0
) -> WordTranslation:
    """Learn from pairs (e, f) of sentences: `rounds` of EM for model 1, from there `place_rounds` for model 2.

    Needs about 50 bytes for each pairing of words within a pair of sentences. `UserError` without a pair of words.
    """
    cells = _cells([(e, f) for e, f in sentences if e and f])
    # Start: all translations of a source word have the same probability.
    together = np.bincount(cells.source_of_pair)
    t = 1 / together[cells.source_of_pair]
    a = np.array([1 / (length + 1) for _, _, length, _ in cells.places])
    losses = []
    for number in range(rounds + place_rounds):
        weights = t[cells.pair] * a[cells.place]
        sums = np.bincount(cells.target, weights=weights)
        losses.append(float(np.log(sums).sum()))
        posterior = weights / sums[cells.target]  # probability that this word of f aligns with this word of e
        counts = np.bincount(cells.pair, weights=posterior)
        t = counts / np.bincount(cells.source_of_pair, weights=counts)[cells.source_of_pair]
        if number >= rounds:
            of_place = np.bincount(cells.place, weights=posterior)
            a = of_place / np.bincount(cells.target_of_place, weights=of_place)[cells.target_of_place]
    words: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for number in np.argsort(-t, kind="stable"):
        e, f = cells.pairs[number]
        words[e][f] = float(t[number])
    places: defaultdict[tuple[int, int, int], dict[int, float]] = defaultdict(dict)
    if place_rounds:
        for (i, j, length, other), probability in zip(cells.places, a, strict=True):
            places[j, length, other][i] = float(probability)
    return WordTranslation(dict(words), dict(places), losses)


def _cells(sentences: Sequence[tuple[Sequence[str], Sequence[str]]]) -> _Cells:
    """List every pairing."""
    if not sentences:
        raise UserError("sentences: none has words on both sides; give pairs of sentences")
    pairs: dict[tuple[str, str], int] = {}
    places: dict[tuple[int, int, int, int], int] = {}
    pair, place, target = [], [], []
    position = 0
    for e, f in sentences:
        for j, word in enumerate(f):
            for i, source in enumerate([EMPTY, *e]):
                pair.append(pairs.setdefault((source, word), len(pairs)))
                place.append(places.setdefault((i, j, len(e), len(f)), len(places)))
                target.append(position)
            position += 1
    sources: dict[str, int] = {}
    targets: dict[tuple[int, int, int], int] = {}
    return _Cells(
        pair=np.array(pair, np.int64),
        place=np.array(place, np.int64),
        target=np.array(target, np.int64),
        source_of_pair=np.array([sources.setdefault(e, len(sources)) for e, _ in pairs]),
        target_of_place=np.array([targets.setdefault(where[1:], len(targets)) for where in places]),
        pairs=list(pairs),
        places=list(places),
    )
