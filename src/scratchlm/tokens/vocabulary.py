"""The data of a tokenizer, separate from encoding: what is trained, saved, loaded and hashed.

Byte-level BPE is determined by its ordinary tokens in the order of their ids: the merges follow from that order,
because a token is merged from the two parts into which all earlier merges encode its bytes. So the vocabulary is the
single source of truth, and merges are derived from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from scratchlm.base.errors import UserError
from scratchlm.tokens.merging import Pair, merges_of

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
PAD = "<|pad|>"
DEFAULT_SPECIALS = (END_OF_TEXT, TURN_START, TURN_END, PAD)

SMALLEST = 256
SPACE = "\u2581"
"""How SentencePiece writes a space."""


@dataclass(frozen=True)
class Ends:
    """The special tokens at the beginning and end of a document, as text."""

    begin: str | None = None
    """`bos_token` of transformers (Llama's `<s>`, Gemma's `<bos>`)."""
    end: str | None = END_OF_TEXT
    """The token that ends a document."""
    add_bos: bool = True
    """Whether `begin` goes before every text (`add_bos_token` of transformers)."""
    last: str | None = None
    """`eos_token` of transformers, where that is the end of a turn; None: `end`."""

    @classmethod
    def of(cls, begin: str | None, eos: str | None, add_bos: bool, specials: Container[str]) -> Ends:
        """Return the ends that a file states: `<|endoftext|>` where it exists, since `eos` may end a turn."""
        end = END_OF_TEXT if END_OF_TEXT in specials else eos
        return cls(begin, end, add_bos, last=eos if eos != end else None)


@dataclass(frozen=True)
class BytePairVocabulary:
    """The data of a byte-level BPE tokenizer (Sennrich et al. 2016, on bytes as in Radford et al. 2019).

    Tokens with lower ids were merged earlier: when several adjacent pairs can merge, the result with the lowest id
    comes first.
    """

    tokens: Mapping[bytes, int]
    """Ordinary tokens and their ids: the single bytes and the results of all merges."""
    pattern: str
    """The regular expression that splits text into chunks; merges never cross from one to the next."""
    specials: Mapping[str, int]
    """Special tokens and their ids; no text ever encodes to them."""
    added: Mapping[str, int] = field(default_factory=dict)
    """Ordinary tokens that are split off the text before the pattern applies (some published tokenizers have them)."""
    normalization: str | None = None
    """A Unicode normal form that is applied first, such as NFC; None, as trained here, keeps text exactly."""
    ends: Ends = field(default_factory=Ends)
    """The tokens at the beginning and end of a document; they do not affect the ids of a text."""

    def __post_init__(self) -> None:
        _require_disjoint(self.specials, self.tokens)

    @cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The pairs of tokens that were merged, first to last."""
        token_of = {id: token for token, id in self.tokens.items()}
        return [(token_of[left], token_of[right]) for left, right in self.id_merges]

    @cached_property
    def id_merges(self) -> dict[Pair, int]:
        """The pairs of ids that were merged, first to last, and the id that each became."""
        return merges_of(self.tokens)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens in order (which decide the merges), the pattern, specials, added and normalization."""
        by_id = sorted((id, token.hex()) for token, id in self.tokens.items())
        parts = {"kind": "byte-pair", "tokens": by_id, "pattern": self.pattern, "specials": dict(self.specials)}
        return _fingerprint_of({**parts, "added": dict(self.added), "normalization": self.normalization})

    def table(self) -> list[bytes | None]:
        """Return the bytes of each id, without the special tokens; None where no ordinary token has the id."""
        return _table([*self.tokens.items(), *((text.encode("utf-8"), id) for text, id in self.added.items())])


@dataclass(frozen=True)
class SymbolVocabulary:
    """The data of a tokenizer whose tokens are whole symbols, characters or words, found by one regular expression."""

    symbols: Sequence[str]
    """The symbols; a symbol's index is its id."""
    pattern: str
    """The regular expression whose consecutive matches are the symbols of a text."""
    specials: Mapping[str, int]
    """Special tokens and their ids; no text ever encodes to them."""
    unknown: str | None = None
    """The symbol that replaces all symbols outside the vocabulary; None makes them an error."""
    added: ClassVar[Mapping[str, int]] = {}
    ends: ClassVar[Ends] = Ends()

    def __post_init__(self) -> None:
        _require_disjoint(self.specials, {symbol.encode("utf-8") for symbol in self.symbols})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of symbols, pattern, specials and the unknown symbol."""
        parts = {"kind": "symbol", "symbols": list(self.symbols), "pattern": self.pattern, "unknown": self.unknown}
        return _fingerprint_of({**parts, "specials": dict(self.specials)})

    def table(self) -> list[bytes | None]:
        """Return the bytes of each id, without the special tokens."""
        return [symbol.encode("utf-8") for symbol in self.symbols]


@dataclass(frozen=True)
class WordPieceVocabulary:
    """The data of a byte-level WordPiece tokenizer (Schuster and Nakajima 2012, as in BERT, on bytes)."""

    starts: Mapping[bytes, int]
    """Tokens that begin a chunk, and their ids: each byte, and longer ones."""
    continuations: Mapping[bytes, int]
    """Tokens that continue a chunk (BERT's `##ing`), and their ids: each byte, and longer ones."""
    pattern: str
    """The regular expression that splits text into chunks; no token reaches from one to the next."""
    specials: Mapping[str, int]
    """Special tokens and their ids; no text ever encodes to them."""
    added: ClassVar[Mapping[str, int]] = {}
    ends: ClassVar[Ends] = Ends()

    def __post_init__(self) -> None:
        _require_disjoint(self.specials, self.starts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens, pattern and specials."""
        tokens = [[[id, token.hex()] for token, id in kind.items()] for kind in (self.starts, self.continuations)]
        parts = {"kind": "wordpiece", "tokens": [sorted(kind) for kind in tokens], "pattern": self.pattern}
        return _fingerprint_of({**parts, "specials": dict(self.specials)})

    def table(self) -> list[bytes | None]:
        """Return the bytes of each id, without the special tokens."""
        return _table([*self.starts.items(), *self.continuations.items()])


@dataclass(frozen=True)
class UnigramVocabulary:
    """The data of a byte-level Unigram tokenizer (Kudo 2018, arXiv 1804.10959, on bytes)."""

    scores: Mapping[bytes, float]
    """Tokens in the order of their ids, and the logarithm of the probability of each; each byte is a token."""
    pattern: str
    """The regular expression that splits text into chunks; no token reaches from one to the next."""
    specials: Mapping[str, int]
    """Special tokens and their ids; no text ever encodes to them."""
    added: ClassVar[Mapping[str, int]] = {}
    ends: ClassVar[Ends] = Ends()

    def __post_init__(self) -> None:
        _require_disjoint(self.specials, self.scores)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens with their scores, pattern and specials."""
        tokens = [[token.hex(), score] for token, score in self.scores.items()]
        parts = {"kind": "unigram", "tokens": tokens, "pattern": self.pattern, "specials": dict(self.specials)}
        return _fingerprint_of(parts)

    def table(self) -> list[bytes | None]:
        """Return the bytes of each id, without the special tokens."""
        return list(self.scores)


@dataclass(frozen=True)
class SentencePieceVocabulary:
    """The data of a SentencePiece-style BPE tokenizer."""

    pieces: Mapping[str, int]
    """Ordinary tokens, spaces written as U+2581, and their ids."""
    merges: Sequence[tuple[str, str]]
    """The merges, pairs of tokens, first to last."""
    byte_ids: Sequence[int]
    """The ids of the 256 byte tokens (byte fallback); empty where characters outside the vocabulary are unknown."""
    specials: Mapping[str, int]
    """Special tokens and their ids; no text ever encodes to them."""
    unknown: int | None = None
    """The id of characters outside the vocabulary where there is no byte fallback."""
    added: Mapping[str, int] = field(default_factory=dict)
    """Ordinary tokens that are split off the text first."""
    prefix: bool = True
    """Whether a space is added before every text (Llama 2), so that its first word is tokenized like any other."""
    ends: Ends = field(default_factory=Ends)
    """The tokens at the beginning and end of a document; they do not affect the ids of a text."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the ids."""
        parts: dict[str, Any] = {
            "kind": "pieces",
            "pieces": dict(self.pieces),
            "merges": [list(pair) for pair in self.merges],
        }
        parts |= {"bytes": list(self.byte_ids), "specials": dict(self.specials), "unknown": self.unknown}
        return _fingerprint_of({**parts, "added": dict(self.added), "prefix": self.prefix})

    @cached_property
    def ranks(self) -> dict[Pair, tuple[int, int]]:
        """For each pair of ids that merges: its rank, and the id of the merged token."""
        pieces = self.pieces
        return {
            (pieces[left], pieces[right]): (rank, pieces[left + right])
            for rank, (left, right) in enumerate(self.merges)
        }

    def table(self) -> list[bytes | None]:
        """Return the bytes of each id, without the special tokens; None where no ordinary token has the id."""
        pieces = [(piece.replace(SPACE, " ").encode("utf-8"), id) for piece, id in self.pieces.items()]
        added = [(text.encode("utf-8"), id) for text, id in self.added.items()]
        return _table([*pieces, *added, *((bytes([value]), id) for value, id in enumerate(self.byte_ids))])


Vocabulary = BytePairVocabulary | SymbolVocabulary | WordPieceVocabulary | UnigramVocabulary | SentencePieceVocabulary


def _table(ordinary: Sequence[tuple[bytes, int]]) -> list[bytes | None]:
    table: list[bytes | None] = [None] * (1 + max(id for _, id in ordinary))
    for token, id in ordinary:
        table[id] = token
    return table


def _fingerprint_of(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of canonical JSON: sorted keys, no spaces, ASCII only."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _require_disjoint(specials: Iterable[str], tokens: Container[bytes]) -> None:
    """Refuse a special token whose text is also an ordinary token: a file could not distinguish the two."""
    for text in specials:
        if text.encode("utf-8") in tokens:
            raise UserError(f"special token {text!r}: the text is an ordinary token too; choose another name")


def number_specials(first: int, names: Sequence[str] = DEFAULT_SPECIALS) -> dict[str, int]:
    """Number special tokens from `first` on, in order."""
    if len(set(names)) != len(names):
        raise UserError(f"special tokens {', '.join(names)}: a name occurs twice; give each once")
    return {name: id for id, name in enumerate(names, first)}


def trained_vocabulary(
    merges: Sequence[Pair], pattern: str, specials: Sequence[str] = DEFAULT_SPECIALS
) -> BytePairVocabulary:
    """Build a vocabulary from trained merges: ids 0 to 255 are the bytes, 256 + n is the result of merge n."""
    tokens = [bytes([value]) for value in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    ids = {token: id for id, token in enumerate(tokens)}
    return BytePairVocabulary(ids, pattern, number_specials(len(tokens), specials))


def require_size(vocabulary_size: int, smallest: int = SMALLEST) -> int:
    """Return the number of tokens beside the bytes; a vocabulary below its bytes is a `UserError`."""
    if vocabulary_size < smallest:
        raise UserError(
            f"--vocabulary-size {vocabulary_size}: below the {smallest} bytes that every text is made of; "
            f"give at least {smallest}"
        )
    return vocabulary_size - smallest


def require_reached(vocabulary_size: int, merges: int, smallest: int = SMALLEST) -> None:
    """Refuse a vocabulary size that the text is too small for; the error names the size that it reached."""
    reached = smallest + merges
    if reached < vocabulary_size:
        raise UserError(
            f"--vocabulary-size {vocabulary_size}: after {reached} tokens nothing in the text is left to merge; "
            f"give --vocabulary-size {reached} or less, or more text"
        )
