"""Tables as people have them: which column is which, and what is said where that is not clear."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from commands import fails
from scratchlm.base.errors import UserError
from scratchlm.finetuning.conversations import read_conversations
from scratchlm.text.columns import NAMES, find_columns, plain
from scratchlm.text.documents import Counts, read_documents
from scratchlm.text.labelled import read_labelled
from scratchlm.text.records import read_records

PAIRS = [("question", "answer"), ("prompt", "completion"), ("instruction", "output"), ("Query", "RESPONSE")]
LABELLED = [("Message", "Category"), ("text", "label"), (" TEXT ", "Label "), ("Review", "Sentiment"), ("sms", "class")]
KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
ROWS = [("Where, please?", "Over there; look"), ("When?", "At ten o'clock")]


def written(folder: Path, kind: str, names: tuple[str, str]) -> Path:
    path, rows = folder / f"rows{kind}", [dict(zip(names, row, strict=True)) for row in ROWS]
    match kind:
        case ".csv" | ".tsv":
            with path.open("w", newline="", encoding="utf-8-sig") as file:  # as Excel writes it, with a mark
                csv.writer(file, delimiter="\t" if kind == ".tsv" else ",").writerows([names, *ROWS])
        case ".jsonl":
            path.write_text("\ufeff" + "\n".join(map(json.dumps, rows)), encoding="utf-8")
        case ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        case _:
            parquet.write_table(arrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", PAIRS)
def test_questions_and_answers_are_found_in_every_format(kind: str, names: tuple[str, str], tmp_path: Path) -> None:
    conversations, layout = read_conversations(read_records(written(tmp_path, kind, names)))
    assert [tuple(turn["content"] for turn in each) for each in conversations] == ROWS
    assert layout.name == " and ".join(names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", LABELLED)
def test_texts_and_labels_are_found_in_every_format(kind: str, names: tuple[str, str], tmp_path: Path) -> None:
    texts = read_labelled(read_records(written(tmp_path, kind, names)), None, None)
    assert [(each.text, each.label) for each in texts] == ROWS


def test_a_text_in_upper_case_is_found_by_what_reads_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Author,Text\nAnna,One and two.\n")
    documents = read_documents([path], text_column=None, split_on=None, strict=True, counts=Counts())
    assert [each.text for each in documents] == ["One and two."]


def test_a_flag_names_a_column_in_any_case_or_by_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,Frage,Antwort\n1,Wo?,Dort\n2,Wann?,Jetzt\n")
    conversations, layout = read_conversations(read_records(tmp_path / "a.csv"), "frage", "ANTWORT")
    assert [each[1]["content"] for each in conversations] == ["Dort", "Jetzt"]
    assert layout.name == "Frage and Antwort"
    (tmp_path / "b.tsv").write_text("Wo?\tDort\nWann?\tJetzt\n")
    numbered, _ = read_conversations(read_records(tmp_path / "b.tsv", ["1", "2"]), "1", "2")
    assert numbered == conversations


def test_numbers_are_answers_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "1 + 2?", "answer": 3}\n')
    assert read_conversations(read_records(tmp_path / "a.jsonl"))[0][0][1]["content"] == "3"


UNCLEAR = {
    "nothing usual": ({"b": "x y", "c": "x y", "d": "x y"}, {}, "Columns: b, c, d; name the right ones with --prompt"),
    "one left, no words": ({"id": "A17", "question": "Why?"}, {}, r"Columns: id, question; .* with --answer-column"),
    "no such column": ({"b": "x", "question": "y"}, {"answer": "c"}, "--answer-column c: no column 'c' in here"),
    "misspelt": ({"b": "x", "reply": "y"}, {"answer": "replay"}, "did you mean 'reply'?"),
    "the same twice": ({"b": "x", "c": "y"}, {"prompt": "b", "answer": "B"}, "name the same column"),
    "two problems": ({"b": "x"}, {"prompt": "p", "answer": "a"}, r"--prompt-column p: .*; --answer-column a: "),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_unclear_columns_are_answered_with_columns_and_flags(name: str) -> None:
    row, flags, expected = UNCLEAR[name]
    with pytest.raises(UserError, match=expected):
        find_columns(row, {"prompt": flags.get("prompt"), "answer": flags.get("answer")}, "here")


def test_columns_with_one_name_are_refused_and_those_without_a_name_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,text\na,b,c\n")
    with pytest.raises(UserError, match="two columns are called 'text'; rename one"):
        read_records(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("text,label,,\na b,c,,\n")
    assert dict(read_records(tmp_path / "b.csv")[0].values) == {
        "text": "a b", "label": "c", "column 3": "", "column 4": "",
    }  # fmt: skip


def test_no_usual_name_is_listed_in_a_form_that_never_matches() -> None:
    assert all(plain(name) == name for names in NAMES.values() for name in names)


def test_the_documentation_lists_the_names_that_are_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert all(f"| {', '.join(names)} |" in page for names in NAMES.values())


@pytest.mark.parametrize("verb", ["classify", "instruct"])
def test_columns_are_checked_before_a_model_is_loaded(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("b,c,d\nx y,x y,x y\n")
    where = ("--init", tmp_path / "no-model", "--data", tmp_path / "a.csv", "--out", tmp_path / "out")
    line = fails(capsys, "finetune", verb, *where)
    assert "a.csv, line 2: which column is which? Columns: b, c, d; name the right ones with --" in line
    assert not (tmp_path / "out").exists()
