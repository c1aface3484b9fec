"""The simplest tokenizers, in which a token is a character or a word, to show why BPE is useful.

A vocabulary of characters is tiny but needs a token for every letter; one of words gives short sequences, but is huge
and lacks rare words. Both know only the symbols of their training text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import regex

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import DEFAULT_SPECIALS, Ids, TableTokenizer, Tokenizer, number_specials
from scratchlm.tokens.format import write_vocabulary
from scratchlm.tokens.patterns import require_encodable
from scratchlm.tokens.vocabulary import SymbolVocabulary

UNKNOWN = "<|unk|>"
CHARACTER = r"[\s\S]"
WORD = r" ?[\p{L}\p{M}\p{N}_]+| ?[^\s\p{L}\p{M}\p{N}_]|\s"  # a word or punctuation mark includes the space before it


class SymbolTokenizer(TableTokenizer):
    """Looks each symbol of a text up in a list.

    A symbol outside the list is a `UserError`, or `<|unk|>` where the vocabulary has it; only then decoding does not
    give the text back.
    """

    def __init__(self, vocabulary: SymbolVocabulary) -> None:
        super().__init__([symbol.encode("utf-8") for symbol in vocabulary.symbols], vocabulary.specials)
        self.vocabulary = vocabulary
        self.fingerprint = vocabulary.fingerprint
        self._ids = {symbol: id for id, symbol in enumerate(vocabulary.symbols)}
        self.unknown = self._ids.get(vocabulary.unknown or "")
        self._split = regex.compile(vocabulary.pattern)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special-token strings in it are ordinary text."""
        require_encodable(text)
        ids = []
        for match in self._split.finditer(text):
            id = self._ids.get(match.group(), self.unknown)
            if id is None:
                raise UserError(
                    f"{match.group()!r} at character {match.start():,}: not one of the {len(self._ids):,} symbols "
                    "that this tokenizer knows; leave it out, train a tokenizer on text that has it, or use byte-level "
                    "BPE, which knows every text"
                )
            ids.append(id)
        return ids

    def encode_batch(self, texts: Sequence[str], threads: int | None = None) -> list[Ids]:
        """Return the ids of each text; `threads` is ignored."""
        return [np.array(self.encode(text), dtype=np.uint32) for text in texts]

    def save(self, folder: Path | str) -> None:
        """Write `tokenizer.json` into a folder."""
        write_vocabulary(folder, self.vocabulary)


class CharacterTokenizer(SymbolTokenizer):
    """One token a character (a Unicode code point), in the order of their code points."""

    @classmethod
    def train(
        cls, texts: Iterable[str], unknown: bool = False, specials: Sequence[str] = DEFAULT_SPECIALS
    ) -> CharacterTokenizer:
        """List the characters of the texts."""
        characters: set[str] = set()
        for text in texts:
            require_encodable(text)
            characters.update(text)
        return cls(_vocabulary(sorted(characters), CHARACTER, unknown, specials))


class WordTokenizer(SymbolTokenizer):
    """One token a word, a punctuation mark or a whitespace character, the most frequent first."""

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int | None = None,
        unknown: bool = True,
        specials: Sequence[str] = DEFAULT_SPECIALS,
    ) -> WordTokenizer:
        """List the words of the texts, at most the `vocabulary_size` most frequent; equals in alphabetical order."""
        counts: Counter[str] = Counter()
        for text in texts:
            require_encodable(text)
            counts.update(regex.findall(WORD, text))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(_vocabulary(words[:vocabulary_size], WORD, unknown, specials))


def train_symbols(kind: Literal["characters", "words"], texts: Iterable[str], vocabulary_size: int) -> SymbolTokenizer:
    """Build a tokenizer of all characters of the texts, or of their most frequent words and `<|unk|>`.

    `vocabulary_size` counts words and `<|unk|>`, which replaces all other words. Tokenizers of characters have no
    unknown token, since its embedding would never be trained. Raises `UserError` for empty texts and a size below 2.
    """
    if kind == "characters":
        return CharacterTokenizer.train(texts)
    if vocabulary_size < 2:
        raise UserError(f"--vocabulary-size {vocabulary_size}: too small for a word and {UNKNOWN}; give at least 2")
    return WordTokenizer.train(texts, vocabulary_size - 1)


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of `<|unk|>`, or None for a tokenizer without it."""
    return tokenizer.unknown if isinstance(tokenizer, SymbolTokenizer) else None


def _vocabulary(symbols: list[str], pattern: str, unknown: bool, specials: Sequence[str]) -> SymbolVocabulary:
    if not symbols:
        raise UserError("no text to take symbols from; give a text that is not empty")
    symbols = [*symbols, UNKNOWN] if unknown else symbols
    return SymbolVocabulary(symbols, pattern, number_specials(len(symbols), specials), UNKNOWN if unknown else None)
