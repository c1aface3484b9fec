"""Books as single sentences in lower case and random order: the form in which minimal pairs are judged.

Nothing but the books' own words: a sentence is a document. Its quotation marks, the underscores of italics and whatever
stands before its first word are dropped, and a space is put there, so that a word has the same tokens everywhere.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from scratchlm.base.files import write_text

LONGEST, SHORT = 60, 18
"""Words of a sentence: what is longer is a list or a failed split; what is short is like the sentences of the pairs."""
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Esq|Prof|Capt|Col|Gen|No|Vol|Fig|[A-Z])\.$")
_END = re.compile(r"""[.!?]["'”’)\]]*(?=\s+["'“‘(\[]?[A-Z])""")


def as_sentence(text: str) -> str:
    """Return a sentence in the form that is trained on and scored."""
    return " " + " ".join(re.sub(r"[\"“”_]|^\W+", "", text).lower().split())


def sentences(text: str) -> Iterator[str]:
    """Cut a book at blank lines, then behind each full stop, question and exclamation mark that a capital follows."""
    for paragraph in re.split(r"\n\s*\n", text):
        start = 0
        for match in _END.finditer(paragraph):
            if not _ABBREVIATED.search(paragraph[start : match.end()]):
                yield paragraph[start : match.end()]
                start = match.end()
        yield paragraph[start:]


def write_sentences(books: Path, everything: Path, short: Path, seed: int = 0) -> None:
    """Write the sentences of `books` (JSON lines with `text`) in random order: all of them, and the short ones."""
    found = []
    for line in books.read_text(encoding="utf-8").splitlines():
        found += [as_sentence(sentence) for sentence in sentences(json.loads(line)["text"])]
    random.Random(seed).shuffle(found)
    for path, longest in ((everything, LONGEST), (short, SHORT)):
        chosen = (text for text in found if 3 <= len(text.split()) <= longest)
        write_text(path, "".join(json.dumps({"text": text}) + "\n" for text in chosen))
