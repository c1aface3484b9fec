"""The simplest tokenizers, in which a token is a character or a word, to show why BPE is useful.

A vocabulary of characters is tiny but needs a token for every letter; one of words gives short sequences, but is huge
and lacks rare words. Both know only the symbols of their training text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import regex

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Tokenizer, number_specials
from scratchlm.tokens.patterns import compiled, require_encodable
from scratchlm.tokens.vocabulary import SymbolVocabulary

UNKNOWN = "<|unk|>"
CHARACTER = r"[\s\S]"
WORD = r" ?[\p{L}\p{M}\p{N}_]+| ?[^\s\p{L}\p{M}\p{N}_]|\s"  # a word or punctuation mark includes the space before it


class SymbolTokenizer(Tokenizer):
    """Looks each symbol of a text up in a list.

    A symbol outside the list is a `UserError`, or `<|unk|>` where the vocabulary has it; only then decoding does not
    give the text back.
    """

    vocabulary: SymbolVocabulary

    def __init__(self, vocabulary: SymbolVocabulary) -> None:
        super().__init__(vocabulary)
        self._ids = {symbol: id for id, symbol in enumerate(vocabulary.symbols)}
        self.unknown = self._ids.get(vocabulary.unknown or "")
        self._split = compiled(vocabulary.pattern)

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


class CharacterTokenizer(SymbolTokenizer):
    """One token a character (a Unicode code point), in the order of their code points."""

    @classmethod
    def train(cls, texts: Iterable[str], unknown: bool = False) -> CharacterTokenizer:
        """List the characters of the texts."""
        characters: set[str] = set()
        for text in texts:
            require_encodable(text)
            characters.update(text)
        return cls(_vocabulary(sorted(characters), CHARACTER, unknown))


class WordTokenizer(SymbolTokenizer):
    """One token a word, a punctuation mark or a whitespace character, the most frequent first."""

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary_size: int | None = None, unknown: bool = True) -> WordTokenizer:
        """List the words of the texts, at most the `vocabulary_size` most frequent; equals in alphabetical order."""
        counts: Counter[str] = Counter()
        for text in texts:
            require_encodable(text)
            counts.update(regex.findall(WORD, text))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(_vocabulary(words[:vocabulary_size], WORD, unknown))


def _vocabulary(symbols: list[str], pattern: str, unknown: bool) -> SymbolVocabulary:
    if not symbols:
        raise UserError("no text to take symbols from; give a text that is not empty")
    symbols = [*symbols, *[UNKNOWN] * unknown]
    return SymbolVocabulary(symbols, pattern, number_specials(len(symbols)), UNKNOWN if unknown else None)


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
