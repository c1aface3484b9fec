"""The tokenizer interface, with everything that follows from a table of tokens.

Encoding differs between tokenizers; decoding does not: each id maps to bytes, and the bytes are joined.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scratchlm.base.errors import UserError
from scratchlm.tokens.format import write_vocabulary
from scratchlm.tokens.patterns import compiled, cut_runs, require_encodable
from scratchlm.tokens.vocabulary import (
    DEFAULT_SPECIALS,
    END_OF_TEXT,
    PAD,
    TURN_END,
    BytePairVocabulary,
    Ends,
    UnigramVocabulary,
    Vocabulary,
    WordPieceVocabulary,
    number_specials,
)

__all__ = ["DEFAULT_SPECIALS", "END_OF_TEXT", "PAD", "TURN_END", "Ends", "Ids", "Tokenizer", "number_specials"]

Ids = npt.NDArray[np.uint32]

_REMEMBERED = 1 << 16  # chunks whose ids are cached


class Tokenizer(ABC):
    """Text to ids and back.

    `encode` never returns a special id: the literal text `<|endoftext|>` becomes ordinary tokens. Only programs insert
    special ids. `decode(encode(text)) == text` for any Unicode text, except where the class says otherwise.
    """

    vocabulary: Vocabulary
    specials: dict[str, int]
    """The special tokens and their ids."""
    fingerprint: str
    """SHA-256 of everything that determines the ids: vocabulary, merges, pattern, specials."""
    table: list[bytes | None]
    """The bytes of each id; None for an unused one (cl100k has such gaps)."""
    ends: Ends
    """The special tokens at the beginning and end of a document, as the tokenizer's files name them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.fingerprint, self.ends = vocabulary.fingerprint, vocabulary.ends
        self.specials = dict(vocabulary.specials)
        self.table = vocabulary.table()
        for text, id in self.specials.items():
            self.table.extend([None] * (id + 1 - len(self.table)))
            if self.table[id] is not None:
                raise UserError(f"special token {text!r}: its id {id} is taken by another token; give it another id")
            self.table[id] = text.encode("utf-8")
        longest_first = sorted(vocabulary.added, key=len, reverse=True)
        self._added = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id, special ids and gaps included: the number of rows an embedding needs."""
        return len(self.table)

    @property
    def end_of_text(self) -> int | None:
        """The id that ends a document (`<|endoftext|>`, or a published tokenizer's equivalent), or None."""
        return None if self.ends.end is None else self.specials.get(self.ends.end)

    @property
    def begin_of_text(self) -> int | None:
        """The id that programs insert before every text, or None where there is none."""
        return self.specials.get(self.ends.begin) if self.ends.add_bos and self.ends.begin is not None else None

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; what spells a special token is ordinary text, a lone surrogate a `UserError`."""

    def _cut_added(self, text: str) -> list[str]:
        """Split a text at the vocabulary's added tokens, which are kept as parts."""
        return self._added.split(text) if self._added else [text]

    def encode_after(self, text: str) -> list[int]:
        """Return the ids of a text that continues other text: without the prefix space that some `encode`s add."""
        return self.encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int | None = None) -> list[Ids]:
        """Return the ids of many texts, in order; `FastBPE` takes `threads` threads, all cores by default."""
        return [np.array(self.encode(text), dtype=np.uint32) for text in texts]

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes of one id; an id outside the vocabulary is a `UserError`."""
        return self.decode_bytes([id])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; special tokens give their literal text. An unknown id is a `UserError`."""
        ids = ids.tolist() if isinstance(ids, np.ndarray) else [int(id) for id in ids]
        table = self.table
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

    def save(self, folder: Path | str) -> None:
        """Write `tokenizer.json` into a folder, readable by `load_tokenizer` and by Hugging Face `tokenizers`."""
        write_vocabulary(folder, self.vocabulary)


class ChunkTokenizer(Tokenizer):
    """A tokenizer that splits a text by a pattern and encodes each chunk by itself, in plain Python."""

    def __init__(self, vocabulary: BytePairVocabulary | WordPieceVocabulary | UnigramVocabulary) -> None:
        super().__init__(vocabulary)
        self._split = compiled(vocabulary.pattern)
        self._known: dict[str, list[int]] = {}

    @abstractmethod
    def encode_chunk(self, chunk: bytes) -> list[int]:
        """Return the ids of one chunk."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special-token strings in it are ordinary text."""
        require_encodable(text)
        ids: list[int] = []
        for segment in cut_runs(text):
            for chunk in self._split.findall(segment):
                chunk_ids = self._known.get(chunk)
                if chunk_ids is None:
                    chunk_ids = self.encode_chunk(chunk.encode("utf-8"))
                    if len(self._known) < _REMEMBERED and len(chunk) < 64:
                        self._known[chunk] = chunk_ids
                ids += chunk_ids
        return ids


def first_token(tokenizer: Tokenizer) -> int | None:
    """Return the id from which a text's first token is predicted: beginning of text, else end of text."""
    begin = tokenizer.begin_of_text
    return tokenizer.end_of_text if begin is None else begin


def prefix_token(tokenizer: Tokenizer) -> int | None:
    """Return the id after which lm-evaluation-harness scores a text without a prompt, by default: BOS, else EOS.

    These are `bos_token` and `eos_token` of the tokenizer's files (`HFLM.prefix_token_id` in lm-eval 0.4.13). It is not
    `first_token` where programs do not insert the BOS token (SmolLM2's `<|im_start|>`), or where EOS ends a turn.
    """
    ends = tokenizer.ends
    names = (ends.begin, ends.last, ends.end)
    return next((tokenizer.specials[name] for name in names if name in tokenizer.specials), None)


def require_same(tokenizer: str, data: str, place: Path | str) -> None:
    """Refuse data of another tokenizer: `tokenizer` and `data` are the two fingerprints."""
    if tokenizer != data:
        raise UserError(
            f"{place}: made with tokenizer {data[:12]}, but the tokenizer given is {tokenizer[:12]}; "
            "give the tokenizer that made the data, or prepare the data again with this one"
        )
