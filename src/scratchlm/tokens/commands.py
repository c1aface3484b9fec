"""`scratchlm tokenizer train|inspect|compare` as functions.

Each takes its config and returns a result that renders with rich and converts to plain data with `as_dict`; `train` and
`compare` also take the text, as an iterable of strings. None of them prints.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scratchlm.base.errors import UserError
from scratchlm.base.folders import atomic_folder
from scratchlm.base.outputs import output_folder
from scratchlm.base.result import Result
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.tokens import bpe, fast
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import CompareTokenizersConfig, InspectTokenizerConfig, TrainTokenizerConfig
from scratchlm.tokens.patterns import pattern_named, sample_bytes
from scratchlm.tokens.pretrained import load_tokenizer, load_vocabulary, tokenizer_of
from scratchlm.tokens.simple import train_symbols
from scratchlm.tokens.vocabulary import BytePairVocabulary, SentencePieceVocabulary, trained_vocabulary
from scratchlm.tokens.wordpiece import WordPieceTokenizer

_COLOURS = ("black on bright_cyan", "black on bright_yellow", "black on bright_green", "black on bright_magenta")
TOKENIZER_KIND = "tokenizer"
"""Kind in the marker of a tokenizer's folder."""
_KEPT_FOR_SCORE = 1_000_000


class _Result(Result):
    """A result of plain fields."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]


def _texts(sources: Sequence[str]) -> Iterator[str]:
    """Yield the texts of all sources, then list on stderr what could not be read."""
    opened, counts = [open_source(source) for source in sources], Counts()
    yield from (document.text for source in opened for document in source.documents(counts))
    counts.warn()


def _size(sources: Sequence[str]) -> int | None:
    """Return the bytes of all sources where all are plain files."""
    paths = [Path(source) for source in sources]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None


@dataclass(frozen=True, repr=False)
class TrainResult(_Result):
    """A trained tokenizer: its size, its training text, and its bytes per token on the beginning of that text."""

    out: str
    vocabulary_size: int
    """Number of ids, special tokens included."""
    merges: int
    """Number of merges; 0 for tokenizers other than BPE."""
    bytes_read: int
    """UTF-8 bytes of the training sample."""
    bytes_per_token: float
    """Bytes per token on the first megabyte of the training text."""
    seconds: float
    fingerprint: str

    def __rich__(self) -> RenderableType:
        size = f"{self.vocabulary_size:,} tokens" + (f" ({self.merges:,} merges)" if self.merges else "")
        work = f"{self.bytes_read / 1e6:,.1f} MB in {self.seconds:.1f} s"
        score = f"{self.bytes_per_token:.2f} bytes per token; fingerprint {self.fingerprint[:12]}"
        return Text(f"{self.out}: {size} from {work}; {score}")


def train_tokenizer(config: TrainTokenizerConfig) -> TrainResult:
    """Train on the texts of `config.sources`; raises as `train` does, and for a source that cannot be read."""
    return train(config, _texts(config.sources), _size(config.sources))


def train(config: TrainTokenizerConfig, texts: Iterable[str], total_bytes: int | None = None) -> TrainResult:
    """Train on texts and write `config.out/tokenizer.json`.

    `total_bytes` is the size of all texts where it is known: a text larger than `sample_mb` is then sampled evenly.
    Raises a `UserError` as `bpe.train` does, and for an output folder that is taken.
    """
    started = time.perf_counter()
    kept: list[str] = []
    read = 0

    def watched() -> Iterator[str]:
        nonlocal read
        for text in sample_bytes(texts, int(config.sample_mb * 1e6), total_bytes):
            if read < _KEPT_FOR_SCORE:
                kept.append(text[: _KEPT_FOR_SCORE - read])
            read += len(text.encode("utf-8"))
            yield text

    sources = tuple(Path(source) for source in config.sources if Path(source).exists())
    with output_folder(config.out, TOKENIZER_KIND, force=config.force, sources=sources, whole=True):
        tokenizer = _trained(config, watched())
        with atomic_folder(config.out, TOKENIZER_KIND) as folder:
            tokenizer.save(folder)
    tokens = sum(len(ids) for ids in tokenizer.encode_batch(kept))
    return TrainResult(
        out=str(config.out),
        vocabulary_size=tokenizer.vocabulary_size,
        merges=len(tokenizer.vocabulary.merges) if isinstance(tokenizer, fast.FastBPE) else 0,
        bytes_read=read,
        bytes_per_token=_size_of(kept) / max(1, tokens),
        seconds=time.perf_counter() - started,
        fingerprint=tokenizer.fingerprint,
    )


def _trained(config: TrainTokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Train a tokenizer of the kind that the config names."""
    size, pattern = config.vocabulary_size, pattern_named(config.pattern)
    match config.kind:
        case "bpe":
            learn = bpe.train if config.readable else fast.train
            return fast.FastBPE(trained_vocabulary(learn(texts, size, pattern), pattern))
        case "wordpiece":
            return WordPieceTokenizer.train(texts, size, pattern)
        case "unigram":
            from scratchlm.tokens.unigram_training import train as train_unigram  # imports scipy, which is slow to load

            return train_unigram(texts, size, pattern)
        case _:
            return train_symbols(config.kind, texts, size)


def _size_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode("utf-8")) for text in texts)


@dataclass(frozen=True)
class TokenText:
    """One token of a text."""

    id: int
    text: str
    """The token as printable text, with backslash escapes for incomplete characters."""


