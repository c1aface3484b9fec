"""Train/validation split: by the hash of each document, or the tail of the corpus."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import accumulate
from typing import Literal, TypeAlias, TypeVar

from scratchlm.base.errors import UserError, nearest
from scratchlm.text.config import AUTO, SplitConfig
from scratchlm.text.counts import Counts, Document, with_beginnings

T = TypeVar("T")
Side: TypeAlias = Literal["train", "validation"]
ENOUGH_ROWS = 20
"""Rows held out of few, about, so that their score means something; at most `MOST_HELD_OUT` of all."""
MOST_HELD_OUT = 0.25
MakeDocuments: TypeAlias = Callable[[], Iterator[Document]]


def parse_split(text: str) -> SplitConfig:
    """Read a split as the command line writes it: `hash`, `tail`, `hash:0.05`, `tail:0.1`.

    Raises `UserError` for another method or a fraction that does not lie between 0 and 1.
    """
    method, colon, fraction = text.strip().partition(":")
    if method not in ("hash", "tail"):
        raise UserError(f"--split {text!r}: unknown method; {nearest(method, ['hash', 'tail'])}; write hash:0.05")
    kind: Literal["hash", "tail"] = "hash" if method == "hash" else "tail"
    if not colon:
        return SplitConfig(kind)
    try:
        value = float(fraction)
    except ValueError:
        raise UserError(f"--split {text!r}: {fraction!r} is no number; write {method}:0.05") from None
    return SplitConfig(kind, value)


def split_of_rows(text: str, rows: int) -> str:
    """Return the split of a table of `rows` in the place of `auto`: by hash a tenth, and of few rows more."""
    return f"hash:{min(max(0.1, ENOUGH_ROWS / max(rows, 1)), MOST_HELD_OUT):.3g}" if text == AUTO else text


def split_documents(
    make_documents: MakeDocuments, split: SplitConfig, counts: Counts | None = None
) -> Iterator[tuple[Side, Document]]:
    """Yield every document with its side; all chunks of a document have the same, except at the cut of a tail.

    hash: a document is held out when the hash of its text (of its first chunk, for a long one) lies in the lowest
    `fraction`, so equal texts share a side and adding documents moves none. The documents are first read until both
    sides have one; when one side stays empty, as with few documents, the tail is held out instead.

    tail: the documents are read twice, first for their lengths (8 bytes a document). The cut is at the boundary of two
    documents nearest to `fraction` of the characters from the end; when that would hold out less than half or more than
    twice the fraction, as with one long document, it is inside a document, after exactly
    `int(characters * (1 - fraction))` characters.

    `make_documents` is called once a pass and must return a new stream; it counts into `counts`, where that is given,
    which is reset before each pass so that only the last one remains, with a note on what was held out.
    """
    counts = Counts() if counts is None else counts

    def begin() -> Iterator[Document]:
        counts.reset()
        return make_documents()

    lengths = _survey(begin(), split.fraction) if split.method == "hash" else array("q", _lengths(begin()))
    if lengths is None:
        documents = begin()
        counts.note(f"split: about {split.fraction:g} of the documents are held out, by the hash of their text")
        yield from _sides_by_hash(documents, split.fraction)
        return
    cut, where = _cut(lengths, split.fraction)
    documents = begin()
    fallback = "hash left one side empty, so " if split.method == "hash" else ""
    total = sum(lengths)
    counts.note(f"split: {fallback}the last {total - cut:,} of {total:,} characters are held out, {where}")
    yield from _by_position(documents, cut)


def held_out(text: str, fraction: float) -> bool:
    """Return whether a document is held out by the hash of its text; the same on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"split").digest()
    return int.from_bytes(digest, "big") < fraction * 2.0**64


def _survey(documents: Iterator[Document], fraction: float) -> array[int] | None:
    """Return None as soon as both sides have a document, else, having read all, the length of each document."""
    seen: set[Side] = set()

    def of_one_side() -> Iterator[Document]:
        for side, document in _sides_by_hash(documents, fraction):
            seen.add(side)
            if len(seen) == 2:
                return
            yield document

    try:
        lengths = array("q", _lengths(of_one_side()))
        return lengths if len(seen) < 2 else None
    finally:
        if isinstance(documents, Generator):
            documents.close()  # closes open files now, not at garbage collection


def _sides_by_hash(documents: Iterator[Document], fraction: float) -> Iterator[tuple[Side, Document]]:
    side: Side = "train"
    for document, begins in with_beginnings(documents):
        if begins:
            side = "validation" if held_out(document.text, fraction) else "train"
        yield side, document


def _lengths(documents: Iterator[Document]) -> Iterator[int]:
    """Yield the number of characters of each document, summed over its chunks."""
    length = 0
    for document in documents:
        length += len(document.text)
        if not document.continued:
            yield length
            length = 0


def _cut(lengths: array[int], fraction: float) -> tuple[int, str]:
    """Return the number of characters before the cut, and a description of its place."""
    total = sum(lengths)
    wanted = int(total * (1 - fraction))
    if total < 2:
        return total, "nothing"
    border = min(accumulate(lengths), key=lambda end: abs(end - wanted), default=0)
    part = (total - border) / total
    if fraction / 2 <= part <= 2 * fraction and border > 0:
        return border, "cut between documents"
    return min(max(wanted, 1), total - 1), "cut inside a document"


def _by_position(documents: Iterator[Document], cut: int) -> Iterator[tuple[Side, Document]]:
    """Yield the first `cut` characters as train, the rest as validation."""
    start = 0
    for document in documents:
        end = start + len(document.text)
        if end < cut or (end == cut and not document.continued):
            yield "train", document
        elif start >= cut:
            yield "validation", document
        elif end == cut:
            yield "train", Document(document.text, document.source)
        else:
            yield "train", Document(document.text[: cut - start], document.source)
            yield "validation", Document(document.text[cut - start :], document.source, document.continued)
        start = end


def two_sides(rows: Sequence[T], split: SplitConfig, text_of: Callable[[T], str]) -> tuple[list[T], list[T]]:
    """Hold out some rows: those with the lowest hashes of their texts, so that copies share a side, or the last ones.

    Of few rows, no hash may lie below the fraction: then the lowest alone is held out. Raises `UserError` where one
    side would be empty all the same.
    """
    if split.method == "tail":
        cut = len(rows) - int(len(rows) * split.fraction)
        sides: tuple[list[T], list[T]] = list(rows[:cut]), list(rows[cut:])
    else:
        sides, hashes = ([], []), [hash_fraction(text_of(row)) for row in rows]
        limit, distinct = split.fraction, sorted(set(hashes))
        if len(distinct) > 1:
            limit = min(max(limit, distinct[1]), distinct[-1])
        for row, each in zip(rows, hashes, strict=True):
            sides[each < limit].append(row)
    if not all(sides):
        raise UserError(
            f"--split {split.method}:{split.fraction:g}: of {len(rows):,} rows one side has none; "
            "give more rows, another fraction, or --held-out"
        )
    return sides


def hash_fraction(text: str) -> float:
    """Return the hash of a text as a fraction from 0 to 1, ignoring case and whitespace."""
    digest = hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
