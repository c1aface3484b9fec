"""A document, and the account of what became of every file and document on the way in."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from scratchlm.base.errors import UserError

NAMED_LIMIT = 10  # names kept a reason: enough to look at, few enough to print


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document, or one piece of a long one."""

    text: str
    """The text itself, any Unicode."""

    source: str
    """Where it came from, for messages: a file or source name, with its line, row or number where it has one."""

    continued: bool = False
    """True: the next `Document` yielded is the continuation of this one."""


@dataclass(slots=True)
class Counts:
    """What was read, kept, cut, repaired and left out, by reason.

    At the end of a run that went through `read_documents` and `clean`, `read == kept + sum(dropped.values())`.
    A document that comes in several pieces counts once.
    """

    files: int = 0
    """Files read to their end."""

    skipped: dict[str, int] = field(default_factory=dict)
    """Files left out, wholly or from a damaged place on, by reason."""

    read: int = 0
    """Documents and rows seen, broken ones included."""

    kept: int = 0
    """Documents that passed cleaning."""

    truncated: int = 0
    """Kept documents that were cut off at the largest allowed length."""

    uncompared: int = 0
    """Kept documents that came in several pieces and were therefore not compared with others for duplicates."""

    dropped: dict[str, int] = field(default_factory=dict)
    """Documents and rows left out, by reason."""

    repaired: dict[str, int] = field(default_factory=dict)
    """Changes made to kept text, by kind (characters removed or replaced, files with other line ends)."""

    characters: int = 0
    """Unicode code points kept."""

    bytes: int = 0
    """UTF-8 bytes kept."""

    named: dict[str, list[str]] = field(default_factory=dict)
    """The first few files and rows behind each reason, with what was wrong."""

    notes: list[str] = field(default_factory=list)
    """Decisions taken on the way that a reader of the report should know."""

    def drop(self, reason: str, what: str) -> None:
        """Count one document or row that is left out (as read too), and name it."""
        self.read += 1
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._name(reason, what)

    def reject(self, reason: str, what: str) -> None:
        """Count one document that was read already and is now left out, and name it."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._name(reason, what)

    def skip(self, reason: str, what: str) -> None:
        """Count one file that is left out, and name it."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self._name(reason, what)

    def repair(self, kind: str, number: int = 1) -> None:
        """Count changes made to text that is kept."""
        self.repaired[kind] = self.repaired.get(kind, 0) + number

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def reset(self) -> None:
        """Start again from zero, as a second pass over the same text must."""
        fresh = Counts()
        for entry in fields(self):
            setattr(self, entry.name, getattr(fresh, entry.name))

    def warn(self) -> None:
        """Tell on stderr what was left out, and why, where a command writes no report of it."""
        for reason, number in {**self.skipped, **self.dropped}.items():
            print(f"left out {number:,}: {reason}: {'; '.join(self.named.get(reason, []))}", file=sys.stderr)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON report."""
        return asdict(self)

    def _name(self, reason: str, what: str) -> None:
        names = self.named.setdefault(reason, [])
        if len(names) < NAMED_LIMIT:
            names.append(printable(what))


def printable(text: str) -> str:
    """Return `text` on one line and as valid Unicode: file names and field names may be neither."""
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")


class BadFile(Exception):  # noqa: N818 - a finding about a file, always caught and counted
    """A file that cannot be read on; `reason` groups it in the counts, the message names file, place and remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Problems:
    """What to do about bad input: count and go on, or stop at the first (`strict`)."""

    def __init__(self, counts: Counts, *, strict: bool) -> None:
        self.counts = counts
        self.strict = strict

    def row(self, reason: str, message: str) -> None:
        """Leave one row or document out; raises `UserError` when strict."""
        self._stop_if_strict(message)
        self.counts.drop(reason, message)

    def file(self, reason: str, message: str) -> None:
        """Leave one file out; raises `UserError` when strict."""
        self._stop_if_strict(message)
        self.counts.skip(reason, message)

    def _stop_if_strict(self, message: str) -> None:
        if self.strict:
            raise UserError(f"{message} (to skip and count such input, leave out --strict)")
