"""Token shards: files of token ids for training.

A shard is one file: a header of 256 bytes, the ids, and the start of each document.

| bytes | content (little-endian) |
|---|---|
| 0 to 7 | the letters SLMSHARD |
| 8 to 15 | format version and bytes per id, uint32 |
| 16 to 39 | number of ids, number of document starts, vocabulary size, uint64 |
| 40 to 135 | SHA-256 of the tokenizer (its fingerprint), of the ids, and of the document starts |
| 136 to 167 | SHA-256 of bytes 0 to 135 |
| 256 on | the ids, uint16 for a vocabulary of up to 65,536, else uint32; zero bytes up to a multiple of 8 |
| then | document starts, uint64 |

`Shard.open` checks everything except the ids, which are memory-mapped; `Shard.verify` reads and checks them too.
`ShardSet.open`, which all commands use, verifies each shard once for each state of its file (`verified.py`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchlm.base.errors import UserError
from scratchlm.base.files import atomic_file, explain_os_error
from scratchlm.base.reading import require_plain
from scratchlm.data.verified import is_remembered, remember, state_of
from scratchlm.tokens.base import Tokenizer, require_same

SUFFIX = ".tokens"
VERSION = 1
_MAGIC = b"SLMSHARD"
_FIELDS = struct.Struct("<8sIIQQQ32s32s32s")
_DATA = 256
_REMEDY = "prepare the data again"

TokenArray = npt.NDArray[np.unsignedinteger[Any]]
"""Ids: uint16 or uint32."""
Starts = npt.NDArray[np.uint64]


def token_dtype(vocabulary_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest type that holds every id: uint16 for up to 65,536 ids, else uint32."""
    return np.dtype("<u2") if vocabulary_size <= 1 << 16 else np.dtype("<u4")


class ShardWriter:
    """Writes one shard as ids arrive, in bounded memory; the file gets its name when it is complete.

    >>> with ShardWriter(path, tokenizer.fingerprint, tokenizer.vocabulary_size) as writer:  # doctest: +SKIP
    ...     writer.add_document([*tokenizer.encode(text), tokenizer.end_of_text])

    The caller appends `<|endoftext|>`. An exception in the block leaves no new file, and an old one is kept. An id
    outside the vocabulary is a `UserError`.
    """

    def __init__(self, path: Path, fingerprint: str, vocabulary_size: int) -> None:
        self.path, self.vocabulary_size, self.token_count = path, vocabulary_size, 0
        self.dtype = token_dtype(vocabulary_size)
        self._fingerprint = bytes.fromhex(fingerprint)
        self._starts: list[int] = []
        self._digest = hashlib.sha256()

    @contextmanager
    def _opened(self) -> Iterator[ShardWriter]:
        with atomic_file(self.path) as temporary, temporary.open("wb", buffering=1 << 20) as self._file:
            self._file.write(bytes(_DATA))
            yield self
            self._finish()

    def __enter__(self) -> ShardWriter:
        self._context = self._opened()
        return self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def add_document(self, ids: Iterable[int] | npt.NDArray[np.integer]) -> None:
        """Add a whole document, or the first chunk of one."""
        self.add_chunk(ids, continued=False)

    def add_chunk(self, ids: Iterable[int] | npt.NDArray[np.integer], continued: bool) -> None:
        """Add a chunk; `continued`: it continues the document before it, also across shards."""
        array = ids if isinstance(ids, np.ndarray) else np.array(list(ids), dtype=np.int64)
        low, high = (int(array.min()), int(array.max())) if array.size else (0, -1)
        if low < 0 or high >= self.vocabulary_size:
            stray = low if low < 0 else high
            raise UserError(
                f"{self.path}: token id {stray} is outside the vocabulary of {self.vocabulary_size:,}; "
                "write with the vocabulary size of the tokenizer that made the ids"
            )
        if not continued:
            self._starts.append(self.token_count)
        data = array.astype(self.dtype).tobytes()
        self._digest.update(data)
        self._file.write(data)
        self.token_count += int(array.size)

    def _finish(self) -> None:
        starts = np.array(self._starts, dtype="<u8").tobytes()
        self._file.write(bytes(_padding(self.token_count * self.dtype.itemsize)) + starts)
        width, digests = self.dtype.itemsize, (self._digest.digest(), hashlib.sha256(starts).digest())
        counts = self.token_count, len(self._starts), self.vocabulary_size
        fields = _FIELDS.pack(_MAGIC, VERSION, width, *counts, self._fingerprint, *digests)
        self._file.seek(0)
        self._file.write(fields + hashlib.sha256(fields).digest())


def _padding(size: int) -> int:
    return -size % 8


