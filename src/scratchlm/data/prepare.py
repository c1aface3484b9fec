"""`scratchlm prepare`: read and clean text, and write token shards.

    tokenizer.json            the tokenizer, trained here or loaded
    train-00000.tokens        shards of the training part, at most `SHARD_TOKENS` each
    validation-00000.tokens   shards of the held-out part
    prepare.json              counts of what was read, kept and dropped, with sources and licences

The folder is written atomically. Text is streamed: memory does not grow with the corpus, except for 16 bytes a document
for exact deduplication, and the tokenizer's table of distinct words.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scratchlm.base.errors import UserError
from scratchlm.base.files import require_free_space, write_json
from scratchlm.base.folders import atomic_folder
from scratchlm.base.outputs import output_folder
from scratchlm.base.result import Result
from scratchlm.data.encoding import Encoded, EncodeOnRay, Encoder, Here
from scratchlm.data.prepared import REPORT_FILE, data_hash
from scratchlm.data.shards import SUFFIX, ShardSet, ShardWriter
from scratchlm.text.clean import clean
from scratchlm.text.config import SplitConfig
from scratchlm.text.counts import Counts, Document
from scratchlm.text.overlap import overlap_report
from scratchlm.text.sources import OpenedSource, open_source
from scratchlm.text.split import MakeDocuments, Side, parse_split, split_documents
from scratchlm.tokens import fast
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import PrepareConfig
from scratchlm.tokens.patterns import sample_bytes
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.simple import UNKNOWN, train_symbols, unknown_id

DATA_KIND = "data folder"
"""Kind in the marker file of a folder of `prepare`."""
SHARD_TOKENS = 100_000_000
BATCH_CHARACTERS = 8 << 20
"""Characters that are encoded together: enough for all threads, and small in memory."""
TRAINING_SAMPLE = 100_000_000
"""Most bytes of the training sample of a tokenizer, spread over the text."""


@dataclass(frozen=True, repr=False)
class PrepareResult(Result):
    """The report of `prepare`: what was read, kept and written."""

    out: str
    tokens: dict[Side, int]
    documents: dict[Side, int]
    bytes: int
    vocabulary_size: int
    fingerprint: str
    data_hash: str
    counts: dict[str, Any]
    overlap: dict[str, Any] | None
    sources: list[dict[str, Any]]
    seconds: float
    split: str = ""
    format: int = 1

    def __rich__(self) -> RenderableType:
        table = Table("", "train", "validation", title=self.out, title_justify="left")
        for name, row in [("documents", self.documents), ("tokens", self.tokens)]:
            table.add_row(name, f"{row['train']:,}", f"{row['validation']:,}")
        counts = self.counts
        lines = [
            f"read {counts['read']:,} documents, kept {counts['kept']:,} ({self.bytes / 1e6:,.2f} MB), "
            f"cut {counts['truncated']:,}, dropped {sum(counts['dropped'].values()):,}"
        ]
        for kind, what in (("dropped", ""), ("skipped", " files"), ("repaired", "")):
            lines += [f"  {kind} {number:,}{what}: {reason}" for reason, number in counts[kind].items()]
        lines += [f"    {name}" for names in counts["named"].values() for name in names]
        lines += [f"  {note}" for note in counts["notes"]]
        if self.overlap is not None:
            lines.append(
                f"overlap: {100 * self.overlap['share']:.2f}% of the held-out {self.overlap['run']}-grams of words "
                "also occur in the training text"
            )
        lines.append(f"{self.vocabulary_size:,} ids, fingerprint {self.fingerprint[:12]}; {self.seconds:.1f} s")
        return Group(table, Text("\n".join(lines)))


def prepare(config: PrepareConfig) -> PrepareResult:
    """Write the folder `config.out` and return the report.

    Raises `UserError` for sources that are missing or have no text, an existing or misplaced `out`, a vocabulary that
    is too large for the text, and a full disk.
    """
    split = parse_split(config.split)
    options = {name: getattr(config, name) for name in ("text_column", "split_on", "strict", "from_local", "seed")}
    sources = [open_source(spec, **options) for spec in config.sources]
    paths = tuple(path for source in sources for path in source.paths)
    with output_folder(config.out, DATA_KIND, force=config.force, sources=paths, whole=True):
        return _write_data(config, sources, paths, split)


def _write_data(
    config: PrepareConfig, sources: list[OpenedSource], paths: tuple[Path, ...], split: SplitConfig
) -> PrepareResult:
    started = time.perf_counter()
    size = sum(path.stat().st_size for path in paths if path.is_file())
    require_free_space(config.out, size)
    counts = Counts()

    def documents(counting: Counts | None = None) -> Iterator[Document]:
        counting = counting or Counts()  # further passes have counts of their own
        read = (document for source in sources for document in source.documents(counting))
        return clean(read, config.clean, counting)

    def part(wanted: Side) -> Iterator[Document]:
        return (document for side, document in split_documents(documents, split) if side == wanted)

    tokenizer = _tokenizer(config, documents, size)
    with atomic_folder(config.out, DATA_KIND) as folder:
        with ExitStack() as stack:
            encoder = (EncodeOnRay if config.on == "ray" else Here)(tokenizer, config.threads)
            writer = _Sides(folder, tokenizer, encoder, stack)
            for side, document in split_documents(lambda: documents(counts), split, counts):
                writer.add(side, document)
            writer.finish()
        if writer.unknown:
            counts.note(
                f"tokenizer: {writer.unknown:,} of {sum(writer.tokens.values()):,} tokens are {UNKNOWN}, words that it "
                "does not know; the model never sees which, and bits per byte cannot be compared with other tokenizers"
            )
        tokenizer.save(folder)
        report = asdict(counts)
        overlap = overlap_report(part("train"), part("validation")).as_dict() if config.overlap else None
        result = PrepareResult(
            out=str(config.out),
            tokens=writer.tokens,
            documents=writer.documents,
            bytes=report["bytes"],
            vocabulary_size=tokenizer.vocabulary_size,
            fingerprint=tokenizer.fingerprint,
            data_hash=data_hash(ShardSet.open(folder, "train"), ShardSet.open(folder, "validation")),
            counts=report,
            overlap=overlap,
            sources=[source.manifest() for source in sources],
            seconds=time.perf_counter() - started,
            split=config.split,
        )
        write_json(folder / REPORT_FILE, {**result.as_dict(), "out": config.out.absolute().name})
    return result


def _tokenizer(config: PrepareConfig, documents: MakeDocuments, total: int) -> Tokenizer:
    texts = (document.text for document in documents())
    match config.tokenizer:
        case None:
            return fast.FastBPE.train(sample_bytes(texts, TRAINING_SAMPLE, total or None), config.vocabulary_size)
        case "characters" | "words" as kind:
            return train_symbols(kind, texts, config.vocabulary_size)
        case place:
            if not Path(place).exists():
                raise UserError(f"--tokenizer {place}: no such file or folder, and not characters or words")
            tokenizer = load_tokenizer(place)
            if tokenizer.end_of_text is None:
                raise UserError(f"--tokenizer {place}: has no <|endoftext|> to end documents; use one that has")
            return tokenizer


class _Sides:
    """Writes the shards of both parts as documents arrive; text is encoded in batches, and written in its order."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, encoder: Encoder, stack: ExitStack) -> None:
        self.tokens: dict[Side, int] = {"train": 0, "validation": 0}
        self.documents: dict[Side, int] = {"train": 0, "validation": 0}
        self.unknown = 0
        self._folder, self._tokenizer, self._encoder, self._stack = folder, tokenizer, encoder, stack
        self._waiting: list[tuple[Side, Document]] = []
        self._begun: deque[tuple[list[tuple[Side, Document]], Encoded]] = deque()
        self._characters = 0
        self._shards: dict[Side, int] = {"train": 0, "validation": 0}
        self._inside: dict[Side, bool] = {"train": False, "validation": False}
        self._writers: dict[Side, ShardWriter] = {side: self._next_shard(side) for side in self._shards}

    def add(self, side: Side, document: Document) -> None:
        self._waiting.append((side, document))
        self._characters += len(document.text)
        if self._characters >= BATCH_CHARACTERS:
            self._begin()

    def _next_shard(self, side: Side) -> ShardWriter:
        path = self._folder / f"{side}-{self._shards[side]:05d}{SUFFIX}"
        self._shards[side] += 1
        writer = ShardWriter(path, self._tokenizer.fingerprint, self._tokenizer.vocabulary_size)
        return self._stack.enter_context(writer)

    def finish(self) -> None:
        """Encode and write what is left."""
        self._begin()
        while self._begun:
            self._write()

    def _begin(self) -> None:
        """Have what waits encoded; write the oldest batch where enough are begun."""
        encoded = self._encoder.start([document.text for _, document in self._waiting])
        self._begun.append((self._waiting, encoded))
        self._waiting, self._characters = [], 0
        if len(self._begun) >= self._encoder.most:
            self._write()

    def _write(self) -> None:
        documents, encoded = self._begun.popleft()
        end = self._tokenizer.end_of_text
        unknown = unknown_id(self._tokenizer)
        for (side, document), ids in zip(documents, encoded(), strict=True):
            self.unknown += 0 if unknown is None else int((ids == unknown).sum())
            if not document.continued:
                ids = np.append(ids, np.asarray(end, dtype=ids.dtype))
            if self._writers[side].token_count >= SHARD_TOKENS:
                self._writers[side] = self._next_shard(side)
            self._writers[side].add_chunk(ids, continued=self._inside[side])
            self._inside[side] = document.continued
            self.tokens[side] += len(ids)
            self.documents[side] += not document.continued
