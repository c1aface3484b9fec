"""The tokenizer interface, and a base class with everything that follows from a table of tokens.

Encoding differs between tokenizers; decoding does not: each id maps to bytes, and the bytes are joined.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from scratchlm.base.errors import UserError

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
PAD = "<|pad|>"
DEFAULT_SPECIALS = (END_OF_TEXT, TURN_START, TURN_END, PAD)

Ids = npt.NDArray[np.uint32]


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


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back.

    `encode` never returns a special id: the literal text `<|endoftext|>` becomes ordinary tokens. Only programs insert
    special ids. `decode(encode(text)) == text` for any Unicode text, except where the class says otherwise.
    """

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id, special ids included: the number of rows an embedding needs."""

    @property
    def specials(self) -> Mapping[str, int]:
        """The special tokens and their ids."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the ids: vocabulary, merges, pattern, specials."""

    @property
    def end_of_text(self) -> int | None:
        """The id that ends a document, or None where the tokenizer has none."""

    @property
    def begin_of_text(self) -> int | None:
        """The id that programs insert before every text, or None where there is none."""

    @property
    def ends(self) -> Ends:
        """The special tokens at the beginning and end of a document."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; a lone surrogate is a `UserError`."""

    def encode_after(self, text: str) -> list[int]:
        """Return the ids of a text that continues other text: without the prefix space that some `encode`s add."""

    def encode_batch(self, texts: Sequence[str], threads: int | None = None) -> list[Ids]:
        """Return the ids of many texts, in order, as fast as the tokenizer can; `threads` defaults to all cores."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that form no character become U+FFFD."""

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; special tokens give their literal text."""

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes of one id."""

    def save(self, folder: Path | str) -> None:
        """Write `tokenizer.json` into a folder, readable by `load_tokenizer` and by Hugging Face `tokenizers`."""


class TableTokenizer(ABC):
    """Base class of tokenizers: a table from id to bytes, and everything that follows from it.

    `table[id]` is None for an unused id between the smallest and the largest (cl100k has such gaps).
    """

    def __init__(self, table: Sequence[bytes | None], specials: Mapping[str, int], ends: Ends | None = None) -> None:
        self._table = list(table)
        self._ends = ends or Ends()
        self.specials: dict[str, int] = dict(specials)
        for text, id in self.specials.items():
            self._table.extend([None] * (id + 1 - len(self._table)))
            if self._table[id] is not None:
                raise UserError(f"special token {text!r}: its id {id} is taken by another token; give it another id")
            self._table[id] = text.encode("utf-8")

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id: ordinary tokens, special tokens and gaps."""
        return len(self._table)

    @property
    def end_of_text(self) -> int | None:
        """The id of `<|endoftext|>`, or of a published tokenizer's equivalent, or None."""
        return None if self._ends.end is None else self.specials.get(self._ends.end)

    @property
    def begin_of_text(self) -> int | None:
        """The id that goes before every text, or None."""
        return self.specials.get(self._ends.begin) if self._ends.add_bos and self._ends.begin is not None else None

    @property
    def ends(self) -> Ends:
        """The tokens that begin and end a document, as the tokenizer's files name them."""
        return self._ends

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""

    def encode_after(self, text: str) -> list[int]:
        """Return the ids of a text that continues other text; the same as `encode` for most tokenizers."""
        return self.encode(text)

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes of one id; an id outside the vocabulary is a `UserError`."""
        return self.decode_bytes([id])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; special tokens give their literal text. An unknown id is a `UserError`."""
        ids = ids.tolist() if isinstance(ids, np.ndarray) else [int(id) for id in ids]
        table = self._table
        if ids and not (min(ids) >= 0 and max(ids) < len(table)):
            stray = next(id for id in ids if not 0 <= id < len(table))
            raise UserError(
                f"token id {stray}: the vocabulary has ids 0 to {len(table) - 1}; use the tokenizer that made the ids"
            )
        try:
            return b"".join([table[id] for id in ids])  # type: ignore[misc]  # a gap raises TypeError
        except TypeError:
            gap = next(id for id in ids if table[id] is None)
            raise UserError(
                f"token id {gap}: this vocabulary leaves it unused; use the tokenizer that made the ids"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that form no character become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")


def first_token(tokenizer: Tokenizer) -> int | None:
    """Return the id from which a text's first token is predicted: beginning of text, else end of text."""
    begin = tokenizer.begin_of_text
    return tokenizer.end_of_text if begin is None else begin


def number_specials(first: int, names: Sequence[str] = DEFAULT_SPECIALS) -> dict[str, int]:
    """Number special tokens from `first` on, in order."""
    if len(set(names)) != len(names):
        raise UserError(f"special tokens {', '.join(names)}: a name occurs twice; give each once")
    return {name: first + place for place, name in enumerate(names)}


def fingerprint_of(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of canonical JSON: sorted keys, no spaces, ASCII only."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def require_same(tokenizer: str, data: str, place: Path | str) -> None:
    """Refuse data of another tokenizer: `tokenizer` and `data` are the two fingerprints."""
    if tokenizer != data:
        raise UserError(
            f"{place}: made with tokenizer {data[:12]}, but the tokenizer given is {tokenizer[:12]}; "
            "give the tokenizer that made the data, or prepare the data again with this one"
        )
