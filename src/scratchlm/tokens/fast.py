"""Fast byte-level BPE, equal to `tokens/bpe.py`: rustbpe trains, tiktoken encodes.

It is not a second tokenizer: vocabulary, pattern and file are those of `tokens/bpe.py`, and tests prove that merges and
ids are equal.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rustbpe
import tiktoken

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import DEFAULT_SPECIALS, Ids, TableTokenizer
from scratchlm.tokens.format import write_vocabulary
from scratchlm.tokens.merging import merges_of
from scratchlm.tokens.patterns import QWEN2, cut_runs, require_encodable, split_safely, training_segments
from scratchlm.tokens.vocabulary import (
    BytePairVocabulary,
    require_reached,
    require_size,
    trained_vocabulary,
)

_BUFFER = 256  # segments of about 64 KB that rustbpe counts at once: some 16 MB at a time
_TASK = 1 << 18  # characters of one task of a thread


def train(texts: Iterable[str], vocabulary_size: int, pattern: str = QWEN2) -> list[tuple[int, int]]:
    """Learn merges, equal to those of `bpe.train`, on all cores; errors are the same.

    Text streams through a buffer of about 16 MB; memory grows with the number of distinct chunks.
    """
    wanted = require_size(vocabulary_size)
    trainer = rustbpe.Tokenizer()
    segments = training_segments(texts, pattern)
    trainer.train_from_iterator(segments, vocab_size=vocabulary_size, buffer_size=_BUFFER, pattern=pattern)
    ranks = trainer.get_mergeable_ranks()
    tokens = {bytes(token): int(id) for token, id in ranks}
    require_reached(256 + wanted, len(tokens) - 256)
    return list(merges_of(tokens))


class FastBPE(TableTokenizer):
    """Byte-level BPE in compiled code; its ids equal those of `ReadableBPE`.

    Where the vocabulary has a Unicode `normalization` (some published ones do), decoding returns the normalized text.
    """

    def __init__(self, vocabulary: BytePairVocabulary) -> None:
        super().__init__(vocabulary.table(), vocabulary.specials, vocabulary.ends)
        self.vocabulary = vocabulary
        self.fingerprint = vocabulary.fingerprint
        # tiktoken needs at least one special token to search for; `disallowed_special=()` makes it ignore them in text.
        self._encoding = tiktoken.Encoding(
            name=self.fingerprint[:12],
            pat_str=vocabulary.pattern,
            mergeable_ranks=dict(vocabulary.tokens),
            special_tokens=dict(vocabulary.specials) or {"<|none|>": self.vocabulary_size},
        )
        longest_first = sorted(vocabulary.added, key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        pattern: str = QWEN2,
        specials: Sequence[str] = DEFAULT_SPECIALS,
    ) -> FastBPE:
        """Train on texts; `vocabulary_size` counts ordinary tokens, and the special tokens come on top."""
        return cls(trained_vocabulary(train(texts, vocabulary_size, pattern), pattern, specials))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special-token strings in it are ordinary text."""
        ids: list[int] = []
        for part in self._parts(text):
            ids += [part] if isinstance(part, int) else self._encoding.encode_ordinary(part)
        return ids

    def encode_batch(self, texts: Sequence[str], threads: int | None = None) -> list[Ids]:
        """Return the ids of many texts on several threads (all cores by default), long texts in parts."""
        threads = os.cpu_count() or 1 if threads is None else threads
        if threads < 1:
            raise UserError(f"--threads {threads}: at least 1 is needed")
        divided = [self._parts(text, divide=True) for text in texts]
        flat = [part for parts in divided for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            encoded = [ids for task in pool.map(self._encode_parts, _tasks(flat)) for ids in task]
        ready = iter(encoded)
        return [_join([next(ready) for _ in parts]) for parts in divided]

    def _parts(self, text: str, divide: bool = False) -> list[str | int]:
        """Split a text into strings that can be encoded independently, and ids of added tokens."""
        require_encodable(text)
        if self.vocabulary.normalization:
            text = unicodedata.normalize(self.vocabulary.normalization, text)  # type: ignore[arg-type]
        parts: list[str | int] = []
        for stretch in self._cut_added(text):
            if isinstance(stretch, int):
                parts.append(stretch)
                continue
            for segment in cut_runs(stretch):
                parts += split_safely(segment, self.vocabulary.pattern) if divide else [segment]
        return parts

    def _cut_added(self, text: str) -> Iterator[str | int]:
        if self._added is None:
            yield text
            return
        start = 0
        for match in self._added.finditer(text):
            yield text[start : match.start()]
            yield self.vocabulary.added[match.group()]
            start = match.end()
        yield text[start:]

    def _encode_parts(self, parts: Sequence[str | int]) -> list[Ids]:
        encode = self._encoding.encode_to_numpy
        return [
            np.array([part], np.uint32) if isinstance(part, int) else encode(part, disallowed_special=())
            for part in parts
        ]

    def save(self, folder: Path | str) -> None:
        """Write `tokenizer.json` into a folder."""
        write_vocabulary(folder, self.vocabulary)


def _join(parts: list[Ids]) -> Ids:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.uint32)


def _tasks(parts: Iterable[str | int]) -> Iterator[list[str | int]]:
    """Group parts into tasks large enough for a thread."""
    task: list[str | int] = []
    size = 0
    for part in parts:
        task.append(part)
        size += 1 if isinstance(part, int) else len(part)
        if size >= _TASK:
            yield task
            task, size = [], 0
    if task:
        yield task
