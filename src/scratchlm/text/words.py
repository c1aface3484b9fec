"""Words and word n-grams as 64-bit hashes, computed on whole arrays, for comparing texts.

A word is a sequence of letters, digits and combining marks, case-folded; in scripts written without spaces (Chinese,
Japanese) each character is a word, and so is each character beyond the basic multilingual plane. Punctuation and space
only separate.
Hashes are the same on every machine and in every run.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

BOUNDARY = "\uf8ff"  # a private-use character that is a word of its own: no n-gram of real text contains it
SEPARATOR, LETTER, IDEOGRAPH = 0, 1, 2

_UNSPACED = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
_WORD_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_RUN_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_BLOCK = 1 << 17  # characters; arrays of this size fit into the processor's cache, which doubles the speed
_LONGEST = 256  # characters of a word with a factor of their own; later ones use the last


@lru_cache(maxsize=1)
def _classes() -> NDArray[np.uint8]:
    """Return the class of every character of the basic multilingual plane; the last entry is for all others."""
    table = np.zeros(1 << 16, dtype=np.uint8)
    for code in range(1 << 16):
        character = chr(code)
        if character.isalnum() or unicodedata.category(character).startswith("M"):
            table[code] = LETTER
    for first, last in _UNSPACED:
        table[first : last + 1] = IDEOGRAPH
    table[ord(BOUNDARY)] = IDEOGRAPH
    table[-1] = IDEOGRAPH
    return table


@lru_cache(maxsize=1)
def _powers() -> Hashes:
    return np.cumprod(np.full(_LONGEST, _WORD_FACTOR, dtype=np.uint64), dtype=np.uint64)


def mix(values: Hashes) -> Hashes:
    """Mix every input bit into all 64 output bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def word_hashes(text: str) -> Hashes:
    """Return one hash a word of `text`, in order."""
    parts, start = [], 0
    while len(text) - start > _BLOCK and (stop := text.rfind(" ", start + 1, start + _BLOCK)) > 0:
        parts.append(_hash_words(text[start:stop]))
        start = stop
    parts.append(_hash_words(text[start:]))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _hash_words(text: str) -> Hashes:
    codes = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    classes = _classes()[np.minimum(codes, 0xFFFF)]
    previous = np.concatenate(([np.uint8(SEPARATOR)], classes[:-1])) if len(classes) else classes
    begins = (classes == IDEOGRAPH) | ((classes == LETTER) & (previous != LETTER))
    in_word = classes != SEPARATOR
    codes, starts = codes[in_word], np.flatnonzero(begins[in_word])
    if len(starts) == 0:
        return np.zeros(0, dtype=np.uint64)
    lengths = np.diff(starts, append=len(codes))
    positions = np.arange(len(codes)) - np.repeat(starts, lengths)
    terms = (codes.astype(np.uint64) + np.uint64(1)) * _powers()[np.minimum(positions, _LONGEST - 1)]
    return mix(np.add.reduceat(terms, starts))


def run_hashes(words: Hashes, length: int) -> Hashes:
    """Return one hash for each n-gram of `length` consecutive words, none when there are fewer words."""
    number = len(words) - length + 1
    if number <= 0:
        return np.zeros(0, dtype=np.uint64)
    runs = np.zeros(number, dtype=np.uint64)
    for offset in range(length):
        runs = runs * _RUN_FACTOR + words[offset : offset + number]
    return mix(runs)
