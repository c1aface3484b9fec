"""Diversity of a text: vocabulary, distinct 5-grams, distinct sentence skeletons, and compression ratio."""

from __future__ import annotations

import lzma
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scratchlm.storyworld.recogniser import sentences

_WORD = re.compile(r"[a-z']+")
COMMON_WORDS = 300
MIN_DOCUMENTS = 5


@dataclass(frozen=True)
class Diversity:
    """The four measures of diversity of a text, and its size in bytes."""

    size: int
    words_in_five_documents: int
    distinct_fivegrams: float  # distinct 5-grams as a fraction of all, within documents
    distinct_skeletons: float  # skeleton: a sentence with every word outside the 300 most frequent blanked
    compressed: float  # bytes after `xz -9` as a fraction of the size


def measure(documents: Iterable[str]) -> Diversity:
    """Measure the diversity of documents; needs them in memory, and about two seconds a megabyte."""
    texts = list(documents)
    words = [_WORD.findall(text.lower()) for text in texts]
    in_documents = Counter(word for found in words for word in set(found))
    counts = Counter(word for found in words for word in found)
    common = {word for word, _ in counts.most_common(COMMON_WORDS)}
    fivegrams = [tuple(found[i : i + 5]) for found in words for i in range(len(found) - 4)]
    skeletons = [
        " ".join(word if word in common else "_" for word in _WORD.findall(sentence.lower()))
        for text in texts
        for sentence in sentences(text)
    ]
    joined = "\n\n".join(texts).encode()
    return Diversity(
        size=len(joined),
        words_in_five_documents=sum(count >= MIN_DOCUMENTS for count in in_documents.values()),
        distinct_fivegrams=len(set(fivegrams)) / max(1, len(fivegrams)),
        distinct_skeletons=len(set(skeletons)) / max(1, len(skeletons)),
        compressed=len(lzma.compress(joined, preset=9)) / max(1, len(joined)),
    )
