"""Fast byte-level BPE, equal to `tokens/bpe.py`: rustbpe trains, tiktoken encodes.

It is not a second tokenizer: vocabulary, pattern and file are those of `tokens/bpe.py`, and tests prove that merges and
ids are equal.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import rustbpe
import tiktoken

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import DEFAULT_SPECIALS, Ids, Tokenizer
from scratchlm.tokens.merging import merges_of
from scratchlm.tokens.patterns import QWEN2, bad_pattern, cut_runs, require_encodable, split_safely, training_segments
from scratchlm.tokens.vocabulary import BytePairVocabulary, require_reached, require_size, trained_vocabulary

_BUFFER = 256  # segments of about 64 KB that rustbpe counts at once: some 16 MB at a time
_TASK = 1 << 18  # characters of one task of a thread


def train(texts: Iterable[str], vocabulary_size: int, pattern: str = QWEN2) -> list[tuple[int, int]]:
    """Learn merges, equal to those of `bpe.train`, on all cores; errors are the same.

    Text streams through a buffer of about 16 MB; memory grows with the number of distinct chunks.
    """
    require_size(vocabulary_size)
    trainer = rustbpe.Tokenizer()
    segments = training_segments(texts, pattern)
    trainer.train_from_iterator(segments, vocab_size=vocabulary_size, buffer_size=_BUFFER, pattern=pattern)
    tokens = {bytes(token): int(id) for token, id in trainer.get_mergeable_ranks()}
    require_reached(vocabulary_size, len(tokens) - 256)
    return list(merges_of(tokens))


class FastBPE(Tokenizer):
    """Byte-level BPE in compiled code; its ids equal those of `ReadableBPE`.

    Where the vocabulary has a Unicode `normalization` (some published ones do), decoding returns the normalized text.
    """

    vocabulary: BytePairVocabulary

    def __init__(self, vocabulary: BytePairVocabulary) -> None:
        super().__init__(vocabulary)
        # tiktoken needs at least one special token to search for; `disallowed_special=()` makes it ignore them in text.
        try:
            self._encoding = tiktoken.Encoding(
                name=self.fingerprint[:12],
                pat_str=vocabulary.pattern,
                mergeable_ranks=dict(vocabulary.tokens),
                special_tokens=dict(vocabulary.specials) or {"<|none|>": self.vocabulary_size},
            )
        except ValueError as error:
            raise bad_pattern(vocabulary.pattern, error) from error

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
        flat = itertools.chain.from_iterable(divided)
        with ThreadPoolExecutor(threads) as pool:
            encoded = [ids for task in pool.map(self._encode_parts, _tasks(flat)) for ids in task]
        ready = iter(encoded)
        return [np.concatenate([next(ready) for _ in parts] or [np.empty(0, np.uint32)]) for parts in divided]

    def _parts(self, text: str, divide: bool = False) -> list[str | int]:
        """Split a text into strings that can be encoded independently, and ids of added tokens."""
        require_encodable(text)
        if self.vocabulary.normalization:
            text = unicodedata.normalize(self.vocabulary.normalization, text)  # type: ignore[arg-type]
        parts: list[str | int] = []
        for stretch in self._cut_added(text):
            if stretch in self.vocabulary.added:
                parts.append(self.vocabulary.added[stretch])
                continue
            for segment in cut_runs(stretch):
                parts += split_safely(segment, self.vocabulary.pattern) if divide else [segment]
        return parts

    def _encode_parts(self, parts: Sequence[str | int]) -> list[Ids]:
        encode = self._encoding.encode_to_numpy
        return [
            np.array([part], np.uint32) if isinstance(part, int) else encode(part, disallowed_special=())
            for part in parts
        ]


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