@dataclass(frozen=True, repr=False)
class InspectResult(_Result):
    """A description of a tokenizer, and the tokens of a text."""

    tokenizer: str
    fingerprint: str
    vocabulary_size: int
    specials: dict[str, int]
    pattern: str
    merges: list[tuple[str, str]]
    longest: list[TokenText]
    pieces: list[TokenText] | None
    bytes_per_token: float | None

    def __rich__(self) -> RenderableType:
        facts = Table(show_header=False, box=None)
        facts.add_row("tokenizer", f"{self.tokenizer} ({self.fingerprint[:12]})")
        facts.add_row("vocabulary", f"{self.vocabulary_size:,} ids")
        facts.add_row("specials", ", ".join(f"{text} {id}" for text, id in self.specials.items()) or "none")
        facts.add_row("split", Text(self.pattern))
        if self.merges:
            facts.add_row("first merges", Text(", ".join(f"{left}+{right}" for left, right in self.merges)))
        facts.add_row("longest", Text(", ".join(f"{piece.text!r} {piece.id}" for piece in self.longest)))
        if self.pieces is None or self.bytes_per_token is None:
            return facts
        facts.add_row("bytes per token", f"{self.bytes_per_token:.2f} over {len(self.pieces):,} tokens")
        return Group(facts, _coloured(self.pieces))


def _coloured(pieces: Iterable[TokenText]) -> Text:
    """Show adjacent tokens in alternating colours, with a bar between them where colours are off."""
    line = Text()
    for piece, colour in zip(pieces, itertools.cycle(_COLOURS), strict=False):
        if line:
            line.append("|", style="dim")
        line.append(piece.text, style=colour)
    return line


def inspect(config: InspectTokenizerConfig) -> InspectResult:
    """Load a tokenizer and describe it, and encode `config.text` with it where given."""
    vocabulary = load_vocabulary(config.tokenizer)
    tokenizer = tokenizer_of(vocabulary)
    if isinstance(vocabulary, BytePairVocabulary):
        tokens, merges = dict(vocabulary.tokens), vocabulary.merges[: config.merges]
    elif isinstance(vocabulary, SentencePieceVocabulary):
        tokens = {piece.encode("utf-8"): id for piece, id in vocabulary.pieces.items()}
        merges = [(left.encode("utf-8"), right.encode("utf-8")) for left, right in vocabulary.merges[: config.merges]]
    else:
        tokens, merges = {token: id for id, token in enumerate(vocabulary.table()) if token is not None}, []
    longest = sorted(tokens.items(), key=lambda item: (-len(item[0]), item[1]))[: config.longest]
    pieces = bytes_per_token = None
    if config.text is not None:
        ids = tokenizer.encode(config.text)
        pieces = [TokenText(id, show(tokenizer.token_bytes(id))) for id in ids]
        bytes_per_token = len(config.text.encode("utf-8")) / max(1, len(ids))
    return InspectResult(
        tokenizer=str(config.tokenizer),
        fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        specials=dict(tokenizer.specials),
        pattern="" if isinstance(vocabulary, SentencePieceVocabulary) else vocabulary.pattern,
        merges=[(show(left), show(right)) for left, right in merges],
        longest=[TokenText(id, show(token)) for token, id in longest],
        pieces=pieces,
        bytes_per_token=bytes_per_token,
    )


def show(token: bytes) -> str:
    r"""Return a token as text; control characters and bytes that are no whole character appear as escapes.

    >>> print(show(b"a\n"), show(b"\xe4\xbd"))
    a\n \xe4\xbd
    """
    text = token.decode("utf-8", errors="backslashreplace")
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


@dataclass(frozen=True)
class TokenizerScore:
    """One tokenizer's score on the text."""

    tokenizer: str
    vocabulary_size: int
    tokens: int
    bytes_per_token: float
    megabytes_per_second: float


@dataclass(frozen=True, repr=False)
class CompareResult(_Result):
    """Several tokenizers on the same text."""

    source: str
    bytes: int
    scores: list[TokenizerScore]

    def __rich__(self) -> RenderableType:
        table = Table(title=f"{self.source}: {self.bytes / 1e6:,.2f} MB")
        for name in ("tokenizer", "vocabulary", "tokens", "bytes per token", "MB/s"):
            table.add_column(name, justify="left" if name == "tokenizer" else "right")
        for score in self.scores:
            counts = f"{score.vocabulary_size:,}", f"{score.tokens:,}"
            table.add_row(score.tokenizer, *counts, f"{score.bytes_per_token:.3f}", f"{score.megabytes_per_second:.1f}")
        return table


def compare_tokenizers(config: CompareTokenizersConfig) -> CompareResult:
    """Compare on the text of the last path; raises `UserError` for a tokenizer or a source that cannot be read."""
    return compare(config, _texts(config.paths[-1:]), _size(config.paths[-1:]))


def compare(config: CompareTokenizersConfig, texts: Iterable[str], total_bytes: int | None = None) -> CompareResult:
    """Encode the same sample of text with each tokenizer, and count and time it."""
    if len(config.paths) < 2:
        raise UserError("tokenizer compare: give at least one tokenizer and then the text to compare on")
    *paths, source = config.paths
    tokenizers = [load_tokenizer(path) for path in paths]
    sample = list(sample_bytes(texts, int(config.sample_mb * 1e6), total_bytes))
    size = _size_of(sample)
    if not size:
        raise UserError(f"{source}: holds no text to compare on; name another source")
    scores = []
    for path, tokenizer in zip(paths, tokenizers, strict=True):
        started = time.perf_counter()
        tokens = sum(len(ids) for ids in tokenizer.encode_batch(sample, config.threads))
        seconds = max(time.perf_counter() - started, 1e-9)
        scores.append(TokenizerScore(path, tokenizer.vocabulary_size, tokens, size / tokens, size / 1e6 / seconds))
    return CompareResult(source, size, scores)
