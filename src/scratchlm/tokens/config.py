"""Settings of `scratchlm tokenizer` and `scratchlm prepare`. Light: importing this loads no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Megabytes, Seed, Threads, Vocabulary, out_of_range
from scratchlm.config.settings import File, Flat, Folder, Positional, Sources, Spelling
from scratchlm.text.config import CleanConfig

PatternName = Literal["qwen2", "gpt2", "cl100k", "smollm"]
TokenizerKind = Literal["bpe", "wordpiece", "unigram", "characters", "words"]


@dataclass(frozen=True)
class TrainTokenizerConfig:
    """Train a tokenizer and save it as `tokenizer.json`: byte-level BPE, WordPiece or Unigram, characters or words."""

    sources: Sources
    """Files, folders or named corpora to learn from."""
    out: Folder
    """Folder to write the tokenizer to."""
    kind: TokenizerKind = "bpe"
    """What a token is: a frequent part of a word (bpe, and wordpiece and unigram for comparison, whose trainers are
    plain Python), a character, or a word. Text with a character outside the vocabulary of characters is refused; a
    word outside the vocabulary of words becomes <|unk|>."""
    vocabulary_size: Vocabulary = 4096
    """Number of ordinary tokens, the bytes (256; 512 in wordpiece) or the <|unk|> of words included; special tokens
    are extra. A tokenizer of characters keeps all of them."""
    pattern: PatternName = "qwen2"
    """How text is split into chunks first; qwen2 is read by most other tools. Not for characters and words."""
    sample_mb: Megabytes = 200.0
    """Learn from at most this many megabytes (millions of bytes), spread over the text where its size is known."""
    readable: bool = False
    """Train with the plain Python trainer: the same merges, slower."""
    force: bool = False
    """Replace an existing tokenizer in the folder."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        mistakes = out_of_range(self)
        if self.pattern != "qwen2" and self.kind in ("characters", "words"):
            mistakes.append(f"--pattern: --kind {self.kind} has its own way to split text; leave it out")
        if self.readable and self.kind != "bpe":
            mistakes.append(f"--readable: only --kind bpe has a faster trainer; leave it out with --kind {self.kind}")
        raise_all(mistakes)


@dataclass(frozen=True)
class InspectTokenizerConfig:
    """Show a tokenizer: its merges, its longest tokens, and the tokens of a text."""

    tokenizer: Positional[Path]
    """Folder or file of the tokenizer."""
    text: Positional[str | None] = None
    """Text to encode."""
    merges: Amount = 20
    """Number of merges to show, the earliest."""
    longest: Amount = 10
    """Number of tokens to show, the longest."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        raise_all(out_of_range(self))


@dataclass(frozen=True)
class CompareTokenizersConfig:
    """Compare tokenizers on one text: bytes per token, number of tokens, speed."""

    paths: Annotated[
        Positional[tuple[str, ...]],
        Spelling("TOKENIZER [TOKENIZER ...] TEXT", "required: one tokenizer or more, then a text"),
    ]
    """Folders or files of tokenizers (also GPT-2's vocab.bpe, cl100k_base.tiktoken), then one source of text."""
    sample_mb: Megabytes = 20.0
    """Compare on at most this many megabytes (millions of bytes)."""
    threads: Threads = None
    """Threads to encode with; all cores if not given."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        few = "tokenizer compare: give at least one tokenizer and then the text to compare on"
        raise_all(out_of_range(self) + [few] * (len(self.paths) == 1))


@dataclass(frozen=True)
class PrepareConfig:
    """Read text, clean it, report on it, and write token shards for training."""

    common: ClassVar[tuple[str, ...]] = (
        "out", "tokenizer", "vocabulary_size", "split", "text_column", "split_on", "near_duplicates", "threads",
        "force", "json",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    sources: Sources
    """Files, folders or named corpora (storyworld:20MB, stdlib, shakespeare, gutenberg:1342, ...)."""
    out: Folder
    """Folder to write shards, tokenizer and report to."""
    tokenizer: Literal["characters", "words"] | Path | None = None
    """Folder or file of a tokenizer, or `characters` or `words` to build one from all characters or the most frequent
    words of this text (a folder of that name: ./words); if not given, byte-level BPE is trained on this text."""
    vocabulary_size: Vocabulary = 4096
    """Number of ordinary tokens of a tokenizer trained here; a tokenizer of characters keeps all of them."""
    split: str = "hash:0.05"
    """What is held out: hash:FRACTION of the documents, or tail:FRACTION of the text."""
    text_column: str | None = None
    """Field or column with the text."""
    split_on: str | None = None
    """Cut .txt and .md files into documents at this text, for example a blank line as \\n\\n."""
    strict: bool = False
    """Stop at the first bad file or row instead of naming, skipping and counting it."""
    from_local: File | None = None
    """Take a named source from this file instead of downloading it."""
    overlap: bool = True
    """Report how much of the held-out text also occurs in the training text."""
    clean: Flat[CleanConfig] = field(default_factory=CleanConfig)
    """How text is cleaned: repairs, and reasons to drop a document."""
    seed: Seed = 0
    """Seed of generated sources."""
    threads: Threads = None
    """Threads to encode with; all cores if not given."""
    on: Literal["here", "ray"] = "here"
    """Where to encode: ray takes the machines of a cluster, and --threads for each batch, one if not given."""
    force: bool = False
    """Replace existing data in the folder."""
    json: bool = False
    """Print the report as JSON."""

    def __post_init__(self) -> None:
        raise_all(out_of_range(self))
