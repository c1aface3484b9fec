"""Rows of structured files: the field with the text, and the JSON formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import nearest
from scratchlm.text.columns import is_prose, listed, usual_column
from scratchlm.text.counts import BadFile, Document, Problems
from scratchlm.text.decoding import byte_lines, detect
from scratchlm.text.opening import read_whole

Row = tuple[str, Any]
"""The place of a row, for messages, and what it holds."""
LIST_FIELDS = ("data", "rows", "documents", "examples", "items", "train")
JSON_LIMIT = 1_000_000_000  # bytes; a .json file cannot be read row by row


class NoTextField(BadFile):
    """The user must name the field with the text."""

    def __init__(self, message: str) -> None:
        super().__init__("no text field", message)


def choose_field(row: Mapping[str, Any], place: str) -> str:
    """Return the name of the field of `row` with the text.

    The first with a usual name (`columns.NAMES`), else the only field with a string that is not a number. Otherwise
    raises `NoTextField`, which lists the fields.
    """
    usual = usual_column((name for name, value in row.items() if isinstance(value, str)), "text")
    if usual is not None:
        return usual
    prose = [name for name, value in row.items() if is_prose(value)]
    if len(prose) == 1:
        return prose[0]
    raise NoTextField(f"{place}: which field holds the text? Fields: {listed(row)}; name one with --text-column")


class FieldReader:
    """Reads the text of the rows of one file; the first object decides the field when none is given."""

    def __init__(self, text_column: str | None, problems: Problems) -> None:
        self.field, self.given, self.problems = text_column, text_column is not None, problems

    def text_of(self, row: object, place: str) -> str | None:
        """Return the text of a row, or None for a broken row, which is counted.

        Raises `NoTextField` when no field is given and the first object is ambiguous.
        """
        if isinstance(row, str):
            return row
        if not isinstance(row, Mapping):
            self.problems.row("broken row", f"{place}: {type(row).__name__}, not an object or a string; fix the row")
            return None
        if self.field is None:
            self.field = choose_field(row, place)
        if self.field not in row:
            hint = f"{nearest(self.field, [str(name) for name in row])}; " if self.given and row else ""
            message = f"{place}: no field {self.field!r}; {hint}fields: {listed(row)}; see --text-column"
            self.problems.row("no text field", message)
            return None
        value = row[self.field]
        if value is None:
            return ""
        if not isinstance(value, str):
            message = f"{place}: field {self.field!r} holds {type(value).__name__}, not text; see --text-column"
            self.problems.row("no text field", message)
            return None
        return value


def documents_of(rows: Iterable[Row], text_column: str | None, problems: Problems) -> Iterator[Document]:
    """Yield the documents of rows; broken ones are counted."""
    reader = FieldReader(text_column, problems)
    for place, row in rows:
        text = reader.text_of(row, place)
        if text is not None:
            yield Document(text, place)


def jsonl_rows(path: Path, problems: Problems, lines: Iterable[bytes] | None = None) -> Iterator[Row]:
    """Yield the rows of JSON Lines; blank lines are skipped, broken ones counted with their line number.

    Raises `BadFile` when the file cannot be read further.
    """
    for number, line in enumerate(byte_lines(path) if lines is None else lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            yield place, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            message = f"{place}: not UTF-8 at byte {error.start} of the line ({error.reason}); fix or convert it"
            problems.row("wrong encoding", message)
        except (ValueError, RecursionError) as error:
            problems.row("broken row", f"{place}: not valid JSON ({error}); fix or remove the line")


def json_rows(path: Path, text_column: str | None, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a .json file, which is loaded into memory whole.

    The file has a list of strings or objects, or one object with such a list, or one object with a text field. A file
    with one object a line is read as JSON Lines.
    Raises `BadFile` when it is broken or larger than `JSON_LIMIT`.
    """
    if path.stat().st_size > JSON_LIMIT:
        raise BadFile("too large", f"{path}: larger than {JSON_LIMIT / 1e9:g} GB, read into memory whole; use .jsonl")
    data = read_whole(path, JSON_LIMIT)
    encoding, mark = detect(data[: 1 << 16], path)
    try:
        value = json.loads(data[mark:].decode(encoding))
    except UnicodeDecodeError as error:
        message = f"{path}: not {encoding.upper()} at byte {mark + error.start:,} ({error.reason}); convert it"
        raise BadFile("wrong encoding", message) from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from jsonl_rows(path, problems, data[mark:].split(b"\n"))
            return
        message = f"{path}, line {error.lineno}: not valid JSON ({error.msg} at column {error.colno}); fix the file"
        raise BadFile("broken JSON", message) from error
    except (ValueError, RecursionError) as error:
        raise BadFile("broken JSON", f"{path}: not valid JSON ({error}); fix the file") from error
    del data
    for number, row in enumerate(rows_of(value, path, text_column), start=1):
        yield f"{path}, row {number}", row


def rows_of(value: object, path: Path, text_column: str | None) -> list[Any]:
    """Return the list of rows inside a loaded JSON value."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        message = f"{path}: holds {type(value).__name__}; a list of strings or objects is needed"
        raise BadFile("broken JSON", message)
    lists = {name: rows for name, rows in value.items() if isinstance(rows, list)}
    if text_column is not None and isinstance(value.get(text_column), str):
        return [value]
    for name in LIST_FIELDS:
        if name in lists:
            return lists[name]
    if len(lists) == 1:
        return next(iter(lists.values()))
    if not lists:
        return [value]
    message = f"{path}: several lists ({listed(lists)}), none named {', '.join(LIST_FIELDS)}; write one as .jsonl"
    raise BadFile("no text field", message)
