"""Books as single sentences in random order, which is the form of minimal pairs.

The text contains only the books' words: a sentence is a document, in the spelling of `spelling.py`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from bench.learning.spelling import Spelling

from scratchlm.base.files import write_text

FEWEST, LONGEST, SHORT = 3, 60, 18
"""Words of a sentence: longer ones are lists or failed splits; short ones resemble the sentences of the pairs."""
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Esq|Prof|Capt|Col|Gen|No|Vol|Fig|[A-Z])\.$")
_END = re.compile(r"""[.!?]["'”’)\]]*(?=\s+["'“‘(\[]?[A-Z])""")


def sentences(text: str) -> Iterator[str]:
    """Split a book at blank lines, then after each end of a sentence that a capital follows."""
    for paragraph in re.split(r"\n\s*\n", text):
        start = 0
        for match in _END.finditer(paragraph):
            if not _ABBREVIATED.search(paragraph[start : match.end()]):
                yield paragraph[start : match.end()]
                start = match.end()
        yield paragraph[start:]


def book_sentences(books: Path) -> list[str]:
    """Return the sentences of `books` (JSON lines with `text`) unchanged, from `FEWEST` to `LONGEST` words each."""
    texts = [json.loads(line)["text"] for line in books.read_text(encoding="utf-8").splitlines()]
    found = (sentence for text in texts for sentence in sentences(text))
    return [sentence for sentence in found if FEWEST <= len(sentence.split()) <= LONGEST]


def write_sentences(found: list[str], spelling: Spelling, everything: Path, short: Path, seed: int = 0) -> None:
    """Write sentences respelled and in random order to two files: all of them, and the short ones."""
    shuffled = random.Random(seed).sample(found, len(found))
    lines = [(len(text.split()), json.dumps({"text": spelling(text)}) + "\n") for text in shuffled]
    for path, longest in ((everything, LONGEST), (short, SHORT)):
        write_text(path, "".join(line for words, line in lines if words <= longest))
