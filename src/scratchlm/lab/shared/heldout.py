"""Held-out books in blocks of bytes, on which models with different tokenizers are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scratchlm.lab.shared.small_model import pieces_of_books
from scratchlm.lab.shared.spelling import unknown_spans
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.simple import SymbolTokenizer

HELD_OUT, TESTED = 12, 6000
"""One in this many books is held out, and this many bytes at the beginning of each are tested."""
BLOCK = 512
"""Bytes of a block of held-out text; kinds of tokens are compared block by block, clustered by book."""


@dataclass(frozen=True)
class HeldOutBooks:
    """The beginnings of the held-out books."""

    books: Sequence[str]

    @cached_property
    def text(self) -> str:
        """All of them, one after the other."""
        return "\n\n".join(self.books)

    @cached_property
    def size(self) -> int:
        """The bytes of the text."""
        return len(self.text.encode("utf-8"))

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """The first byte of each block, and the number of its book."""
        blocks, start = [], 0
        for number, book in enumerate(self.books):
            stop = start + len(f"{book}\n\n".encode())
            count = max(1, (stop - start) // BLOCK)
            blocks += [(start + (stop - start) * each // count, number) for each in range(count)]
            start = stop
        return blocks

    def by_block(self, places: np.ndarray, nats: np.ndarray) -> list[float]:
        """Sum losses over blocks; `places` are the first bytes of what they belong to."""
        starts = np.array([start for start, _ in self.blocks])
        blocks = np.searchsorted(starts, places, side="right") - 1
        return [round(float(each), 9) for each in np.bincount(blocks, weights=nats, minlength=len(starts))]


def split_books(source: Path, size: int) -> tuple[str, HeldOutBooks]:
    """Return the training text and the held-out books of the beginnings of books, `size` bytes in all."""
    books = pieces_of_books(source, size)
    held_out = max(1, len(books) // HELD_OUT)
    tested = [book.encode("utf-8")[:TESTED].decode("utf-8", "ignore") for book in books[:held_out]]
    return "\n\n".join(books[held_out:]), HeldOutBooks(tested)


def token_places(tokenizer: Tokenizer, text: str, ids: np.ndarray) -> np.ndarray:
    """Return the first byte of the text behind each id; an unknown token takes the bytes that it replaces."""
    sizes = [len(tokenizer.token_bytes(int(id))) for id in ids]
    if isinstance(tokenizer, SymbolTokenizer):
        unknown = np.flatnonzero(ids == tokenizer.unknown)
        for place, span in zip(unknown.tolist(), unknown_spans(tokenizer, text), strict=True):
            sizes[place] = span.stop - span.start
    return np.cumsum([0, *sizes])[:-1]
