"""Cleaning: Unicode normalisation, broken characters, deduplication, and limits on the length of documents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from scratchlm.text.config import CleanConfig
from scratchlm.text.counts import Counts, Document, with_beginnings
from scratchlm.text.duplicates import DigestSet, NearDuplicates

SURROGATES = "texts with lone surrogates, made U+FFFD"


def clean(documents: Iterable[Document], config: CleanConfig, counts: Counts) -> Iterator[Document]:
    """Yield the cleaned documents, counting into `counts` how many are kept, truncated and dropped.

    Steps in order: Unicode normalisation, replacement of lone surrogates (not encodable in UTF-8) by U+FFFD, minimum
    length, exact duplicates, near-duplicates, truncation to the maximum length.

    A document in several chunks is never dropped as too short or as a duplicate, because its first chunks are yielded
    before its end is known; such documents are counted as `uncompared`. Normalising each chunk equals normalising the
    whole, because chunks are cut before a space (see `chunking.last_safe_cut`). Memory: at most 43 bytes a kept
    document for exact duplicates, about 5 KB more for near-duplicates.
    """
    exact = DigestSet() if config.deduplicate else None
    near = NearDuplicates(config.near_duplicates) if config.near_duplicates > 0 else None

    def objection(text: str, data: bytes) -> str | None:
        if len(text) < config.min_characters:
            return "too short"
        if exact is not None and not exact.add(data):
            return "duplicate"
        return "near-duplicate" if near is not None and near.seen(text) else None

    length, ended = 0, False
    for document, first in with_beginnings(documents):
        if first:
            length, ended = 0, False
        elif ended:
            continue  # the document was truncated in an earlier chunk
        text, data = _repair(document.text, config, counts)
        if first and document.continued:
            counts.uncompared += 1
        elif first and (reason := objection(text, data)):
            counts.reject(reason, document.source)
            continue
        continued = document.continued
        room = config.max_characters - length
        if config.max_characters and (len(text) > room or (len(text) == room and continued)):
            text, continued, ended = text[:room], False, True
            data = text.encode("utf-8")
            counts.truncated += 1
        length += len(text)
        counts.kept += first
        counts.characters += len(text)
        counts.bytes += len(data)
        yield Document(text, document.source, continued)


def _repair(text: str, config: CleanConfig, counts: Counts) -> tuple[str, bytes]:
    """Return the normalised text without lone surrogates, and its UTF-8 bytes."""
    if config.normalize != "none" and not unicodedata.is_normalized(config.normalize, text):
        text = unicodedata.normalize(config.normalize, text)
        counts.repair(f"texts changed by {config.normalize}")
    try:
        return text, text.encode("utf-8")
    except UnicodeEncodeError:
        # Via UTF-16, so that a pair of surrogates becomes its character again.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        counts.repair(SURROGATES)
        return text, text.encode("utf-8")
