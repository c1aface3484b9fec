"""The beginnings of many books as tokens, with whole books held out: training text of the language models here."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import count_text_bytes
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.tokens.base import Tokenizer

BLOCK = 256
"""Tokens of a block of held-out text; models are compared block by block."""


@dataclass(frozen=True)
class BookText:
    """The tokens of the training and held-out books."""

    tokenizer: Tokenizer
    end: int
    train: np.ndarray
    held_out: np.ndarray
    held_out_bytes: int

    def documents(self, ids: np.ndarray) -> list[np.ndarray]:
        """Split at end-of-text tokens; each document has one before it and one at its end."""
        places = np.flatnonzero(ids == self.end)
        stops = [*(places + 1).tolist(), *([] if len(ids) and ids[-1] == self.end else [len(ids)])]
        return [np.concatenate([[self.end], ids[a:b]]) for a, b in itertools.pairwise([0, *stops]) if b > a]

    def blocks(self, nats: np.ndarray) -> dict[str, list[Any]]:
        """Sum the losses of held-out tokens over blocks within books; return each sum and the number of its book."""
        columns: dict[str, list[Any]] = {"block_nats": [], "block_book": []}
        start = 0
        for number, book in enumerate(self.documents(self.held_out)):
            of_book = nats[start : start + len(book) - 1]
            start += len(of_book)
            for block in np.array_split(of_book, max(1, len(of_book) // BLOCK)):
                columns["block_nats"].append(round(float(block.sum()), 9))
                columns["block_book"].append(number)
        return columns


def book_text(source: Path, size: int, vocabulary_size: int, steps: Steps) -> BookText:
    """Prepare `size` bytes of the beginnings of books, or open an earlier preparation."""
    tokenizer, train, held_out = open_data(prepare_text(source, size, vocabulary_size, steps))
    assert tokenizer.end_of_text is not None
    learned, tested = (tokens.read(0, len(tokens)).astype(np.int64) for tokens in (train, held_out))
    return BookText(tokenizer, tokenizer.end_of_text, learned, tested, count_text_bytes(held_out, tokenizer))
