"""Labels of tokens for linear probes, given by rules instead of annotators.

A simple label depends on the token alone. A contextual label depends on the tokens before it, however far back. A
label is 1, 0, or -1 where it is undefined.
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
"""Words that count as the beginning of a sentence."""
_WORD = re.compile(r"[A-Za-z']+")
_END = re.compile(r"[.!?][\"')]*\s|\n\n")


def quotation(text: str) -> Int[np.ndarray, " C"]:
    """Label each character 1 if direct speech is open after it; a paragraph's end closes it."""
    marks, open_ = np.zeros(len(text), np.int64), 0
    for at, sign in enumerate(text):
        if sign == '"':
            open_ = 1 - open_
        elif sign == "\n" and text[at - 1 : at] == "\n":
            open_ = 0
        marks[at] = open_
    return marks


def early(text: str) -> Int[np.ndarray, " C"]:
    """Label each character 1 if at most five words of its sentence have begun."""
    labels = np.full(len(text), 1, np.int64)
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    for start, stop in itertools.pairwise(ends):
        words = [match.start() for match in _WORD.finditer(text, start, stop)]
        if len(words) > EARLY:
            labels[words[EARLY] : stop] = 0
    return labels


def speaks_of_her(text: str) -> Int[np.ndarray, " C"]:
    """Label each character 1 if the last third-person pronoun was feminine; -1 before the first pronoun."""
    labels, state, last = np.full(len(text), -1, np.int64), -1, 0
    for match in re.finditer(r"\b(?:[Hh]e|[Hh]im|[Hh]is|[Ss]he|[Hh]er|[Hh]ers)\b", text):
        labels[last : match.end()] = state
        last, state = match.end(), int(match[0].lower() in ("she", "her", "hers"))
    labels[last:] = state
    return labels


@cache
def _classes() -> tuple[frozenset[str], frozenset[str]]:
    """Return the words that are only nouns and those that are only verbs, from the lexicon of the embedded stories."""
    of: dict[str, set[str]] = {"N": set(), "V": set()}
    for category, words in lexicon().items():
        if category[0] in of:
            of[category[0]].update(word for word in words if " " not in word)
    return frozenset(of["N"] - of["V"]), frozenset(of["V"] - of["N"])


def _noun(word: str) -> int:
    nouns, verbs = _classes()
    return 1 if word.lower() in nouns else 0 if word.lower() in verbs else -1


SIMPLE: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "capital": ("begins with a capital", lambda word: int(word[:1].isupper())),
    "function": ("is a function word", lambda word: int(word.lower() in FUNCTION_WORDS)),
    "noun": ("is a noun, not a verb", _noun),
}
"""Labels of single words: key, description, rule."""
CONTEXTUAL: Mapping[str, tuple[str, Callable[[str], np.ndarray]]] = {
    "early": (f"is among the first {EARLY} words of its sentence", early),
    "quotation": ("is inside direct speech", quotation),
    "her": ("the last pronoun, he or she, was she", speaks_of_her),
}
"""Labels of positions in a text: key, description, rule."""
NAMES: Mapping[str, str] = {key: says for key, (says, _) in [*SIMPLE.items(), *CONTEXTUAL.items()]}


def label_tokens(pieces: Sequence[bytes]) -> dict[str, Int[np.ndarray, " T"]]:
    """Label each token of a text, given as the bytes of its tokens in order; each label has shape (tokens,).

    A contextual label is that of the token's last character. Simple labels exist for tokens that are whole words.
    """
    text = b"".join(pieces).decode("latin-1")  # one character per byte: byte offsets are text offsets
    ends = np.cumsum([len(piece) for piece in pieces])
    labels = {key: make(text)[ends - 1] for key, (_, make) in CONTEXTUAL.items()}
    words = [_whole_word(text, int(end) - len(piece), int(end)) for piece, end in zip(pieces, ends, strict=True)]
    for key, (_, rule) in SIMPLE.items():
        labels[key] = np.array([-1 if word is None else rule(word) for word in words], np.int64)
    return labels


def token_types(pieces: Mapping[int, bytes]) -> np.ndarray:
    """Return the type of each token by its id, shape (V,): its text in lower case, without spaces around it."""
    texts = [pieces[id].decode("latin-1") for id in range(len(pieces))]
    return np.array([text.strip().lower() or text for text in texts], object)


def _whole_word(text: str, start: int, stop: int) -> str | None:
    """Return text[start:stop] if it is a whole word, with at most a space before it; otherwise None."""
    word = text[start:stop].removeprefix(" ")
    begins = not text[start - 1 : start].isalpha() or text[start : start + 1] == " "
    is_word = word.isascii() and word.isalpha() and begins and not text[stop : stop + 1].isalpha()
    return word if is_word else None
