"""`scratchlm synthesize`: questions are answered in the documents, like ones come once, wrong input is named."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from commands import fails, run
from endpoints import serving
from scratchlm.finetuning.conversations import read_conversations
from scratchlm.finetuning.synthetic import TEMPLATES, Template, read_templates, slots_of
from scratchlm.text.passages import passages_of, sentences_of
from scratchlm.text.records import read_records

PASSAGE = [
    "The beaver is a large rodent of northern rivers.",
    "It builds dams of branches and mud across small streams.",
    "Behind such a dam the water rises and forms a pond.",
]
TEXT = " ".join(PASSAGE) + "\n\nA heading\n\n" + " ".join(reversed(PASSAGE))


def made(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_sentences_end_at_their_marks_and_not_at_abbreviations() -> None:
    text = 'Mr. Fox met Dr. Hen. "Hello!" said he. J. R. Crow flew off at 3.5 miles an hour. Was it late? Yes'
    assert sentences_of(text) == [
        "Mr. Fox met Dr. Hen.", '"Hello!" said he.', "J. R. Crow flew off at 3.5 miles an hour.", "Was it late?", "Yes",
    ]  # fmt: skip
    assert list(passages_of(TEXT)) == [PASSAGE, PASSAGE[::-1]]
    assert [len(run) for run in passages_of(" ".join(PASSAGE), most=110)] == [2, 1]


def test_slots_hold_what_they_are_called() -> None:
    slots = slots_of(PASSAGE, random.Random(0))
    assert slots["before"] == " ".join(PASSAGE[:2])
    assert slots["next"] == PASSAGE[2]
    assert sorted(slots["mixed"].splitlines()) == sorted(PASSAGE)
    assert slots["mixed"].splitlines() != PASSAGE
    assert slots["blank"].replace("___", slots["word"]) == slots["sentence"] in PASSAGE
    assert (slots["subject"], slots["verb"], slots["statement"]) == ("the beaver", "is", PASSAGE[0])
    assert "subject" not in slots_of(PASSAGE[1:], random.Random(0))
    assert all(template.slots for template in TEMPLATES)


def test_a_file_is_made_that_instruct_reads_the_same_each_time(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    for name in ("a", "b"):
        code, out, err = run(capsys, "synthesize", tmp_path / "t.txt", "--out", tmp_path / f"{name}.jsonl", "--json")
        assert code == 0, err
    told = json.loads(out)
    rows = made(tmp_path / "a.jsonl")
    assert rows == made(tmp_path / "b.jsonl")
    assert told["conversations"] == len(rows) == sum(told["by_template"].values())
    conversations, layout = read_conversations(read_records(tmp_path / "a.jsonl"))
    assert layout.name == "messages"
    assert conversations[0] == rows[0]["messages"]


def test_templates_of_ones_own_and_near_duplicates(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.toml").write_text('[[template]]\nuser = "Say {{x}}: {sentence}"\nassistant = "{passage}"\n')
    assert read_templates(tmp_path / "t.toml") == [Template("1", "Say {{x}}: {sentence}", "{passage}")]
    for number in range(3):  # the same passage in three documents
        (tmp_path / f"{number}.txt").write_text(PASSAGE[0])
    (tmp_path / "texts").mkdir()
    for number in range(3):
        (tmp_path / f"{number}.txt").rename(tmp_path / "texts" / f"{number}.txt")
    flags = ("--templates", tmp_path / "t.toml", "--out", tmp_path / "o.jsonl", "--json")
    code, out, err = run(capsys, "synthesize", tmp_path / "texts", *flags)
    assert code == 0, err
    assert json.loads(out)["near_duplicates"] == 2
    assert made(tmp_path / "o.jsonl")[0]["messages"][0]["content"] == f"Say {{x}}: {PASSAGE[0]}"


def test_an_endpoint_writes_and_what_it_writes_wrongly_is_counted(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    with serving() as server:
        answers = iter(["Question: What builds dams?\nAnswer: The beaver.", "I cannot."])
        server.answer = lambda text: next(answers)
        address = f"http://127.0.0.1:{server.server_port}/v1"
        flags = ("--endpoint", address, "--out", tmp_path / "o.jsonl")
        code, out, err = run(capsys, "synthesize", tmp_path / "t.txt", *flags)
    assert code == 0, err
    assert "1 replies without question and answer" in out
    assert [m["content"] for m in made(tmp_path / "o.jsonl")[0]["messages"]] == ["What builds dams?", "The beaver."]


def test_wrong_input_is_told_in_a_line(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    (tmp_path / "bad.toml").write_text(
        '[[template]]\nuser = "{pasage}"\nassistant = "x"\n[[template]]\nuser = "{"\nassistant = "x"\n'
        '[[template]]\nuser = ""\nassistant = "x"\n[[template]]\nuser = "{}"\nassistant = "{word!x}"\n'
    )
    ask = ("synthesize", tmp_path / "t.txt", "--out", tmp_path / "o.jsonl")
    line = fails(capsys, *ask, "--templates", tmp_path / "bad.toml")
    for part in ("template 1: slot 'pasage', did you mean 'passage'", "template 2", "template 3: user and assistant",
                 "template 4: a slot is its name alone"):  # fmt: skip
        assert part in line
    (tmp_path / "none.toml").write_text("x = 1\n")
    assert "holds no [[template]]" in fails(capsys, *ask, "--templates", tmp_path / "none.toml")
    (tmp_path / "short.txt").write_text("No. Yes.")
    line = fails(capsys, "synthesize", tmp_path / "short.txt", "--out", tmp_path / "o.jsonl")
    assert "no conversation could be made" in line
    assert not (tmp_path / "o.jsonl").exists()
    run(capsys, *ask)
    assert "give --force" in fails(capsys, *ask)
    assert "must end in .jsonl" in fails(capsys, "synthesize", "x", "--out", tmp_path / "o.txt", code=2)


def test_what_an_endpoint_made_before_it_broke_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "t.txt").write_text(TEXT)
    with serving() as server:

        def answer(text: str) -> str:
            server.broken = 99
            return "Question: Who?\nAnswer: The beaver."

        server.answer = answer
        address = f"http://127.0.0.1:{server.server_port}/v1"
        ask = ("synthesize", tmp_path / "t.txt", "--endpoint", address, "--out", tmp_path / "o.jsonl")
        line = fails(capsys, *ask)
    assert "the 1 conversations made before are in" in line
    assert len(made(tmp_path / "o.jsonl")) == 1
