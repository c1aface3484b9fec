"""Named sources with layouts of their own: books between licence texts, articles line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scratchlm.text.catalogue import Source
from scratchlm.text.counts import Counts, Document
from scratchlm.text.documents import read_documents

START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK[^*]{0,500}\*\*\*")
END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK")
HEADING = re.compile(r"\s*= [^=].* =\s*")  # of the first level; " = = Section = = " is of the second


def read_source(source: Source, path: Path, counts: Counts) -> Iterator[Document]:
    """Yield the documents of the file of a named source, counting into `counts`; raises as `read_documents` does."""
    if source.layout == "documents":
        yield from read_documents([path], text_field=None, split_on=source.split_on, strict=False, counts=counts)
        return
    # Counts are of books and articles, not of the chunks and lines in which they are read.
    aside = Counts()
    parts = read_documents([path], text_field=None, split_on=None, strict=False, counts=aside)
    whole = _book(parts, source) if source.layout == "gutenberg" else _articles(parts, source)
    for document in whole:
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
