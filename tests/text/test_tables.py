"""Tables: the delimiter and quoting of a file are detected from its cells."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.text.counts import Counts, Problems
from scratchlm.text.labelled import read_labelled
from scratchlm.text.records import read_records
from scratchlm.text.tables import read_csv

ROWS = [
    ("plain words", "ham"),
    ('she said "hi" and left', "ham"),
    ("two\nlines", "spam"),
    ("a\ttab", "spam"),
    ('"all in quotes"', "ham"),
    ("5\" disk, 'new'", "ham"),
]


def written(path: Path, delimiter: str, **how: object) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, **how)  # type: ignore[arg-type]
        writer.writerow(("text", "label"))
        writer.writerows(ROWS)
    return path


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("terminator", ["\r\n", "\n"])
@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t")])
def test_what_a_csv_writer_wrote_comes_back_cell_by_cell(
    name: str, delimiter: str, terminator: str, quoting: int, tmp_path: Path
) -> None:
    path = written(tmp_path / name, delimiter, quoting=quoting, lineterminator=terminator)
    assert [(each.text, each.label) for each in read_labelled(read_records(path), None, None)] == ROWS
    problems = Problems(Counts(), strict=True)
    assert [document.text for document in read_csv(path, "text", problems)] == [text for text, _ in ROWS]


@pytest.mark.parametrize(
    "lines",
    [
        ['ham\tsay "hi', "spam\tbuy"],
        ['ham\t"Hello"', "spam\tbuy"],  # a sentence in quotes, in a file without quoting
        ['ham\t"oh no', 'spam\tit is "new"', 'spam\t"quite" new'],
        ['ham\t"a', 'spam\tb"'],  # two lone quotes on different lines are not one cell
        ["ham\thi", "spam\t"],
    ],
)
def test_quotes_of_a_plain_table_are_ordinary_characters(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = read_records(tmp_path / "a.tsv", ("2", "1"))
    assert [f"{record.values['1']}\t{record.values['2']}" for record in records] == lines


def test_a_quoted_table_with_one_broken_row_is_still_quoted_and_the_row_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "\t")
    with path.open("a", encoding="utf-8") as file:
        file.write('"broken" here\tham\n')
    with pytest.raises(UserError, match=r"line 9: not valid CSV.*quotes of this row") as error:
        read_records(path)
    assert "more rows" not in str(error.value)


def test_a_long_quoted_cell_is_detected_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlm.text.tables.LOOKED_AT", 60)
    path = written(tmp_path / "a.tsv", "\t", lineterminator="\n")
    assert len(read_records(path)) == len(ROWS)


def test_the_spam_messages_and_the_bank_questions_are_read_whole() -> None:
    folder = os.environ.get("SCRATCHLM_DATA")
    if not folder:
        pytest.skip("SCRATCHLM_DATA names no folder of real data")
    spam = read_records(Path(folder) / "classify" / "sms-spam.tsv", ("2", "1"))
    lines = (Path(folder) / "classify" / "sms-spam.tsv").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert len(spam) == 5574
    assert [f"{record.values['1']}\t{record.values['2']}" for record in spam] == lines
    bank = read_records(Path(folder) / "classify" / "banking77-train.csv")
    assert len(bank) == 10003
    assert {record.values["category"] for record in bank} >= {"card_arrival"}
