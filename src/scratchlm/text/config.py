"""Settings of cleaning and of the train/validation split. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Fraction, Range, out_of_range

LongTexts = Literal["head", "head-and-tail", "windows"]
"""Which part of a text longer than its context a classifier reads."""
AUTO = "auto"
"""The split of a fine-tuning that holds out what suits the number of rows."""
SHORT_LIMIT = 1 << 20  # characters; a larger minimum length would exceed the first chunk of a document


@dataclass(frozen=True, slots=True)
class CleanConfig:
    """How documents are cleaned. The defaults change no character of a valid text and drop exact duplicates only.

    Raises `UserError` when a value is outside its range.
    """

    normalize: Literal["none", "NFC", "NFKC"] = "none"
    """Unicode normalisation: none keeps every character, NFC composes letters with their accents, NFKC also replaces
    compatibility characters (ligatures, full-width letters), which cannot be undone."""

    deduplicate: bool = True
    """Drop documents whose text equals that of an earlier one."""

    near_duplicates: Fraction = 0.0
    """Drop documents whose sets of word 5-grams have at least this Jaccard similarity to an earlier one, as estimated
    by MinHash; 0 switches it off, 0.8 is usual. Needs about 5 KB of memory a kept document."""

    min_characters: Annotated[int, Range(0, SHORT_LIMIT)] = 0
    """Drop documents shorter than this many characters."""

    max_characters: Annotated[int, Range(0)] = 0
    """Truncate documents after this many characters; 0 means no limit."""

    def __post_init__(self) -> None:
        problems = out_of_range(self)
        if self.normalize not in ("none", "NFC", "NFKC"):
            problems.append(f"normalize {self.normalize!r}: unknown form; choose none, NFC or NFKC")
        if 0 < self.max_characters < self.min_characters:
            problems.append(
                f"max-characters {self.max_characters}: below min-characters {self.min_characters}; raise the first"
            )
        raise_all(problems)


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """Which part of the text is held out for validation.

    Raises `UserError` when the fraction is not between 0 and 1.
    """

    method: Literal["hash", "tail"] = "hash"
    """hash: by the hash of each document's text, so it keeps its side when others are added. tail: the end of the
    corpus, as in published splits of one-file corpora."""

    fraction: float = 0.05
    """Fraction held out: of the documents (hash) or of the characters (tail)."""

    def __post_init__(self) -> None:
        problems = []
        if self.method not in ("hash", "tail"):
            problems.append(f"split {self.method!r}: unknown method; choose hash or tail")
        if not 0.0 < self.fraction < 1.0:
            problems.append(f"split {self.method}:{self.fraction}: the fraction must lie between 0 and 1, as in 0.05")
        raise_all(problems)
