"""A spelling that makes grammar explicit: only names are capitalised; endings and negations are separate words.

The rules are those of English, and counts from the sentences decide where they apply. A word is a name if the books
capitalise it inside sentences too. An ending is split off if the stem is a word of the books. Different sentences of a
BLiMP pair never get the same spelling.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

RULES = (
    ("s", "", "ES"), ("es", "", "ES"), ("ies", "y", "ES"), ("ed", "", "ED"), ("ed", "e", "ED"), ("ied", "y", "ED"),
    ("ing", "", "ING"), ("ing", "e", "ING"), ("ly", "", "LY"),
)  # fmt: skip
"""Endings, the letters that replace them, and the word that represents them."""
NEGATIONS = (("won't", "will not"), ("can't", "can not"), ("n't", " not"))
LEAST, FRACTION = 3, 0.1
"""A stem has at least three letters and three occurrences, and a tenth of the occurrences of the whole word."""
_WORD = re.compile(r"[A-Za-z]+")
_UNIT = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")


class Spelling:
    """A spelling learned from sentences; calling it respells any sentence."""

    def __init__(self, sentences: Iterable[str]) -> None:
        """Count names and stems in the sentences."""
        texts = [_cleaned(sentence) for sentence in sentences]
        self._small, self._capital = Counter[str](), Counter[str]()
        for text in texts:
            for word in _WORD.findall(text)[1:]:
                (self._capital if word[0].isupper() else self._small)[word.lower()] += 1
        self._seen = Counter(self._cased(word) for text in texts for word in _WORD.findall(text))
        self._known: dict[str, str] = {}

    def __call__(self, sentence: str) -> str:
        """Return the respelled sentence, with a space before each word."""
        text = _WORD.sub(lambda match: self._spelled(self._cased(match[0])), _cleaned(sentence))
        return "".join(f" {unit}" for unit in _UNIT.findall(text))

    def _cased(self, word: str) -> str:
        """Capitalise a word only if it is a name: mostly capitalised inside sentences, or never seen there."""
        small = word.lower()
        counts = self._capital[small], self._small[small]
        return small if word[0].islower() or (counts[0] <= counts[1] and any(counts)) else word.capitalize()

    def _spelled(self, word: str) -> str:
        """Return the most frequent stem with the word for the ending, or the unchanged word."""
        if word not in self._known:
            found = {f"{stem} {mark}": self._seen[stem] for stem, mark in _cuts(word) if len(stem) >= LEAST}
            best = max(found, key=lambda cut: found[cut], default=word)
            enough = found.get(best, 0) >= max(LEAST, FRACTION * self._seen[word])
            self._known[word] = best if enough else word
        return self._known[word]


def _cleaned(sentence: str) -> str:
    """Drop quotation marks, underscores of italics and everything before the first word; split negations."""
    text = " ".join(re.sub(r"[\"“”_]|^\W+", "", sentence).split())
    for short, long in NEGATIONS:
        text = text.replace(short, long).replace(short.capitalize(), long.capitalize())
    return text


def _cuts(word: str) -> Iterator[tuple[str, str]]:
    """Yield possible stems of a word with the word for the ending; a doubled consonant is also tried single."""
    for ending, instead, mark in RULES:
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            yield stem + instead, mark
            if mark in ("ED", "ING") and len(stem) > LEAST and stem[-1] == stem[-2] and stem[-1] not in "aeiou":
                yield stem[:-1], mark
