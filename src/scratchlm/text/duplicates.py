"""Deduplication: exact by digest, and near-duplicates by MinHash and locality-sensitive hashing."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from scratchlm.text.words import Hashes, mix, run_hashes, word_hashes

DIGEST = 16  # bytes: among a billion documents, the probability of one false duplicate is about 1e-21
_EMPTY = bytes(DIGEST)  # a free slot, which no digest is in practice
PERMUTATIONS = 128
SHINGLE = 5  # words
RECALL = 0.95  # required probability that two documents at the threshold become candidates
ROWS_AT_ONCE = 4096  # shingles hashed together, 4 MB a step


class DigestSet:
    """A set of BLAKE2b digests in one table: 21 to 43 bytes a document, where a Python set takes about 100."""

    def __init__(self) -> None:
        self._slots = 1024
        self._table = bytearray(self._slots * DIGEST)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, data: bytes) -> bool:
        """Add the digest of `data`; return False when it is already there."""
        if not self._insert(hashlib.blake2b(data, digest_size=DIGEST).digest()):
            return False
        self._size += 1
        if self._size * 4 > self._slots * 3:
            old, self._slots = self._table, 2 * self._slots
            self._table = bytearray(self._slots * DIGEST)
            for start in range(0, len(old), DIGEST):
                if (digest := bytes(old[start : start + DIGEST])) != _EMPTY:
                    self._insert(digest)
        return True

    def _insert(self, digest: bytes) -> bool:
        slot = int.from_bytes(digest[:8], "little")
        while True:  # collisions go to the next slot (linear probing)
            start = slot % self._slots * DIGEST
            present = self._table[start : start + DIGEST]
            if present == digest:
                return False
            if present == _EMPTY:
                self._table[start : start + DIGEST] = digest
                return True
            slot += 1


def choose_bands(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """Return (bands, rows a band) for locality-sensitive hashing at a similarity `threshold`.

    Two signatures of similarity s share at least one of b bands of r rows with probability 1 - (1 - s**r)**b. The
    largest r is chosen that reaches `RECALL` at the threshold, for the fewest false candidates.
    Source: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return permutations, 1


class NearDuplicates:
    """Finds documents whose sets of word 5-grams (shingles) resemble those of an earlier document.

    The resemblance is the Jaccard similarity of the two sets, estimated from 128 MinHash values with a standard error
    of at most 0.045. Source: Broder, On the resemblance and containment of documents, 1997.
    Needs about 5 KB a kept document. Depends on the order: the first of two near-duplicates is kept.
    """

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self.threshold = threshold
        self.bands, self.rows = choose_bands(threshold)
        random = np.random.default_rng(seed)

        def draw(size: int) -> Hashes:
            return random.integers(0, 1 << 64, size, dtype=np.uint64)

        # Multiply-shift hashing: an odd 64-bit factor and a shift; the upper half of the product is kept.
        self._factors, self._shifts = draw(PERMUTATIONS) | np.uint64(1), draw(PERMUTATIONS)
        self._row_factors, self._band_shifts = draw(self.rows) | np.uint64(1), draw(self.bands)
        self._signatures: NDArray[np.uint32] = np.zeros((256, PERMUTATIONS), dtype=np.uint32)
        self._size = 0
        self._buckets: dict[int, list[int]] = {}

    def signature(self, text: str) -> NDArray[np.uint32] | None:
        """Return the 128 MinHash values of the shingles of `text`, or None for a text without words.

        A text of fewer than five words is one shingle.
        """
        words = word_hashes(text)
        if len(words) == 0:
            return None
        shingles = np.unique(run_hashes(words, min(SHINGLE, len(words))))
        smallest = np.full(PERMUTATIONS, 0xFFFFFFFF, dtype=np.uint32)
        for start in range(0, len(shingles), ROWS_AT_ONCE):
            block = shingles[start : start + ROWS_AT_ONCE, None] * self._factors + self._shifts
            np.minimum(smallest, (block >> np.uint64(32)).astype(np.uint32).min(axis=0), out=smallest)
        return smallest

    def seen(self, text: str) -> bool:
        """Return whether an earlier text has at least `threshold` similarity; if none has, remember this one."""
        signature = self.signature(text)
        if signature is None:
            return False
        banded = signature[: self.bands * self.rows].reshape(self.bands, self.rows).astype(np.uint64)
        sums = (banded * self._row_factors).sum(axis=1, dtype=np.uint64)
        keys: list[int] = mix(sums + self._band_shifts).tolist()
        candidates = sorted({index for key in keys for index in self._buckets.get(key, ())})
        if candidates:
            similarity = (self._signatures[candidates] == signature).mean(axis=1)
            if float(similarity.max()) >= self.threshold:
                return True
        if self._size == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[self._size] = signature
        for key in keys:
            self._buckets.setdefault(key, []).append(self._size)
        self._size += 1
        return False
