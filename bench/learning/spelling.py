"""A spelling in which grammar shows: only names have capitals, endings and negations are words of their own.

The rules are those of English; which words they touch is learned from the sentences: a capital is a name's where the
books capitalise the word inside their sentences too, an ending is cut where what is left is a word of the books. No
two sentences of BLiMP's pairs that differ are spelled alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

RULES = (
    ("s", "", "ES"),
    ("es", "", "ES"),
    ("ies", "y", "ES"),
    ("ed", "", "ED"),
    ("ed", "e", "ED"),
    ("ied", "y", "ED"),
    ("ing", "", "ING"),
    ("ing", "e", "ING"),
    ("ly", "", "LY"),
)
"""Common endings, the letters that they replace, and the word that stands for them."""
NEGATIONS = (("won't", "will not"), ("can't", "can not"), ("n't", " not"))
LEAST, SHARE = 3, 0.1
"""A stem has three letters or more and is seen three times, and once for ten times that the whole word is."""
_WORD = re.compile(r"[A-Za-z]+")
_UNIT = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")


class Spelling:
    """The spelling learned from sentences; calling it respells a sentence of any source."""

    def __init__(self, sentences: Iterable[str]) -> None:
        """Count which words are names and which are stems."""
        texts = [_cleaned(sentence) for sentence in sentences]
        self._small, self._capital = Counter[str](), Counter[str]()
        for text in texts:
            for word in _WORD.findall(text)[1:]:
                (self._capital if word[0].isupper() else self._small)[word.lower()] += 1
        self._seen = Counter(self._cased(word) for text in texts for word in _WORD.findall(text))
        self._known: dict[str, str] = {}

    def __call__(self, sentence: str) -> str:
        """Return the sentence in the form that is trained on and scored, a space before each word."""
        text = _WORD.sub(lambda match: self._spelled(self._cased(match[0])), _cleaned(sentence))
        return "".join(f" {unit}" for unit in _UNIT.findall(text))

    def _cased(self, word: str) -> str:
        """Keep the capital of a name: of what has it inside sentences more often than not, or was never seen there."""
        small = word.lower()
        counts = self._capital[small], self._small[small]
        return small if word[0].islower() or (counts[0] <= counts[1] and any(counts)) else word.capitalize()

    def _spelled(self, word: str) -> str:
        """Return the likeliest stem and the ending's own word, or the word as it is."""
        if word not in self._known:
            found = {f"{stem} {mark}": self._seen[stem] for stem, mark in _cuts(word) if len(stem) >= LEAST}
            best = max(found, key=lambda cut: found[cut], default=word)
            enough = found.get(best, 0) >= max(LEAST, SHARE * self._seen[word])
            self._known[word] = best if enough else word
        return self._known[word]


def _cleaned(sentence: str) -> str:
    """Drop quotation marks, the underscores of italics and whatever stands before the first word; part negations."""
    text = " ".join(re.sub(r"[\"“”_]|^\W+", "", sentence).split())
    for short, long in NEGATIONS:
        text = text.replace(short, long).replace(short.capitalize(), long.capitalize())
    return text


def _cuts(word: str) -> Iterator[tuple[str, str]]:
    """Yield the stems a word may have, each with the word of its ending; a doubled consonant is also tried single."""
    for ending, instead, mark in RULES:
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            yield stem + instead, mark
            if mark in ("ED", "ING") and len(stem) > LEAST and stem[-1] == stem[-2] and stem[-1] not in "aeiou":
                yield stem[:-1], mark
