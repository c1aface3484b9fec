"""Phrases with their translations, taken from word alignments in both directions.

Two IBM models, one from each side, align each pair of sentences; `symmetrised` joins both alignments. Two spans of
words are a pair of phrases if no word of either aligns with a word outside the other. Sources: Och and Ney 2003, "A
systematic comparison of various statistical alignment models"; Koehn, Och and Marcu 2003, "Statistical phrase-based
translation".
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scratchlm.classic.alignment import EMPTY, WordTranslation, learn_translation

Words = tuple[str, ...]
Links = set[tuple[int, int]]
"""Pairs of positions, from 0: of a word of e, and of the word of f that it aligns with."""
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


class Option(NamedTuple):
    """An option for a phrase of e: one of its translations, with four natural log-probabilities."""

    words: Words
    """The phrase of f."""
    forward: float
    """log p(f | e), from the counts of phrase pairs."""
    backward: float
    """log p(e | f)."""
    forward_words: float
    """log of the product over words of f of the mean t(f | e) over the words that they align with."""
    backward_words: float
    """The same for the words of e."""


def symmetrised(forward: Links, backward: Links) -> Links:
    """Return the symmetrised alignment: what both have, then neighbours in their union, then unaligned words.

    The heuristic grow-diag-final-and (Koehn et al. 2005): a link of the union is added if it is next to one that was
    taken and one of its words has no link yet; at the end, if both of its words have none.
    """
    union, taken = forward | backward, forward & backward
    grown = True
    while grown:
        grown = False
        for i, j in sorted(taken):
            for down, right in _NEIGHBOURS:
                link = (i + down, j + right)
                if link in union - taken and _free(link, taken, either=True):
                    taken.add(link)
                    grown = True
    for links in (forward, backward):
        for link in sorted(links - taken):
            if _free(link, taken, either=False):
                taken.add(link)
    return taken


def _free(link: tuple[int, int], taken: Links, either: bool) -> bool:
    free = (all(i != link[0] for i, _ in taken), all(j != link[1] for _, j in taken))
    return any(free) if either else all(free)


def phrases(e_length: int, f_length: int, links: Links, longest: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the pairs of spans that the links allow, as (e start, e end, f start, f end), ends excluded.

    A span of f also grows over words at its borders that align with nothing, as these may belong to either side.
    """
    aligned_f = {j for _, j in links}
    for start in range(e_length):
        for end in range(start + 1, min(start + longest, e_length) + 1):
            inside = [j for i, j in links if start <= i < end]
            if not inside:
                continue
            low, high = min(inside), max(inside) + 1
            if any(low <= j < high and not start <= i < end for i, j in links):
                continue
            first = low
            while first >= 0 and (first == low or first not in aligned_f):
                last = high
                while last <= f_length and last - first <= longest and (last == high or last - 1 not in aligned_f):
                    yield start, end, first, last
                    last += 1
                first -= 1


def learn_phrases(
    sentences: Sequence[tuple[Sequence[str], Sequence[str]]], rounds: int = 5, longest: int = 5, most: int = 20
) -> dict[Words, list[Option]]:
    """Learn a phrase table from pairs (e, f) of sentences: for each phrase of e its `most` most probable translations.

    IBM models 1 and 2 take `rounds` of EM each, in both directions. Raises `UserError` without a pair of words.
    """
    turned = [(f, e) for e, f in sentences]
    forward, backward = (learn_translation(side, rounds, rounds) for side in (sentences, turned))
    counts: defaultdict[Words, Counter[Words]] = defaultdict(Counter)
    totals: Counter[Words] = Counter()
    inner: dict[tuple[Words, Words], Counter[frozenset[tuple[int, int]]]] = defaultdict(Counter)
    for e, f in sentences:
        one = {(i - 1, j) for j, i in enumerate(forward.align(e, f)) if i}
        other = {(i, j - 1) for i, j in enumerate(backward.align(f, e)) if j}
        links = symmetrised(one, other)
        for e1, e2, f1, f2 in phrases(len(e), len(f), links, longest):
            source, target = tuple(e[e1:e2]), tuple(f[f1:f2])
            counts[source][target] += 1
            totals[target] += 1
            inside = frozenset((i - e1, j - f1) for i, j in links if e1 <= i < e2 and f1 <= j < f2)
            inner[source, target][inside] += 1
    table = {}
    for source, targets in counts.items():
        count = targets.total()
        options = []
        for target, n in targets.most_common(most):
            (links_inside, _), *_ = inner[source, target].most_common(1)
            turned_links = frozenset((j, i) for i, j in links_inside)
            options.append(Option(
                target, math.log(n / count), math.log(n / totals[target]),
                _by_words(forward, source, target, links_inside), _by_words(backward, target, source, turned_links),
            ))  # fmt: skip
        table[source] = options
    return table


def _by_words(learned: WordTranslation, e: Words, f: Words, links: frozenset[tuple[int, int]]) -> float:
    """Return the log of the lexical weight of f given e (Koehn, Och and Marcu 2003, equation 9)."""
    total = 0.0
    for j, word in enumerate(f):
        sources = [e[i] for i, other in links if other == j] or [EMPTY]
        mean = sum(learned.probability(word, source) for source in sources) / len(sources)
        total += math.log(max(mean, 1e-9))
    return total
