"""What can be said of each token of a text by rule, without anyone labelling it.

Simple marks hang on the token itself. Compound ones hang on what stood before it, however far back. A mark is 1, 0, or
-1 where nothing is said.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Int

from scratchlm.storyworld.lexicon import lexicon

_FUNCTION_WORDS = """
the a an of to in on at by for with from into upon and or but nor so as than that which who whom whose this these
those it its he him his she her they them their we us our you your i me my is are was were be been am do does did
have has had will would shall should can could may might must not no if when while then there
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
EARLY = 5
"""Words up to which a sentence has only begun."""
_WORD = re.compile(r"[A-Za-z']+")
_END = re.compile(r"[.!?][\"')]*\s|\n\n")


def quotation(text: str) -> Int[np.ndarray, " C"]:
    """Say of each character whether direct speech is open after it; speech is closed at the end of a paragraph."""
    found, open_ = np.zeros(len(text), np.int64), 0
    for at, sign in enumerate(text):
        if sign == '"':
            open_ = 1 - open_
        elif sign == "\n" and text[at - 1 : at] == "\n":
            open_ = 0
        found[at] = open_
    return found


def early(text: str) -> Int[np.ndarray, " C"]:
    """Say of each character whether at most five words of its sentence have begun."""
    found = np.full(len(text), 1, np.int64)
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    for start, stop in itertools.pairwise(ends):
        words = [match.start() for match in _WORD.finditer(text, start, stop)]
        if len(words) > EARLY:
            found[words[EARLY] : stop] = 0
    return found


def speaks_of_her(text: str) -> Int[np.ndarray, " C"]:
    """Say of each character whether the last he or she was a she; -1 before the first."""
    found, state, last = np.full(len(text), -1, np.int64), -1, 0
    for match in re.finditer(r"\b(?:[Hh]e|[Hh]im|[Hh]is|[Ss]he|[Hh]er|[Hh]ers)\b", text):
        found[last : match.end()] = state
        last, state = match.end(), int(match[0].lower() in ("she", "her", "hers"))
    found[last:] = state
    return found


def _capital(word: str) -> int:
    return int(word[:1].isupper())


def _function(word: str) -> int:
    return int(word.lower() in FUNCTION_WORDS)


@cache
def _classes() -> tuple[frozenset[str], frozenset[str]]:
    """Return words that are nouns and no verbs, and the other way round, by the lists of the embedded stories."""
    of: dict[str, set[str]] = {"N": set(), "V": set()}
    for category, words in lexicon().items():
        if category[0] in of:
            of[category[0]].update(word for word in words if " " not in word)
    return frozenset(of["N"] - of["V"]), frozenset(of["V"] - of["N"])


def _noun(word: str) -> int:
    nouns, verbs = _classes()
    return 1 if word.lower() in nouns else 0 if word.lower() in verbs else -1


SIMPLE: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "capital": ("begins with a capital", _capital),
    "function": ("is a function word", _function),
    "noun": ("is a noun, not a verb", _noun),
}
"""Marks of a word, by themselves."""
COMPOUND: Mapping[str, tuple[str, Callable[[str], np.ndarray]]] = {
    "early": (f"stands among the first {EARLY} words of its sentence", early),
    "quotation": ("stands inside direct speech", quotation),
    "her": ("the last he or she was a she", speaks_of_her),
}
"""Marks of a place in a text."""
NAMES: Mapping[str, str] = {key: says for key, (says, _) in [*SIMPLE.items(), *COMPOUND.items()]}


def marks_of(pieces: Sequence[bytes]) -> dict[str, Int[np.ndarray, " T"]]:
    """Mark each token of a text that is given as the bytes of its tokens, in order.

    A token is marked by the state after its last character; marks of words are given to tokens that are whole words.
    """
    text = b"".join(pieces).decode("latin-1")  # a character a byte: places in bytes are places in the text
    ends = np.cumsum([len(piece) for piece in pieces])
    found = {key: make(text)[ends - 1] for key, (_, make) in COMPOUND.items()}
    words = [_whole_word(text, int(end) - len(piece), int(end)) for piece, end in zip(pieces, ends, strict=True)]
    for key, (_, mark) in SIMPLE.items():
        found[key] = np.array([-1 if word is None else mark(word) for word in words], np.int64)
    return found


def _whole_word(text: str, start: int, stop: int) -> str | None:
    """Return the word that a stretch of text is, with a space before it at most; None where it is none, or a part."""
    word = text[start:stop].removeprefix(" ")
    begins = not text[start - 1 : start].isalpha() or text[start : start + 1] == " "
    whole = word.isascii() and word.isalpha() and begins and not text[stop : stop + 1].isalpha()
    return word if whole else None
