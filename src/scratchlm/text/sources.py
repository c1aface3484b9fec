"""SOURCE on the command line: a path or a named corpus, opened as a stream of documents that can be restarted."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scratchlm.base.download import Progress, download
from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import explain_os_error, read_json, sha256_of, write_json
from scratchlm.base.paths import default_cache
from scratchlm.base.remote import is_remote, local_copy
from scratchlm.text import catalogue, stdlib
from scratchlm.text.catalogue import CATALOGUE, Source
from scratchlm.text.counts import Counts, Document, Problems, printable
from scratchlm.text.documents import read_documents
from scratchlm.text.walk import KINDS, find_files, format_of, is_text

STORYWORLD_SIZE = 10_000_000  # bytes, when none is given
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
LARGEST = 100 * 10**9
"""Most bytes of generated text: more than any model of this package reads."""
START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK[^*]{0,500}\*\*\*")
END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK")
HEADING = re.compile(r"\s*= [^=].* =\s*")  # of the first level; " = = Section = = " is of the second


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """An opened source: its documents, any number of times, and its entry in the manifest."""

    name: str
    """Its name as given on the command line."""

    description: str
    licence: str
    documents: Callable[[Counts], Iterator[Document]]
    """Starts a new stream of the documents, counting into the given counts."""

    paths: tuple[Path, ...] = ()
    """Files and folders that it reads; empty for generated text."""

    sha256: str | None = None
    """SHA-256 of the one file of a named source."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Other settings that determine the text: size, seed, Python version, fields."""

    def manifest(self) -> dict[str, Any]:
        """Return name, licence, settings and the SHA-256 of each file; reads local files whole to hash them.

        Local files are named relative to the path that was given, so that no private folder names are stored.
        """
        entry: dict[str, Any] = {"name": self.name, "description": self.description, "licence": self.licence}
        if self.sha256 is not None:
            entry["files"] = [{"path": printable(self.paths[0].name), "sha256": self.sha256}]
        elif self.paths:
            entry["name"] = os.path.basename(os.path.abspath(self.paths[0]))
            files = find_files(self.paths, Problems(Counts(), strict=False))
            entry["files"] = [{"path": self._inside(file.path), "sha256": _hash(file.path)} for file in files]
        return {**entry, "name": printable(entry["name"]), **self.settings}

    def _inside(self, path: Path) -> str:
        """Return a file's path relative to the parent of the path that was given."""
        absolute = os.path.abspath(path)
        above = next(top for top in map(os.path.abspath, self.paths) if Path(absolute).is_relative_to(top))
        return printable(Path(absolute).relative_to(os.path.dirname(above)).as_posix())