@dataclass(frozen=True)
class Shard:
    """One shard, open for reading; `tokens` is memory-mapped, not loaded."""

    path: Path
    tokens: TokenArray
    document_offsets: Starts
    """The start of each document, ascending; a shard may begin inside a document of the previous shard."""
    fingerprint: str
    """Fingerprint of the tokenizer of the ids."""
    vocabulary_size: int
    token_digest: bytes

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Open a shard; a file that is not a shard, truncated or altered is a `UserError`."""
        try:
            size = require_plain(path)
            with path.open("rb") as file:
                head = file.read(_DATA)
        except OSError as error:
            raise explain_os_error(error, path) from error
        fields, seal = head[: _FIELDS.size], head[_FIELDS.size : _FIELDS.size + 32]
        if fields[:8] != _MAGIC:
            raise UserError(f"{path}: not a token shard; {_REMEDY} with `scratchlm prepare`")
        if len(head) < _DATA or hashlib.sha256(fields).digest() != seal:
            raise UserError(f"{path}: its header is truncated or altered; {_REMEDY}")
        _, version, width, tokens, documents, vocabulary, fingerprint, digest, starts_digest = _FIELDS.unpack(fields)
        if version != VERSION:
            raise UserError(f"{path}: shard format {version}, and this version reads {VERSION}; {_REMEDY}")
        starts_at = _DATA + tokens * width + _padding(tokens * width)
        if size != starts_at + 8 * documents:
            raise UserError(
                f"{path}: truncated or altered, {size:,} bytes where its header says {starts_at + 8 * documents:,}; "
                f"{_REMEDY}"
            )
        starts = np.fromfile(path, dtype="<u8", count=documents, offset=starts_at)
        if hashlib.sha256(starts.tobytes()).digest() != starts_digest:
            raise UserError(f"{path}: its document starts are altered; {_REMEDY}")
        dtype = token_dtype(vocabulary)
        ids = np.memmap(path, dtype=dtype, mode="r", offset=_DATA, shape=(tokens,)) if tokens else np.empty(0, dtype)
        return cls(path, ids, starts, fingerprint.hex(), vocabulary, digest)

    def __len__(self) -> int:
        return len(self.tokens)

    def verify(self) -> None:
        """Read every id; `UserError` where their SHA-256 is not the header's, or one is outside the vocabulary."""
        digest, largest = hashlib.sha256(), 0
        for start in range(0, len(self.tokens), 1 << 22):
            part = self.tokens[start : start + (1 << 22)]
            digest.update(part.tobytes())
            largest = max(largest, int(part.max()))
        if digest.digest() != self.token_digest:
            raise UserError(f"{self.path}: its ids are altered; {_REMEDY}")
        if largest >= max(self.vocabulary_size, 1):
            raise UserError(
                f"{self.path}: token id {largest} is outside its vocabulary of {self.vocabulary_size:,}; {_REMEDY}"
            )

    def verify_once(self) -> None:
        """Verify, unless the file was verified before and is unchanged since."""
        try:
            state = state_of(self.path, self.token_digest.hex())
            if is_remembered(state):
                return
            self.verify()
            if state_of(self.path, self.token_digest.hex()) == state:
                remember(state)
        except OSError as error:
            raise explain_os_error(error, self.path) from error


class ShardSet:
    """Several shards, read as one long sequence of ids."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        if not shards:
            raise UserError(f"no token shards given; {_REMEDY} with `scratchlm prepare`")
        self.shards = list(shards)
        first = self.shards[0]
        self.fingerprint = first.fingerprint
        self.vocabulary_size = first.vocabulary_size
        for shard in self.shards[1:]:
            require_same(first.fingerprint, shard.fingerprint, shard.path)
        self._starts = np.cumsum([0, *map(len, self.shards)])

    @classmethod
    def open(cls, folder: Path, prefix: str = "", tokenizer: Tokenizer | None = None) -> ShardSet:
        """Open the shards of a folder whose names begin with `prefix`, in the order of their names, all verified.

        With `tokenizer` given, shards that another tokenizer made are refused. Raises `UserError` for those, and for a
        shard that is truncated, altered or holds an id outside the vocabulary.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; check the spelling, or {_REMEDY} with `scratchlm prepare`")
        paths = sorted(folder.glob(f"{prefix}*{SUFFIX}"))
        if not paths:
            raise UserError(f"{folder}: holds no {prefix}*{SUFFIX}; {_REMEDY} with `scratchlm prepare`")
        shards = cls([Shard.open(path) for path in paths])
        if tokenizer is not None:
            require_same(tokenizer.fingerprint, shards.fingerprint, folder)
        for shard in shards.shards:
            shard.verify_once()
        return shards

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def document_starts(self) -> Starts:
        """The start of each document in the whole sequence, ascending."""
        pairs = zip(self.shards, self._starts[:-1], strict=True)
        return np.concatenate([shard.document_offsets + np.uint64(start) for shard, start in pairs])

    def read(self, start: int, stop: int) -> TokenArray:
        """Return the ids from `start` up to, not including, `stop`; raises IndexError outside the sequence."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start:,} to {stop:,} of {len(self):,}")
        parts, at = [], max(0, int(np.searchsorted(self._starts, start, side="right")) - 1)
        while at < len(self.shards) and (begin := int(self._starts[at])) < stop:
            parts.append(self.shards[at].tokens[max(start - begin, 0) : stop - begin])
            at += 1
        if len(parts) == 1:
            return np.asarray(parts[0])
        return np.concatenate(parts) if parts else np.empty(0, token_dtype(self.vocabulary_size))
