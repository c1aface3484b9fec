"""IBM models 1 and 2: which word translates which, found by counting sentences that mean the same.

Nobody says which word of a German sentence comes from which of its English one. Expectation maximisation guesses: begin
with every pairing equally likely, count how often words stand in the same pair of sentences, each pairing weighted by
how likely it is so far, set the probabilities to those counts, and begin again.

    model 1:  p(f | e) = product over words f_j of  sum over i of  t(f_j | e_i) / (l + 1)
    model 2:  the same with a(i | j, l, m) instead of 1 / (l + 1): places matter too

e_0 is the empty word, from which f words come that nothing else explains. Sources: Brown et al. 1993, "The mathematics
of statistical machine translation"; Collins 2011, "Statistical machine translation: IBM models 1 and 2".
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
"""The word that stands in no sentence."""
_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def words_of(sentence: str, lower: bool = True) -> list[str]:
    """Cut a sentence into words and marks, lower-cased unless told otherwise."""
    return _WORD.findall(sentence.lower() if lower else sentence)


@dataclass
class _Cells:
    """Every pairing of a word of f with a word of e of the same sentences, one row each."""

    pair: NDArray[np.int64]
    """Number of the pair of words (e, f)."""
    place: NDArray[np.int64]
    """Number of (i, j, l, m)."""
    target: NDArray[np.int64]
    """Number of the word of f, by where it stands in the text: its pairings sum to 1."""
    source_of_pair: NDArray[np.int64]
    target_of_place: NDArray[np.int64]
    pairs: list[tuple[str, str]]
    places: list[tuple[int, int, int, int]]


@dataclass
class WordTranslation:
    """What was learned: for each word of e its translations, and for each place where it comes from."""

    words: dict[str, dict[str, float]] = field(default_factory=dict)
    """t(f | e), by e and then by f; the likeliest first."""
    places: dict[tuple[int, int, int], dict[int, float]] = field(default_factory=dict)
    """a(i | j, l, m), by (j, l, m) and then by i; empty for model 1. i = 0 is the empty word."""
    log_likelihoods: list[float] = field(default_factory=list)
    """Of the training sentences before each round, in nats; it never falls."""

    def probability(self, f: str, e: str) -> float:
        """Return t(f | e), 0 for words that never stood together."""
        return self.words.get(e, {}).get(f, 0.0)

    def align(self, e: Sequence[str], f: Sequence[str]) -> list[int]:
        """Return for each word of `f` the place, from 1, of the word of `e` that it comes from; 0: of the empty one."""
        found = []
        for j, word in enumerate(f):
            chances = [self.probability(word, source) * self._place(i, j, len(e), len(f))
                       for i, source in enumerate([EMPTY, *e])]  # fmt: skip
            found.append(int(np.argmax(chances)))
        return found

    def _place(self, i: int, j: int, length: int, other: int) -> float:
        """Return a(i | j, l, m) for a sentence e of `length` words and an f of `other`."""
        known = self.places.get((j, length, other))
        return 1 / (length + 1) if known is None else known.get(i, 0.0)

    def word_for_word(self, e: Sequence[str]) -> list[str]:
        """Translate each word by its likeliest translation, in the order of `e`; unknown words stay as they are."""
        return [next(iter(self.words[word]), word) if word in self.words else word for word in e]


def learn_translation(
    sentences: Sequence[tuple[Sequence[str], Sequence[str]]], rounds: int = 5, place_rounds: int = 0
) -> WordTranslation:
    """Learn from pairs (e, f) of sentences: `rounds` of model 1, then `place_rounds` of model 2 from where it ended.

    Costs about 50 bytes for each pairing of words within a pair of sentences. `UserError` without a pair of words.
    """
    cells = _cells([(e, f) for e, f in sentences if e and f])
    # Each source word begins with its translations equally likely.
    together = np.bincount(cells.source_of_pair)
    t = 1 / together[cells.source_of_pair]
    a = np.array([1 / (length + 1) for _, _, length, _ in cells.places])
    told = []
    for number in range(rounds + place_rounds):
        weights = t[cells.pair] * a[cells.place]
        sums = np.bincount(cells.target, weights=weights)
        told.append(float(np.log(sums).sum()))
        share = weights / sums[cells.target]  # how much of each word of f comes from this word of e
        counts = np.bincount(cells.pair, weights=share)
        t = counts / np.bincount(cells.source_of_pair, weights=counts)[cells.source_of_pair]
        if number >= rounds:
            of_place = np.bincount(cells.place, weights=share)
            a = of_place / np.bincount(cells.target_of_place, weights=of_place)[cells.target_of_place]
    return WordTranslation(_by_word(cells, t), _by_place(cells, a) if place_rounds else {}, told)


def _cells(sentences: Sequence[tuple[Sequence[str], Sequence[str]]]) -> _Cells:
    """Lay out every pairing."""
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


def _by_word(cells: _Cells, t: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    words: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for number in np.argsort(-t, kind="stable"):
        e, f = cells.pairs[number]
        words[e][f] = float(t[number])
    return dict(words)


def _by_place(cells: _Cells, a: NDArray[np.float64]) -> dict[tuple[int, int, int], dict[int, float]]:
    found: defaultdict[tuple[int, int, int], dict[int, float]] = defaultdict(dict)
    for (i, *rest), chance in zip(cells.places, a, strict=True):
        j, length, other = rest
        found[j, length, other][i] = float(chance)
    return dict(found)
