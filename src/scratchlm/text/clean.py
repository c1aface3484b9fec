"""Cleaning: Unicode form, broken characters, copies and near-copies, documents too short or too long."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from scratchlm.text.config import CleanConfig
from scratchlm.text.counts import Counts, Document
from scratchlm.text.duplicates import DigestSet, NearDuplicates

SURROGATES = "texts with lone surrogates, made U+FFFD"


def clean(documents: Iterable[Document], config: CleanConfig, counts: Counts) -> Iterator[Document]:
    """Yield the documents that stay, cleaned, counting into `counts` what stays, is cut off and is dropped.

    In this order: Unicode normalisation, lone surrogates (no UTF-8 exists for them) made U+FFFD, too short, exact
    duplicate, near-duplicate, cut to the largest length.

    A document that comes in several pieces is never dropped, neither as too short nor as a duplicate, because its
    pieces have gone on before its end is known; such documents are counted as `uncompared`. Normalising piece by
    piece equals normalising the whole, because pieces are cut before a space (see `pieces.last_safe_cut`).
    Memory: at most 43 bytes a kept document for exact duplicates, about 5 KB more for near-duplicates.
    """
    judge = _Judge(config)
    length, inside, ended = 0, False, False
    for document in documents:
        first, inside = not inside, document.continued
        if first:
            length, ended = 0, False
        elif ended:
            continue  # the document was cut off in an earlier piece
        text, data = _repair(document.text, config, counts)
        if first and document.continued:
            counts.uncompared += 1
        elif first and (reason := judge.objection(text, data)):
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


class _Judge:
    """Decides whether a whole document stays, remembering those before it."""

    def __init__(self, config: CleanConfig) -> None:
        self.shortest = config.min_characters
        self.exact = DigestSet() if config.deduplicate else None
        self.near = NearDuplicates(config.near_duplicates) if config.near_duplicates > 0 else None

    def objection(self, text: str, data: bytes) -> str | None:
        """Return the reason to drop a document, or None."""
        if len(text) < self.shortest:
            return "too short"
        if self.exact is not None and not self.exact.add(data):
            return "duplicate"
        if self.near is not None and self.near.seen(text):
            return "near-duplicate"
        return None


def _repair(text: str, config: CleanConfig, counts: Counts) -> tuple[str, bytes]:
    """Return the text in its Unicode form without lone surrogates, and its UTF-8 bytes."""
    if config.normalize != "none" and not unicodedata.is_normalized(config.normalize, text):
        text = unicodedata.normalize(config.normalize, text)
        counts.repair(f"texts changed by {config.normalize}")
    try:
        return text, text.encode("utf-8")
    except UnicodeEncodeError:
        # Through UTF-16, so that two surrogates that belong together become their character again.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        counts.repair(SURROGATES)
        return text, text.encode("utf-8")
