"""Exercises: the solution passes, its stub and each classic mistake do not, and the mistake is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.commands import fails, run

from scratchlm.lab.course.answering import outputs_of
from scratchlm.lab.course.commands import Checked, judged
from scratchlm.lab.course.exercise import ClassicMistake, Exercise, chapters, without_bodies

EXERCISES = [each for chapter in chapters() for each in chapter.exercises]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]


@pytest.fixture
def progress(tmp_path: Path) -> tuple[str, str]:
    return "--progress", str(tmp_path / "learn.json")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.number)
def test_the_solution_is_solved(exercise: Exercise) -> None:
    assert judged(exercise, outputs_of(exercise, exercise.module())).solved


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=[f"{e.number}-{m.says[:40]}" for e, m in MISTAKES])
def test_a_classic_mistake_is_rejected_and_named(exercise: Exercise, mistake: ClassicMistake) -> None:
    checked = judged(exercise, outputs_of(exercise, exercise.module(mistake)))
    assert not checked.solved
    assert checked.mistakes == [mistake.says]


def test_the_written_file_has_no_solution_and_its_stubs_are_not_solved(
    tmp_path: Path, progress: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "learn", "start", "3")
    assert (code, "gpt.py: written" in out) == (0, True)
    written = Path("gpt.py").read_text(encoding="utf-8")
    for each in (each for each in EXERCISES if each.file == "gpt.py"):
        assert f"yours: exercise {each.number}" in written
    code, out, _ = run(capsys, "learn", "check", "3.3", *progress)
    assert (code, "not written yet" in out) == (0, True)
    assert "stays as it is" in run(capsys, "learn", "start", "3")[1]
    assert Path("gpt.py").read_text(encoding="utf-8") == written


def test_solved_exercises_are_remembered_and_the_next_one_is_named(
    tmp_path: Path, progress: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    exercise = EXERCISES[0]
    mine = tmp_path / "mine.py"
    mine.write_text(exercise.source.read_text(encoding="utf-8"), encoding="utf-8")
    assert "solved" in run(capsys, "learn", "check", exercise.number, mine, *progress)[1]
    assert f"next: scratchlm learn check {EXERCISES[1].number}" in run(capsys, "learn", *progress)[1]


BAD = {
    "while True:\n    pass\n": "takes over",
    "import nothing_of_this_name\n": "ModuleNotFoundError: No module named 'nothing_of_this_name', line 1",
    "def attention_weights(q, k):\n    return q @ k\n": "RuntimeError",
    "def attention_weights(q, k)\n": "SyntaxError",
    "import sys\nsys.exit()\n": "SystemExit",
    "def attention_weights(q, k):\n    print('x' * 10_000_000)\n    return q\n": "is (5, 8) and must be (5, 5)",
    "import torch\ntorch.allclose = lambda *a, **k: True\ntorch.equal = torch.allclose\n"
    "import numpy\nnumpy.allclose = torch.allclose\n"
    "def attention_weights(q, k):\n    return q @ k.mT\n": "at [0, 0]",
    "def attention_weights(q, k):\n    while True:\n        pass\n": "takes over",
}


@pytest.mark.parametrize("text", BAD, ids=[text[:30] for text in BAD])
def test_a_broken_file_is_stopped_and_explained(
    text: str, tmp_path: Path, progress: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(text, encoding="utf-8")
    code, out, _ = run(capsys, "learn", "check", "3.3", mine, *progress)
    assert code == 0
    assert "not yet" in out
    assert BAD[text] in " ".join(out.split())
    assert len(out) < 5000


def test_two_mistakes_are_both_named() -> None:
    exercise = next(each for each in EXERCISES if each.name == "LayerNorm.forward")
    pair = exercise.mistakes[0], exercise.mistakes[8]
    checked = judged(exercise, outputs_of(exercise, exercise.module(*pair)))
    assert checked.mistakes == [each.says for each in pair]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("gelu", "return 3 * real(x)", "Each number is 3 times the right one."),
        ("gelu", "return real(x).detach()", "No gradient reaches x"),
        ("join_heads", "return real(x).mT", "another order"),
        ("attention_weights", "return real(q, k) ** 2", "and not to 1"),
        ("merge", "return real(ids, pair, new)[:-1]", "something is left out"),
        ("merge", "real(ids, pair, new)", "is there a return?"),
        ("merge", "out = real(list(ids), pair, new); ids.append(5); return out", "changes its input"),
    ],
)
def test_what_is_in_no_list_is_named_by_how_the_numbers_relate(name: str, body: str, said: str) -> None:
    exercise = next(each for each in EXERCISES if each.name == name)
    module = exercise.module()
    assert module is not None
    module.__dict__["real"] = getattr(module, name)
    arguments = {"merge": "ids, pair, new", "attention_weights": "q, k"}.get(name, "x")
    exec(f"def {name}({arguments}):\n    {body}\n", module.__dict__)
    checked = judged(exercise, outputs_of(exercise, module))
    assert not checked.solved
    assert said in " ".join(checked.mistakes)


ANSWERS = json.loads(Path(__file__).with_name("answers_of_learners.json").read_text(encoding="utf-8"))
"""Functions written by a language model that had read the GPT in one file, but neither the probes nor the mistakes."""


def checked_answer(answer: dict[str, str]) -> Checked:
    exercise = next(each for each in EXERCISES if each.name == answer["name"])
    module = exercise.module()
    assert module is not None
    *classes, name = exercise.name.split(".")
    written: dict[str, Any] = {}
    exec(answer["code"], module.__dict__, written)
    setattr(getattr(module, classes[0]) if classes else module, name, written[name])
    return judged(exercise, outputs_of(exercise, module))


@pytest.mark.parametrize("answer", ANSWERS["right"], ids=lambda each: each["name"])
def test_a_solution_in_another_style_is_solved(answer: dict[str, str]) -> None:
    checked = checked_answer(answer)
    assert checked.solved, checked


def test_mistakes_that_others_planted_are_rejected_and_most_are_named() -> None:
    results = [checked_answer(answer) for answer in ANSWERS["wrong"]]
    assert len(results) == 60
    assert not [answer["what"] for answer, each in zip(ANSWERS["wrong"], results, strict=True) if each.solved]
    assert sum(bool(each.mistakes) for each in results) >= 58


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        (
            "windows",
            "def windows(ids, starts, context):\n    return real(ids, starts, context).float()",
            "must hold integers",
        ),
        ("gelu", "def gelu(x):\n    return real(x).to(torch.complex64)", "must be a tensor"),
        ("Block.attention", "def attention(self, x):\n    return x", "must be"),
    ],
)
def test_another_type_is_explained(name: str, code: str, said: str) -> None:
    exercise = next(each for each in EXERCISES if each.name == name)
    module = exercise.module()
    assert module is not None
    module.__dict__["real"] = getattr(module, name, None)
    written: dict[str, Any] = {}
    exec(code, module.__dict__, written)
    *classes, last = name.split(".")
    setattr(getattr(module, classes[0]) if classes else module, last, written[last])
    checked = judged(exercise, outputs_of(exercise, module))
    assert not checked.solved
    assert said in str(checked.difference)


def test_layers_of_other_names_are_explained() -> None:
    exercise = next(each for each in EXERCISES if each.name == "Block.forward")
    module = exercise.module()
    assert module is not None
    right = outputs_of(exercise, module)
    outputs = {label.replace("up.weight", "expand.weight"): value for label, value in right.items()}
    checked = judged(exercise, outputs)
    assert not checked.solved
    assert "keep the layers of __init__" in str(checked.difference)


def test_a_file_may_have_the_name_of_a_library(
    tmp_path: Path, progress: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "json.py"
    mine.write_text(EXERCISES[0].source.read_text(encoding="utf-8"), encoding="utf-8")
    assert "3.3 attention_weights: solved" in run(capsys, "learn", "check", "3.3", mine, *progress)[1]


def test_what_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("x = 1\n", encoding="utf-8")
    assert "has no attention_weights" in fails(capsys, "learn", "check", "3.3", mine)
    assert "is not there" in fails(capsys, "learn", "check", "3.3", tmp_path / "none.py")
    assert "exercise 3.9: unknown" in fails(capsys, "learn", "check", "3.9", mine)
    assert "in its notebook" in fails(capsys, "learn", "start", "1")
    assert "chapter 12: unknown" in fails(capsys, "learn", "start", "12")


def test_the_solutions_in_the_written_file_are_the_gpt_in_one_file(tmp_path: Path) -> None:
    for source in {each.source for each in EXERCISES}:
        exercises = [each for each in EXERCISES if each.source == source]
        text = without_bodies(source, exercises)
        assert text.count("raise NotImplementedError  # yours") == len(exercises)
        for exercise in exercises:
            kept, mark = exercise.solution(), f"raise NotImplementedError  # yours: exercise {exercise.number}"
            place = text.index(mark)
            indent = " " * (len(text[:place]) - len(text[:place].rstrip(" ")))
            head = text[: place - len(indent)].rstrip("\n").split("\n")[-1]  # the end of the docstring
            body = kept[kept.rindex(head.strip()) + len(head.strip()) :].strip("\n")
            text = text[: place - len(indent)] + body + text[place + len(mark) :]
        assert text == source.read_text(encoding="utf-8")
