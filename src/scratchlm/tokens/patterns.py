"""Split patterns (pre-tokenization), and places where a text can be cut without changing its tokens.

A byte-level tokenizer first splits text into chunks with a regular expression; merges happen inside a chunk only, so
that none spans a word and the punctuation after it (Radford et al. 2019, section 2.2). The pattern is part of a trained
tokenizer's format: another pattern gives other tokens for the same merges.

Two further cuts are here because every encoder and trainer must make the same: `cut_runs` bounds the length of a
chunk, and `split_safely` divides a long text for threads and bounded buffers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

import regex

from scratchlm.base.errors import UserError, nearest

# Source: `pre_tokenizer` in Qwen/Qwen2-7B `tokenizer.json`. As cl100k's, but every digit is a chunk of its own.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Source: `encoder.py` in openai/gpt-2.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Source: `cl100k_base` in openai/tiktoken, `tiktoken_ext/openai_public.py`, as `tokenizers` spells it too.
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Source: `Digits` then `ByteLevel` in HuggingFaceTB/SmolLM2-135M `tokenizer.json`: GPT-2's pattern on text whose
# digits were isolated first. As one pattern: a digit takes no space along, and whitespace before it ends as before the
# end of the text.
SMOLLM = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
PATTERNS = {"qwen2": QWEN2, "gpt2": GPT2, "cl100k": CL100K, "smollm": SMOLLM}

LONGEST_RUN = 100_000
_STRIDE = 1_000
_CLASSES = (r"\s", r"\p{L}", r"\p{N}", r"[^\s\p{L}\p{N}]")


def compiled(pattern: str) -> regex.Pattern[str]:
    """Compile a split pattern. Raises `UserError` for one that is no regular expression."""
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise bad_pattern(pattern, error) from error


def bad_pattern(pattern: str, error: Exception) -> UserError:
    """Return the error of a split pattern that cannot be compiled."""
    reason = " ".join(str(error).split())[:200]
    return UserError(f"split pattern {pattern[:60]!r}: no regular expression ({reason}); restore the tokenizer's file")


_RUN = regex.compile("|".join(f"{kind}+" for kind in _CLASSES))  # with a least length of 100,001 it would take 140 MB
_LONG_RUN_OF_SAMPLES = regex.compile("|".join(f"{kind}{{{LONGEST_RUN // _STRIDE},}}" for kind in _CLASSES))
_SAFE_PLACE = re.compile(r"(?<=\S)(?= )|(?<=\S\n)(?=\S)")
_PART = 1 << 16


def pattern_named(name: str) -> str:
    """Return the split pattern called `name`; an unknown name is a `UserError` that offers the nearest."""
    if name not in PATTERNS:
        raise UserError(f"--pattern {name!r}: no such split pattern; {nearest(name, PATTERNS)}")
    return PATTERNS[name]


def cut_runs(text: str) -> list[str]:
    """Cut every run of one kind of character after each 100,000, and return the segments in order.

    The kinds are whitespace, letters, numbers and everything else. Rust's regular expressions fail on very long runs
    (rustbpe and tiktoken then panic, which `except Exception` does not catch), and merging takes time quadratic in the
    length of a chunk, so all encoders and trainers here process the segments instead of the text.

    On ordinary text this is almost free: a run of more than 100,000 characters covers at least 100 consecutive elements
    of a sample of every thousandth character, so a search of that sample rules it out.
    """
    if len(text) <= LONGEST_RUN or not _LONG_RUN_OF_SAMPLES.search(text[::_STRIDE]):
        return [text] if text else []
    cuts = [0]
    for run in _RUN.finditer(text):
        cuts.extend(range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN))
    cuts.append(len(text))
    return [text[start:stop] for start, stop in itertools.pairwise(cuts)]


def split_safely(text: str, pattern: str, length: int = _PART) -> list[str]:
    """Split text into parts of about `length` characters whose tokens, concatenated, are the tokens of the whole.

    For the known patterns, in which a space can only begin a chunk, two places are safe. First, just before a space
    that follows a non-space: the chunk on the left ends there, and only chunks of whitespace have a look-ahead. Second,
    between a single newline that follows a non-space and another non-space: no chunk continues past the newline. Longer
    whitespace is never cut. Text without such a place, or with an unknown pattern, stays whole.
    """
    if len(text) <= length or pattern not in PATTERNS.values():
        return [text] if text else []
    parts = []
    start = 0
    while len(text) - start > length and (place := _SAFE_PLACE.search(text, start + length)):
        parts.append(text[start : place.start()])
        start = place.start()
    if start < len(text):
        parts.append(text[start:])
    return parts


def require_encodable(text: str) -> None:
    """Raise a `UserError` where `text` has a lone surrogate, which UTF-8 cannot encode."""
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"character {error.start:,} of the text is the lone surrogate U+{ord(text[error.start]):04X}, which is no "
            "Unicode text; read the file as UTF-8 with errors='replace', or remove it"
        ) from error


def training_segments(texts: Iterable[str], pattern: str) -> Iterator[str]:
    """Yield the segments of all texts for both trainers: checked to be encodable, runs cut, long texts split safely."""
    for text in texts:
        require_encodable(text)
        for segment in cut_runs(text):
            yield from split_safely(segment, pattern)


def sample_bytes(texts: Iterable[str], limit: int, total: int | None = None) -> Iterator[str]:
    """Yield a sample of at most `limit` bytes (UTF-8) of the texts, to bound the time and memory of training.

    With a `total` size above the limit, the sample has the beginning of every text, the same fraction of each. Without
    `total` it has the first texts, and the rest is not read.
    """
    fraction = 1.0 if total is None or total <= limit else limit / total
    seen = kept = 0
    for text in texts:
        require_encodable(text)
        data = text.encode("utf-8")
        seen += len(data)
        room = min(len(data), limit - kept, int(seen * fraction) - kept)
        kept += room
        part = text if room == len(data) else data[:room].decode("utf-8", "ignore")
        if part:
            yield part
        if kept >= limit:
            return
