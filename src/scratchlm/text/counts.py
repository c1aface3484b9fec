"""Documents, and the counts of files and documents that were read, kept, dropped or skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

from scratchlm.base.errors import UserError
from scratchlm.base.terminal import say

NAMED_LIMIT = 10  # names kept for each reason: enough to inspect, few enough to print


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document, or one chunk of a long one."""

    text: str
    """The text itself, any Unicode."""

    source: str
    """Its origin, for messages: a file or source name, with its line, row or number where it has one."""

    continued: bool = False
    """True: the next `Document` yielded is the continuation of this one."""


def with_beginnings(documents: Iterable[Document]) -> Iterator[tuple[Document, bool]]:
    """Yield each document or chunk, and whether it begins a document."""
    begins = True
    for document in documents:
        yield document, begins
        begins = not document.continued


@dataclass(slots=True)
class Counts:
    """Counts of what was read, kept, truncated, repaired, dropped and skipped, by reason.

    At the end of a run that went through `read_documents` and `clean`, `read == kept + sum(dropped.values())`.
    A document that comes in several chunks counts once.
    """

    files: int = 0
    """Files read to the end."""

    skipped: dict[str, int] = field(default_factory=dict)
    """Files skipped, wholly or after damage, by reason."""

    read: int = 0
    """Documents and rows read, broken ones included."""

    kept: int = 0
    """Documents that passed cleaning."""

    truncated: int = 0
    """Kept documents that were truncated to the maximum length."""

    uncompared: int = 0
    """Kept documents that came in several chunks and were therefore not compared with others for duplicates."""

    dropped: dict[str, int] = field(default_factory=dict)
    """Documents and rows dropped, by reason."""

    repaired: dict[str, int] = field(default_factory=dict)
    """Changes to kept text, by kind (characters removed or replaced, line ends converted)."""

    characters: int = 0
    """Unicode code points kept."""

    bytes: int = 0
    """UTF-8 bytes kept."""

    named: dict[str, list[str]] = field(default_factory=dict)
    """The first few files and rows of each reason, with their errors."""

    notes: list[str] = field(default_factory=list)
    """Decisions that a reader of the report should know."""

    def drop(self, reason: str, what: str) -> None:
        """Count one document or row as read and dropped, and name it."""
        self.read += 1
        self.reject(reason, what)

    def reject(self, reason: str, what: str) -> None:
        """Count one document, already counted as read, as dropped, and name it."""
        self._count(self.dropped, reason, what)

    def skip(self, reason: str, what: str) -> None:
        """Count one file as skipped, and name it."""
        self._count(self.skipped, reason, what)

    def repair(self, kind: str, number: int = 1) -> None:
        """Count changes to kept text."""
        self.repaired[kind] = self.repaired.get(kind, 0) + number

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def reset(self) -> None:
        """Reset all counts, for a second pass over the same text."""
        fresh = Counts()
        for entry in fields(self):
            setattr(self, entry.name, getattr(fresh, entry.name))

    def warn(self) -> None:
        """Print on stderr what was left out, and why, for commands that write no report."""
        for reason, number in {**self.skipped, **self.dropped}.items():
            say(f"left out {number:,}: {reason}: {'; '.join(self.named.get(reason, []))}")

    def _count(self, table: dict[str, int], reason: str, what: str) -> None:
        table[reason] = table.get(reason, 0) + 1
        names = self.named.setdefault(reason, [])
        if len(names) < NAMED_LIMIT:
            names.append(printable(what))


def printable(text: str) -> str:
    """Return `text` on one line and as valid Unicode: file names and field names may be neither."""
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")


class BadFile(Exception):  # noqa: N818 - a finding about a file, always caught and counted
    """A file that cannot be read further; `reason` groups it in the counts, the message says file, place and remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Problems:
    """The policy for bad input: count it and continue, or raise a `UserError` at the first problem (`strict`)."""

    counts: Counts
    strict: bool

    def row(self, reason: str, message: str) -> None:
        """Drop one row or document."""
        self._stop_if_strict(message)
        self.counts.drop(reason, message)

    def file(self, reason: str, message: str) -> None:
        """Skip one file."""
        self._stop_if_strict(message)
        self.counts.skip(reason, message)

    def _stop_if_strict(self, message: str) -> None:
        if self.strict:
            raise UserError(f"{message} (to skip and count such input, leave out --strict)")
