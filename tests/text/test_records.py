"""Rows of named fields, from every structured format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from scratchlm.base.errors import UserError
from scratchlm.text.records import read_records

ROWS = [{"text": "one, two", "label": "a"}, {"text": "três", "label": "b"}]


def written(folder: Path, kind: str) -> Path:
    path = folder / f"rows{kind}"
    lines = "\n".join(json.dumps(row) for row in ROWS)
    match kind:
        case ".csv":
            path.write_text('text,label\n"one, two",a\ntrês,b\n', encoding="utf-8")
        case ".tsv":
            path.write_text("text\tlabel\none, two\ta\ntrês\tb\n", encoding="utf-8")
        case ".jsonl":
            path.write_text(lines + "\n\n", encoding="utf-8")
        case ".jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case ".json":
            path.write_text(json.dumps({"data": ROWS}), encoding="utf-8")
        case ".parquet":
            parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    assert [dict(record.values) for record in read_records(written(tmp_path, kind))] == ROWS


def test_a_table_without_names_is_read_by_number(tmp_path: Path) -> None:
    (tmp_path / "plain.tsv").write_text("ham\tHello\nspam\tWin\n")
    records = read_records(tmp_path / "plain.tsv", ("2", "1"))
    assert [record.values for record in records] == [{"1": "ham", "2": "Hello"}, {"1": "spam", "2": "Win"}]


def test_all_broken_rows_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{"a":\n[1]\n' + "nothing\n" * 7)
    with pytest.raises(UserError, match=r"line 2: .*line 3: list.*and 4 more rows"):
        read_records(tmp_path / "bad.jsonl")


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.odt").write_text("a")
    with pytest.raises(UserError, match=r"\.odt is no table"):
        read_records(tmp_path / "x.odt")
    with pytest.raises(UserError, match="no such file"):
        read_records(tmp_path / "y.csv")
