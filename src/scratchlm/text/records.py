"""Records: rows of named fields, for annotated data such as labels, conversations and questions.

Every row matters, so a broken one is an error, and all broken ones are reported together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.text.columns import listed
from scratchlm.text.counts import BadFile, Counts, Problems
from scratchlm.text.decoding import text_lines
from scratchlm.text.faq import questions_of
from scratchlm.text.office import lines_of
from scratchlm.text.rows import Row, json_rows, jsonl_rows
from scratchlm.text.tables import opened_parquet, parquet_rows, table_rows
from scratchlm.text.walk import format_of

OFFICE = (".docx", ".pdf")
SHOWN = 5
"""Most problems of one file that a message lists."""


@dataclass(frozen=True)
class TableRow:
    """One row."""

    place: str
    """File and line, for error messages."""
    values: Mapping[str, Any]


def read_records(path: Path, columns: Sequence[str] = ()) -> list[TableRow]:
    """Read the rows of a .csv, .tsv, .jsonl, .json or .parquet file, plain or compressed.

    The first row of a table is its header, unless `columns` has numbers (from 1) that are not in it: then it is data.
    Of a .md, .txt, .docx or .pdf file, the questions with their answers are rows of the columns question and answer
    (see `faq`).
    Raises `UserError` for a file that cannot be read or has no row, and lists every broken row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the spelling")
    counts = Counts()
    problems = Problems(counts, strict=False)
    try:
        records = list(_records(path, columns, problems))
    except BadFile as problem:
        raise UserError(str(problem)) from problem
    broken = [what for named in counts.named.values() for what in named]
    if broken:
        more = sum(counts.dropped.values()) - SHOWN
        raise UserError("; ".join(broken[:SHOWN]) + (f"; and {more:,} more rows" if more > 0 else ""))
    if not records:
        raise UserError(f"{path}: holds no row; name a file with at least one")
    return records


def _records(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[TableRow]:
    match kind := format_of(path):
        case ".csv" | ".tsv":
            yield from _table(path, columns, problems)
        case ".jsonl":
            yield from _objects(jsonl_rows(path, problems), problems)
        case ".json":
            yield from _objects(json_rows(path, None, problems), problems)
        case ".parquet":
            with opened_parquet(path) as file:
                yield from _objects(parquet_rows(path, file), problems)
        case None:
            raise UserError(
                f"{path}: {path.suffix or 'no ending'} is no table; known are .csv, .tsv, .jsonl, .json, .parquet, and "
                "texts of questions with answers in .md, .txt, .docx, .pdf"
            )
        case _:
            yield from _questions(path, kind, problems)


def _questions(path: Path, kind: str, problems: Problems) -> Iterator[TableRow]:
    lines = lines_of(path, kind) if kind in OFFICE else [line.rstrip() for line in text_lines(path)]
    number = 0
    for number, asked, answer in questions_of(lines, str(path), problems):
        yield TableRow(f"{path}, line {number}", {"question": asked, "answer": answer})
    if not number and not problems.counts.dropped:
        raise UserError(
            f"{path}: is no table, and holds no question with an answer below it; a question is a heading or a bold "
            "line that ends with ?, or a line that begins with Q: before one that begins with A:"
        )


def _objects(rows: Iterator[Row], problems: Problems) -> Iterator[TableRow]:
    for place, values in rows:
        if isinstance(values, dict):
            yield TableRow(place, values)
        else:
            problems.row("broken row", f"{place}: {type(values).__name__}, not an object; fix the row")


def _table(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[TableRow]:
    rows = table_rows(path, problems)
    first, header = next(rows, (1, []))
    if columns and all(column.isdecimal() and column not in header for column in columns):
        numbers = [str(number) for number in range(1, len(header) + 1)]
        yield TableRow(f"{path}, line {first}", dict(zip(numbers, header, strict=True)))
        header = numbers
    header = _names(header, path)
    for line, row in rows:
        place = f"{path}, line {line}"
        if len(row) == len(header):
            yield TableRow(place, dict(zip(header, row, strict=True)))
        elif row:
            problems.row("broken row", f"{place}: {len(row)} columns where the first row has {len(header)}; fix it")


def _names(header: Sequence[str], path: Path) -> list[str]:
    """Return the names of columns without marks and spaces around them; one without a name gets its number."""
    names = [name.strip().strip("\ufeff").strip() or f"column {number}" for number, name in enumerate(header, 1)]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise BadFile("broken table", f"{path}: two columns are called {twice[0]!r}; rename one")
    return names


def require_columns(records: Sequence[TableRow], columns: Sequence[str], flag: str) -> None:
    """Refuse records that lack a column; the error names the first, its columns and the flag that chooses one."""
    for record in records:
        missing = [column for column in columns if column not in record.values]
        if missing:
            raise UserError(f"{record.place}: no column {missing[0]!r}; columns: {listed(record.values)}; see {flag}")
