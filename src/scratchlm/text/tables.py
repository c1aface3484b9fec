"""Tables: CSV and TSV line by line, parquet by batches of rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from scratchlm.text.counts import BadFile, Document, Problems
from scratchlm.text.decoding import text_lines
from scratchlm.text.opening import seekable
from scratchlm.text.rows import NoTextField, Row, choose_field, documents_of

CELL_LIMIT = 1 << 26  # characters: more than any book; the csv module's own limit of 131,072 is too small
BATCH = 64  # parquet rows decoded at a time
LOOKED_AT = 1 << 20
"""Characters at the beginning of a table that are inspected to detect its delimiter and quoting."""


def read_csv(path: Path, text_column: str | None, problems: Problems) -> Iterator[Document]:
    """Yield one document a row of a .csv or .tsv file; rows that are broken or too short are counted.

    The first row is the header. `text_column` is the name of a column, or its number from 1: when no column has that
    number as its name, the file is assumed to have no header, and its first row is data.
    `dialect_of` detects delimiter and quoting.
    Raises `BadFile` when the file cannot be read further or no column is the text.
    """
    rows = table_rows(path, problems)
    _, header = next(rows, (0, []))
    if not header:
        return
    first = list(islice(rows, 1))
    body = chain(first, rows)
    if text_column is not None and text_column not in header and text_column.isdecimal():
        column = int(text_column) - 1
        if not 0 <= column < len(header):
            raise NoTextField(f"{path}: has {len(header)} columns, no column {text_column}; see --text-column")
        body = chain([(1, header)], body)
    else:
        column = _column(path, header, first[0][1] if first else [], text_column)
    for line, row in body:
        place = f"{path}, line {line}"
        if column < len(row):
            yield Document(row[column], place)
        elif row:
            problems.row("broken row", f"{place}: {len(row)} columns where the text is in column {column + 1}; fix it")


def _column(path: Path, header: list[str], first: list[str], text_column: str | None) -> int:
    """Return the index of the column that holds the text."""
    if text_column is not None:
        if text_column in header:
            return header.index(text_column)
        raise NoTextField(f"{path}: no column {text_column!r}; columns: {', '.join(header)}; see --text-column")
    if len(header) == 1:
        return 0
    shown = dict(zip(header, first, strict=False)) or dict.fromkeys(header, "?")
    return header.index(choose_field(shown, str(path)))


def table_rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells); a row that the csv module refuses is counted and skipped."""
    csv.field_size_limit(CELL_LIMIT)
    lines = text_lines(path)
    head, size = [], 0
    for each in lines:
        head.append(each)
        size += len(each)
        if size >= LOOKED_AT:
            break
    tabs = any(suffix.lower() == ".tsv" for suffix in path.suffixes[-2:])
    delimiter, quoted = dialect_of("".join(head), tabs=tabs)
    reader = csv.reader(
        chain(head, lines), delimiter=delimiter, strict=quoted, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.row("broken row", f"{path}, line {line}: not valid CSV ({error}); fix the quotes of this row")


def dialect_of(head: str, *, tabs: bool) -> tuple[str, bool]:
    """Return the delimiter of a table that begins with `head`, and whether its cells are quoted as in CSV.

    With `tabs`, as in a .tsv file, the delimiter is a tab, and a quote is an ordinary character, as in the standard,
    unless the cells show that a CSV writer wrote them. Otherwise the delimiter is the most frequent of comma, semicolon
    and tab in the first line, and cells are quoted as in CSV.
    """
    if tabs:
        return "\t", _is_quoted(head)
    first = head.partition("\n")[0]
    return max(",;\t", key=first.count), True


_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|[^"\t\r\n]*)(\t|\r?\n|\r|\Z)')
_OPEN = re.compile(r'"[^"]*(?:""[^"]*)*\Z')


def _is_quoted(head: str) -> bool:
    """Return whether a CSV writer wrote the cells between the tabs of `head`.

    Such a writer quotes cells with a tab, a line feed or a quote, which it doubles, or all cells. In other files a
    quote can be anywhere, in pairs or alone: `"Hello"` alone is no evidence.
    """
    at = shown = broken = 0
    first_row, all_of_first = True, True
    while at < len(head):
        cell = _CELL.match(head, at)
        if cell is None:
            if _OPEN.match(head, at):
                break  # the cell continues after the inspected characters
            broken += 1
            at = head.find("\n", at) + 1 or len(head)
            first_row = False
            continue
        inside = cell[1]
        if inside is not None:
            shown += '""' in inside or ("\t" in inside) != ("\n" in inside)
        if first_row:
            all_of_first = all_of_first and inside is not None
            first_row = cell[2] == "\t"
        at = cell.end()
        if not cell[2]:
            break
    return shown > broken or (all_of_first and not broken and bool(head))


def read_parquet(path: Path, text_column: str | None, problems: Problems) -> Iterator[Document]:
    """Yield one document a row of a parquet file; raises `BadFile` also when no column is the text."""
    with opened_parquet(path) as file:
        field = _parquet_field(file, path, text_column)
        yield from documents_of(parquet_rows(path, file, [field]), field, problems)


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """Open a parquet file, which is never loaded whole; raises `BadFile` when it is none or breaks on the way."""
    # Imported here, because pyarrow takes 0.1 s to import, and other formats do not need it.
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        with seekable(path) as stream, parquet.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if twice := [name for number, name in enumerate(names) if name in names[:number]]:
                raise BadFile("broken parquet", f"{path}: two columns are called {twice[0]!r}; rename one")
            yield file
    except (arrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:  # a date may overflow
        summary = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile("broken parquet", f"{path}: not a readable parquet file ({summary}); fetch it again") from error


def parquet_rows(path: Path, file: Any, columns: list[str] | None = None) -> Iterator[Row]:
    """Yield the rows of an opened parquet file as named values, a batch in memory at a time."""
    batches = file.iter_batches(batch_size=BATCH, columns=columns)
    for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
        yield f"{path}, row {number}", row


def _parquet_field(file: Any, path: Path, text_column: str | None) -> str:
    """Return the column of a parquet file with the text."""
    names: list[str] = list(file.schema_arrow.names)
    if text_column is not None:
        if text_column not in names:
            raise NoTextField(f"{path}: no column {text_column!r}; columns: {', '.join(names)}; see --text-column")
        return text_column
    strings = [name for name in names if str(file.schema_arrow.field(name).type) in ("string", "large_string")]
    try:
        return choose_field(dict.fromkeys(strings, "?"), str(path))
    except NoTextField:
        message = f"{path}: which column holds the text? Columns: {', '.join(names)}; name one with --text-column"
        raise NoTextField(message) from None
