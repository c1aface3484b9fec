"""Documents from files: `read_documents` turns paths into a stream of documents, and counts each of them."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.text.chunking import CHUNK, Chunker, cut_documents, fragments
from scratchlm.text.counts import BadFile, Counts, Document, Problems, with_beginnings
from scratchlm.text.decoding import text_blocks
from scratchlm.text.office import NoReader, text_of
from scratchlm.text.opening import COMPRESSIONS
from scratchlm.text.rows import NoTextField, documents_of, json_rows, jsonl_rows
from scratchlm.text.tables import read_csv, read_parquet
from scratchlm.text.walk import FoundFile, find_files

__all__ = ["Counts", "Document", "read_documents"]

NULS = "NUL characters removed"
LINE_ENDS = "files with Windows line ends, made \\n"


def read_documents(
    paths: Sequence[Path], *, text_column: str | None, split_on: str | None, strict: bool, counts: Counts
) -> Iterator[Document]:
    r"""Yield the documents of files and folders in order, counting into `counts`.

    Formats: .txt .md .docx .pdf .jsonl .json .csv .tsv .parquet, each also .gz and .zst. A row is a document; a file of
    the first four is one document, or one at every `split_on` (in which \n, \t and \\ are understood). Such a text
    longer than about 4 MiB comes in chunks, all but the last `continued`, cut where no token spans the cut (see
    `chunking`).
    Byte-order marks are removed, UTF-16 and UTF-32 read, NUL characters removed and counted (they carry no text and
    end strings in other programs), line ends \r\n of .txt and .md files made \n.
    A text file with an error is skipped whole; of a file of rows the good rows before the error are kept.

    Holds one chunk, row or parquet batch in memory; a .json file, and the text of a .docx or .pdf file, whole.
    Compressed text files and those over 4 MB are read twice, once to check them.

    Bad files and rows are counted and named, or raised as `UserError` when `strict`, empty documents included. Raises
    `UserError` also for wrong paths (see `find_files`), for a file given by name that does not show which field holds
    the text, and when no document could be read at all, with the reasons.
    """
    problems = Problems(counts, strict=strict)
    separator = unescape(split_on) if split_on is not None else None
    some = False
    for file in find_files(paths, problems):
        before = counts.read
        try:
            for document in _checked(_read_file(file, text_column, separator, problems), problems):
                some = True
                yield document
        except (NoTextField, NoReader) as problem:
            if file.named:
                raise UserError(str(problem)) from problem
            problems.file(problem.reason, str(problem))
        except BadFile as problem:
            rows = counts.read - before
            problems.file(problem.reason, f"{problem}{f' ({rows:,} rows before that were read)' if rows else ''}")
        else:
            counts.files += 1
    if not some:
        reasons = [f"{reason}: {names[0]}" for reason, names in counts.named.items() if names]
        where = ", ".join(str(path) for path in paths) or "no path"
        raise UserError(f"{where}: no text could be read; {'; '.join(reasons) or 'the files are empty'}")


def unescape(separator: str) -> str:
    r"""Return a separator with \n, \r, \t and \\ replaced by what they mean; raises `UserError` when it is empty."""
    if not separator:
        raise UserError("--split-on '': must hold at least one character, as in '\\n\\n'")
    meanings = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nrt\\])", lambda escape: meanings[escape[1]], separator)


def _read_file(
    file: FoundFile, text_column: str | None, separator: str | None, problems: Problems
) -> Iterator[Document]:
    """Yield the documents of one file as they are; raises `BadFile`."""
    match file.suffix:
        case ".txt" | ".md":
            _require_whole(file.path)
            return _read_text(file.path, text_blocks(file.path), separator, problems.counts)
        case ".docx" | ".pdf":
            return _read_text(file.path, iter([text_of(file.path, file.suffix)]), separator, problems.counts)
        case ".jsonl":
            return documents_of(jsonl_rows(file.path, problems), text_column, problems)
        case ".json":
            return documents_of(json_rows(file.path, text_column, problems), text_column, problems)
        case ".csv" | ".tsv":
            return read_csv(file.path, text_column, problems)
        case _:
            return read_parquet(file.path, text_column, problems)


def _require_whole(path: Path) -> None:
    """Raise `BadFile` for a large or compressed text file with an error: yielded chunks cannot be taken back."""
    if path.suffix.lower() in COMPRESSIONS or (os.path.exists(path) and path.stat().st_size > CHUNK):
        deque(text_blocks(path), maxlen=0)


def _read_text(path: Path, blocks: Iterator[str], separator: str | None, counts: Counts) -> Iterator[Document]:
    """Yield the text of a file as one document or, given a separator, as several."""
    blocks = _plain(blocks, counts)
    if separator is not None:
        for text, number, continued in cut_documents(fragments(blocks, separator), Chunker()):
            yield Document(text, f"{path}, document {number}", continued)
        return
    cutter = Chunker()
    for block in blocks:
        for chunk in cutter.push(block):
            yield Document(chunk, str(path), continued=True)
    yield Document(cutter.finish(), str(path))


def _plain(blocks: Iterator[str], counts: Counts) -> Iterator[str]:
    r"""Remove NULs and replace \r\n by \n, before chunking, which must see the final characters."""
    pending = ""  # a carriage return at the end of a block, whose line feed may begin the next
    windows = False
    for block in blocks:
        text = pending + block
        pending = "\r" if text.endswith("\r") else ""
        text = _without_nul(text[:-1] if pending else text, counts)
        if "\r\n" in text:
            windows = True
            text = text.replace("\r\n", "\n")
        if text:
            yield text
    if pending:
        yield pending
    if windows:
        counts.repair(LINE_ENDS)


def _without_nul(text: str, counts: Counts) -> str:
    if "\0" not in text:
        return text
    counts.repair(NULS, text.count("\0"))
    return text.replace("\0", "")


def _checked(documents: Iterator[Document], problems: Problems) -> Iterator[Document]:
    """Count documents, drop blank ones, and remove the NULs of rows."""
    for document, begins in with_beginnings(documents):
        text = _without_nul(document.text, problems.counts)
        if begins and not document.continued and not text.strip():  # one of several chunks is never blank
            problems.row("empty", f"{document.source}: no text in it; remove it")
            continue
        problems.counts.read += not document.continued
        yield document if text is document.text else Document(text, document.source, document.continued)
