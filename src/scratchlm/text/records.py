"""Records: rows of named fields, for annotated data such as labels, conversations and questions.

Every row matters, so a broken one is an error, and all broken ones are reported together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.text.counts import BadFile, Counts, Problems
from scratchlm.text.decoding import byte_lines
from scratchlm.text.opening import COMPRESSIONS, read_whole, seekable
from scratchlm.text.rows import JSON_LIMIT, listed, rows_of
from scratchlm.text.tables import table_rows

SHOWN = 5
"""Most problems of one file that a message lists."""


@dataclass(frozen=True)
class Record:
    """One row."""

    place: str
    """File and line, for error messages."""
    values: Mapping[str, Any]


def read_records(path: Path, columns: Sequence[str] = ()) -> list[Record]:
    """Read the rows of a .csv, .tsv, .jsonl, .json or .parquet file, plain or compressed.

    The first row of a table is its header, unless `columns` has numbers (from 1) that are not in it: then it is data.
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


def _records(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[Record]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in COMPRESSIONS else suffixes[-1] if suffixes else ""
    match kind:
        case ".csv" | ".tsv":
            yield from _table(path, columns, problems)
        case ".jsonl":
            yield from _lines(path, problems)
        case ".json":
            yield from _json(path)
        case ".parquet":
            yield from _parquet(path)
        case _:
            raise UserError(f"{path}: {kind or 'no ending'} is no table; known are .csv, .tsv, .jsonl, .json, .parquet")


def _table(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[Record]:
    rows = table_rows(path, problems)
    first, header = next(rows, (1, []))
    if columns and all(column.isdecimal() and column not in header for column in columns):
        yield Record(f"{path}, line {first}", _numbered(header))
        header = [str(number + 1) for number in range(len(header))]
    for line, row in rows:
        place = f"{path}, line {line}"
        if not row:
            continue
        if len(row) != len(header):
            problems.row("broken row", f"{place}: {len(row)} columns where the first row has {len(header)}; fix it")
            continue
        yield Record(place, dict(zip(header, row, strict=True)))


def _numbered(row: Sequence[str]) -> dict[str, str]:
    return {str(number): cell for number, cell in enumerate(row, 1)}


def _lines(path: Path, problems: Problems) -> Iterator[Record]:
    for number, line in enumerate(byte_lines(path), 1):
        place = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            problems.row("broken row", f"{place}: not valid JSON ({error}); fix or remove the line")
            continue
        if not isinstance(values, dict):
            problems.row("broken row", f"{place}: {type(values).__name__}, not an object; fix the line")
            continue
        yield Record(place, values)


def _json(path: Path) -> Iterator[Record]:
    try:
        value = json.loads(read_whole(path, JSON_LIMIT).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadFile("broken JSON", f"{path}: not valid JSON ({error}); fix the file") from error
    for number, row in enumerate(rows_of(value, path, None), 1):
        if not isinstance(row, dict):
            raise BadFile("broken row", f"{path}, row {number}: {type(row).__name__}, not an object; fix the row")
        yield Record(f"{path}, row {number}", row)


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        with seekable(path) as stream:
            rows = parquet.read_table(stream).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise BadFile("broken parquet", f"{path}: not a readable parquet file ({error}); fetch it again") from error
    yield from (Record(f"{path}, row {number}", row) for number, row in enumerate(rows, 1))


def require_columns(records: Sequence[Record], columns: Sequence[str], flag: str) -> None:
    """Refuse records that lack a column; the error names the first, its columns and the flag that chooses one."""
    for record in records:
        missing = [column for column in columns if column not in record.values]
        if missing:
            raise UserError(f"{record.place}: no column {missing[0]!r}; columns: {listed(record.values)}; see {flag}")
