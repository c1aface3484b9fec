"""The files of a list of paths: folders are walked in sorted order, suffixes decide the formats."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import require_plain
from scratchlm.text.counts import Problems
from scratchlm.text.opening import COMPRESSIONS

FORMATS = (".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".docx", ".pdf")
KINDS = ", ".join(FORMATS)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read."""

    path: Path
    suffix: str
    """The suffix of its format, without that of a compression."""

    named: bool
    """Whether it was given by name, not found in a folder."""


def is_text(path: Path) -> bool:
    """Return whether a file can be read as text."""
    return format_of(path) is not None


def format_of(path: Path) -> str | None:
    """Return the suffix of the format of a file (of `books.txt.gz`: .txt), or None when it is unknown."""
    suffix = path.suffix.lower()
    if suffix in COMPRESSIONS:
        suffix = Path(path.stem).suffix.lower()
    return suffix if suffix in FORMATS else None


def find_files(paths: Sequence[Path], problems: Problems) -> list[FoundFile]:
    """Return the files of `paths`, those of a folder in sorted order, each folder read once.

    Inside a folder, hidden files and unknown suffixes are counted and skipped (also when strict: they are not errors);
    symbolic-link loops, dangling links and unreadable folders are problems.
    Raises `UserError` for a path that is missing, unreadable, a loop, or of an unknown format, and for a folder in
    which nothing can be read; all such paths are found before anything is read.
    """
    files: list[FoundFile] = []
    for path in paths:
        try:
            is_folder = path.is_dir()
            if not is_folder:
                require_plain(path)
        except OSError as error:
            raise explain_os_error(error, path) from error
        if not is_folder:
            suffix = format_of(path)
            if suffix is None:
                raise UserError(
                    f"{path}: unknown format {path.suffix or 'without suffix'!r}; known: {KINDS}, each also .gz or "
                    ".zst; rename plain text to .txt"
                )
            files.append(FoundFile(path, suffix, named=True))
            continue
        before = dict(problems.counts.skipped)
        inside = list(_walk(path, problems, set(), ()))
        if not inside:
            raise UserError(f"{path}: the folder holds no file to read{_aside(problems, before)}; put {KINDS} into it")
        files.extend(inside)
    return files


def _aside(problems: Problems, before: dict[str, int]) -> str:
    """Return a description of what was skipped in a folder since the counts were `before`."""
    reasons = []
    for reason, number in problems.counts.skipped.items():
        if more := number - before.get(reason, 0):
            reasons.append(f"{more} {reason}, as {problems.counts.named[reason][-1]}")
    return f" (passed over: {'; '.join(reasons)})" if reasons else ""


def _walk(
    folder: Path, problems: Problems, seen: set[tuple[int, int]], above: tuple[tuple[int, int], ...]
) -> Iterator[FoundFile]:
    """Yield the files of a folder; `seen` holds the folders entered so far, `above` those that hold this one."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.file("unreadable", str(explain_os_error(error, folder)))
        return
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        problems.file("symbolic link loop", f"{folder}: links back to a folder that holds it; remove the link")
        return
    if identity in seen:
        problems.counts.skip("folder already read", str(folder))
        return
    seen.add(identity)
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            problems.counts.skip("hidden", str(path))
            continue
        try:
            if entry.is_dir():
                yield from _walk(path, problems, seen, (*above, identity))
                continue
            entry.stat()
            is_file = entry.is_file()
        except OSError as error:
            reason = "symbolic link loop" if error.errno == errno.ELOOP else "unreadable"
            problems.file(reason, str(explain_os_error(error, path)))
            continue
        suffix = format_of(path)
        if suffix is None or not is_file:
            problems.counts.skip(f"unknown format {path.suffix or path.name}", str(path))
        else:
            yield FoundFile(path, suffix, named=False)
