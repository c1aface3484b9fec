"""Overlap: how much of the held-out text also occurs in the training text.

Word 13-grams are compared, the largest n of GPT-3's authors (Brown et al. 2020, appendix C). A high overlap means that
the held-out loss measures memorisation as well as generalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchlm.text.counts import Document, with_beginnings
from scratchlm.text.words import BOUNDARY, Hashes, run_hashes, word_hashes

RUN = 13  # n of the word n-grams
MOSTLY = 0.8  # fraction of shared n-grams from which on a document counts as mostly contained
TOGETHER = 1 << 17  # characters of short training documents hashed at a time
SHOWN = 10


@dataclass(frozen=True, slots=True)
class OverlapReport:
    """Counts of the n-grams that held-out and training text have in common."""

    run: int
    """n: words of an n-gram."""

    runs: int
    """N-grams in the held-out text."""

    runs_in_train: int
    """N-grams that also occur in the training text."""

    documents: int
    """Held-out documents with at least one n-gram; a shorter document counts as one n-gram."""

    documents_touched: int
    """Documents with at least one shared n-gram, the measure of Brown et al."""

    documents_mostly: int
    """Documents of which at least 80% of the n-grams are shared."""

    examples: tuple[str, ...]
    """Names of up to ten of the latter."""

    @property
    def fraction(self) -> float:
        """The fraction of held-out n-grams that also occur in the training text, 0 to 1."""
        return self.runs_in_train / self.runs if self.runs else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON report."""
        return {**asdict(self), "examples": list(self.examples), "share": self.fraction}


def overlap_report(train: Iterable[Document], held_out: Iterable[Document], run: int = RUN) -> OverlapReport:
    """Compare held-out with training documents by word n-grams, n = `run`, without case and punctuation.

    The hashes of the held-out n-grams are in memory (about 30 bytes a word); the training text is streamed once. A
    held-out document of fewer than `run` words counts as shared when a training document has exactly its words. Two
    n-grams count as equal when their 64-bit hashes are.
    """
    hashes, owners, names = _held_out_runs(held_out, run)
    wanted = np.unique(hashes)
    present = np.zeros(len(wanted), dtype=bool)
    if len(wanted):
        # A sparse table by the first bits of a hash rules out nearly every n-gram before the binary search in `wanted`.
        bits = np.uint64(min(26, len(wanted).bit_length() + 4))
        likely = np.zeros(1 << int(bits), dtype=bool)
        likely[wanted >> (np.uint64(64) - bits)] = True
        for block in _train_runs(train, run):
            block = block[likely[block >> (np.uint64(64) - bits)]]
            places = np.searchsorted(wanted, block)
            places[places == len(wanted)] = 0
            present[places[wanted[places] == block]] = True
    shared = present[np.searchsorted(wanted, hashes)] if len(wanted) else np.zeros(0, dtype=bool)
    totals = np.bincount(owners, minlength=len(names))
    hits = np.bincount(owners[shared], minlength=len(names))
    mostly = np.flatnonzero((totals > 0) & (hits >= MOSTLY * totals))
    return OverlapReport(
        run=run,
        runs=len(hashes),
        runs_in_train=int(shared.sum()),
        documents=int((totals > 0).sum()),
        documents_touched=int((hits > 0).sum()),
        documents_mostly=len(mostly),
        examples=tuple(names[index] for index in mostly[:SHOWN]),
    )


def shared_paragraphs(paragraphs: Sequence[str], held_out: Sequence[str], run: int = 8) -> list[bool]:
    """Return for each paragraph whether it shares a word n-gram, n = `run`, with a held-out text."""
    wanted = {each for text in held_out for each in run_hashes(word_hashes(text), run).tolist()}
    return [not wanted.isdisjoint(run_hashes(word_hashes(text), run).tolist()) for text in paragraphs]


def _held_out_runs(documents: Iterable[Document], run: int) -> tuple[Hashes, NDArray[np.int64], list[str]]:
    """Return the hashes of all n-grams, the document index of each, and the names of the documents."""
    hashes, sizes, names = [np.zeros(0, dtype=np.uint64)], [], []
    words: list[Hashes] = []
    for document in documents:
        words.append(word_hashes(document.text))
        if document.continued:
            continue
        joined = np.concatenate(words)
        words = []
        runs = run_hashes(joined, run) if len(joined) >= run else _short(joined)
        hashes.append(runs)
        sizes.append(len(runs))
        names.append(document.source)
    return np.concatenate(hashes), np.repeat(np.arange(len(names)), sizes), names


def _short(words: Hashes) -> Hashes:
    """Return one hash for a document of fewer than n words, distinct from those of n-grams; none without a word."""
    return ~run_hashes(words, len(words)) if len(words) else words


def _train_runs(documents: Iterable[Document], run: int) -> Iterator[Hashes]:
    """Yield the n-gram hashes of the training text, many short documents or a chunk of a long one at a time."""
    texts: list[str] = []
    size = 0
    carried = np.zeros(0, dtype=np.uint64)  # the last words of the previous chunk, for n-grams across the cut
    for document, begins in with_beginnings(documents):
        if document.continued or not begins:
            words = np.concatenate([carried, word_hashes(document.text)])
            yield run_hashes(words, run)
            carried = words[len(words) - run + 1 :] if document.continued else carried[:0]
            continue
        texts.append(document.text)
        size += len(document.text)
        if size >= TOGETHER:
            yield from _hash_together(texts, run)
            texts, size = [], 0
    yield from _hash_together(texts, run)


def _hash_together(texts: list[str], run: int) -> Iterator[Hashes]:
    """Yield the n-grams of many documents at once, and one hash for each short document.

    A word that no text has separates the documents, so no n-gram spans two of them.
    """
    if not texts:
        return
    words = word_hashes(BOUNDARY.join(texts))
    yield run_hashes(words, run)
    borders = np.flatnonzero(words == word_hashes(BOUNDARY)[0])
    starts = np.concatenate([[0], borders + 1])
    ends = np.concatenate([borders, [len(words)]])
    short = np.flatnonzero((ends - starts < run) & (ends > starts))
    if len(short):
        yield np.concatenate([_short(words[starts[index] : ends[index]]) for index in short])