def open_source(
    spec: str,
    *,
    text_column: str | None = None,
    split_on: str | None = None,
    strict: bool = False,
    from_local: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> OpenedSource:
    """Open the source `spec`: `storyworld[:SIZE]`, `stdlib`, a name of the catalogue, `gutenberg:NUMBER`, or a path.

    A path may be an address in object storage, as in s3://BUCKET/FOLDER, of which `cache` gets a copy.

    A known name takes precedence over a file of that name, for which write `./NAME`. A named source is read from
    `from_local` when given, else from `cache` (default `default_cache()`), else downloaded into it. `text_column`,
    `split_on` and `strict` are for paths (see `read_documents`), `seed` for storyworld, `progress(bytes, total)` for
    downloads.
    Raises `UserError` for what is neither name nor path, for a wrong number or size, and when a named source is not
    at hand and cannot be fetched. Missing paths show when the documents are read.
    """
    name, _, argument = spec.partition(":")
    if name == "storyworld":
        return _open_storyworld(spec, argument, seed)
    if spec == "stdlib":
        about = "Reference topics and source of the running Python's standard library"
        settings: dict[str, Any] = {"python": platform.python_version()}
        return OpenedSource(spec, about, stdlib.LICENCE, stdlib.stdlib_documents, settings=settings)
    source = catalogue.gutenberg(argument) if name == "gutenberg" else CATALOGUE.get(spec)
    if source is not None:
        path, sha256 = fetch(source, from_local=from_local, cache=cache or default_cache(), progress=progress)
        documents = partial(read_source, source, path)
        return OpenedSource(spec, source.description, source.licence, documents, paths=(path,), sha256=sha256)
    if from_local is not None:
        raise UserError(
            f"--from-local {from_local}: goes with a named source, and {spec!r} is none; name the file itself"
        )
    path = Path(spec).expanduser()
    if is_remote(spec):
        path = local_copy(spec, cache or default_cache(), is_text, KINDS)
    if not _is_path(spec, path):
        known = catalogue.names()
        hint = nearest(name, known)
        everything = "" if hint.startswith("known") else f"; known: {', '.join(known)}"
        raise UserError(f"{spec!r}: neither a file or folder nor a known source; {hint}{everything}")
    settings = {"text_column": text_column, "split_on": split_on}
    read = partial(read_documents, [path], **settings, strict=strict)
    return OpenedSource(
        spec, "local files", "not stated", lambda counts: read(counts=counts), paths=(path,), settings=settings
    )


def read_source(source: Source, path: Path, counts: Counts) -> Iterator[Document]:
    """Yield the documents of the file of a named source, counting into `counts`; raises as `read_documents` does."""
    if source.layout == "documents":
        yield from read_documents([path], text_column=None, split_on=source.split_on, strict=False, counts=counts)
        return
    # Counts are of books and articles, not of the chunks and lines in which they are read.
    aside = Counts()
    parts = read_documents([path], text_column=None, split_on=None, strict=False, counts=aside)
    documents = _book(parts, source) if source.layout == "gutenberg" else _articles(parts, source)
    for document in documents:
        counts.read += 1
        yield document
    counts.files += aside.files
    counts.repaired.update(aside.repaired)


def _book(parts: Iterator[Document], source: Source) -> Iterator[Document]:
    """Yield the one book of a Project Gutenberg file without its licence; the book is in memory whole."""
    yield Document(strip_gutenberg("".join(part.text for part in parts)), source.name)


def strip_gutenberg(text: str) -> str:
    """Return the text between the start and end lines of a Project Gutenberg file; all of it where they are absent."""
    start = START.search(text)
    end = END.search(text, start.end() if start else 0)
    return text[start.end() if start else 0 : end.start() if end else len(text)].strip("\n")


def _articles(lines: Iterator[Document], source: Source) -> Iterator[Document]:
    """Join the lines of WikiText into articles."""
    article: list[str] = []
    number = 0
    for line in lines:
        if HEADING.fullmatch(line.text) and article:
            number += 1
            yield Document("".join(article), f"{source.name}, article {number}")
            article = []
        article.append(line.text)
    if article:
        yield Document("".join(article), f"{source.name}, article {number + 1}")


def fetch(
    source: Source, *, from_local: Path | None, cache: Path, progress: Progress | None = None
) -> tuple[Path, str]:
    """Return the file of a named source and its SHA-256, downloading it when it is not in the cache.

    The hash is compared with the catalogue's, or with the one recorded at the first download.
    Raises `UserError` when it differs, when `from_local` is missing, or when no mirror can be reached.
    """
    if from_local is not None:
        digest = _hash(from_local)
        _compare(from_local, digest, source.sha256, "name the right file")
        return from_local, digest
    path = cache / source.filename
    record = cache / f"{source.filename}.json"
    recorded = read_json(record).get("sha256") if record.exists() else None
    expected = source.sha256 or recorded
    if path.exists():
        digest = _hash(path)
        _compare(path, digest, expected, "it changed since it was fetched; delete it to fetch it again")
    else:
        try:
            digest = download(source.urls, path, sha256=expected, size=source.size, progress=progress)
        except UserError as error:
            raise UserError(f"source {source.name}: {error}") from error
    if recorded is None:
        entry = {"source": source.name, "licence": source.licence, "urls": list(source.urls)}
        write_json(record, {**entry, "sha256": digest, "size": path.stat().st_size})
    return path, digest


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _compare(path: Path, digest: str, expected: str | None, remedy: str) -> None:
    if expected is not None and digest != expected:
        raise UserError(f"{path}: its SHA-256 is {digest} where {expected} is expected; {remedy}")


def _is_path(spec: str, path: Path) -> bool:
    """Return whether a SOURCE looks like a path, so that a misspelt one is reported as a missing file."""
    try:
        there = path.exists() or path.is_symlink()
    except OSError:  # a name that the system does not allow; reading it raises the error
        there = True
    return there or "/" in spec or os.sep in spec or format_of(path) is not None


def parse_size(text: str, flag: str) -> int:
    """Read a size such as 20MB, 500KB or 1000000 (bytes; decimal units); raises `UserError` naming `flag`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)B?", text.strip().upper())
    size = int(min(float(match[1]) * UNITS[match[2]], 2 * LARGEST)) if match else 0
    if size <= 0:
        raise UserError(f"{flag}: {text!r} is no size; write a number with KB, MB or GB, as in 20MB")
    if size > LARGEST:
        raise UserError(f"{flag}: {text!r} is over {LARGEST // UNITS['G']} GB, the most that is made; ask for less")
    return size


def _open_storyworld(spec: str, argument: str, seed: int) -> OpenedSource:
    size = parse_size(argument, spec) if ":" in spec else STORYWORLD_SIZE

    def documents(counts: Counts) -> Iterator[Document]:
        # Imported here, because only this source needs the generator's word lists.
        from scratchlm.storyworld import stories

        for number, story in enumerate(stories(size, seed), start=1):
            counts.read += 1
            yield Document(story, f"storyworld, story {number}")

    about = "Generated short stories about people, animals, places and objects, with consistent facts"
    return OpenedSource(spec, about, "Apache-2.0", documents, settings={"size": size, "seed": seed})
