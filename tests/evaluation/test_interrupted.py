"""`scratchlm evaluate --task`, stopped by Ctrl-C: progress, partial scores, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import fails, run
from scratchlm.base import progress
from scratchlm.base.progress import CountedProgress
from scratchlm.evaluation import work
from scratchlm.evaluation.results import largest_gap, read_result
from scratchlm.finetuning.head import add_classes
from scratchlm.weights.checkpoint import Classes, SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


@pytest.fixture
def place(tmp_path: Path) -> Path:
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=300)
    save_model(tmp_path / "model", SavedModel(random_decoder(config), byte_tokenizer()))
    save_model(tmp_path / "other", SavedModel(random_decoder(config, 5), byte_tokenizer()))
    rows = [{"query": f"{n} and {n} is", "choices": [str(2 * n), "many", "none"], "gold": n % 3} for n in range(30)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"question": "What is " + "x" * n, "answer": "a number"} for n in range(12)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    texts = "".join(f"text {n},{('yes', 'no')[n % 2]}\n" for n in range(300))
    (tmp_path / "t.csv").write_text("text,label\n" + texts)
    return tmp_path


class Stopping(CountedProgress):
    """Progress that presses Ctrl-C the first time that something was computed."""

    pressed = False

    def reached(self, done: int) -> None:
        super().reached(done)
        if done and not Stopping.pressed:
            Stopping.pressed = True
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr(work, "CountedProgress", Stopping)

    def again() -> None:
        Stopping.pressed = False

    again()
    return again


def evaluate(place: Path, *flags: str | Path) -> tuple[str | Path, ...]:
    tasks = ("--task", f"answers={place / 'a.jsonl'}", "--task", f"choices={place / 'c.jsonl'}")
    return ("evaluate", place / "model", *tasks, "--answer-tokens", "8", "--rows", "4", "--threads", "1", *flags)


@pytest.mark.parametrize("flags", [(), ("--shuffled", "--normalisation", "unconditional")], ids=["plain", "shuffled"])
def test_the_same_command_goes_on_until_its_result_is_that_of_an_uninterrupted_one(
    flags: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str], stopping: Callable[[], None]
) -> None:
    out, kept = place / "r.json", place / "r.json.partial"
    code, _, err = run(capsys, *evaluate(place, "--out", out, *flags))
    sizes, stops = [0], 0
    while code == 130:
        stops += 1
        assert f"interrupted; what was computed is in {kept}: the same command goes on from there" in err
        assert not out.exists()
        sizes.append(len(json.loads(kept.read_text())["known"]))
        stopping()
        code, _, err = run(capsys, *evaluate(place, "--out", out, *flags))
    assert code == 0, err
    assert stops > 5
    assert sizes == sorted(set(sizes)), "each call computes something"
    assert not kept.exists()
    Stopping.pressed = True
    assert run(capsys, *evaluate(place, "--out", place / "whole.json", *flags))[0] == 0
    first, second = read_result(out), read_result(place / "whole.json")
    assert first.settings == second.settings
    assert largest_gap(first.tasks, second.tasks) < 1e-4


def test_partial_scores_are_shown_on_stderr_and_marked(
    place: Path, capsys: pytest.CaptureFixture[str], stopping: Callable[[], None]
) -> None:
    code, out, err = run(capsys, *evaluate(place))
    assert (code, out) == (130, "")
    assert "partial scores, of the items that were finished (long ones come first)" in err
    assert "4 of 12" in err
    assert "interrupted; nothing is kept without --out FILE" in err


def test_a_classification_goes_on_too(
    place: Path, capsys: pytest.CaptureFixture[str], stopping: Callable[[], None]
) -> None:
    saved = load_model(place / "model")
    add_classes(saved.decoder, ("no", "yes"), "last", 0)
    save_model(place / "classifier", replace(saved, classes=Classes(("no", "yes"))))
    asked: tuple[Any, ...] = (
        "evaluate",
        place / "classifier",
        "--task",
        f"classes={place / 't.csv'}",
        "--threads",
        "1",
    )
    code, _, err = run(capsys, *asked, "--out", place / "r.json")
    assert code == 130
    assert "256 of 300" in err
    assert run(capsys, *asked, "--out", place / "r.json")[0] == 0
    assert read_result(place / "r.json").tasks[0].items == 300


def test_a_partial_file_of_another_model_or_without_results_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], stopping: Callable[[], None]
) -> None:
    kept = place / "r.json.partial"
    assert run(capsys, *evaluate(place, "--out", place / "r.json"))[0] == 130
    asked = list(evaluate(place, "--out", place / "r.json"))
    asked[1] = place / "other"
    assert "was left by an evaluation of another model; remove it" in fails(capsys, *asked)
    digest = json.loads(kept.read_text())["model"]
    kept.write_text(json.dumps(work.sealed(work.KIND, work.FORMAT, {"model": digest, "known": {"a": [1, 2]}})))
    assert "holds no results of an interrupted evaluation; remove it" in fails(
        capsys, *evaluate(place, "--out", place / "r.json")
    )


def test_progress_is_shown_of_work_that_lasts(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    with CountedProgress("task", 5, "answers") as quick:
        quick.reached(5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with CountedProgress("task", 5, "answers") as shown:
        shown._timer.join()
        shown.reached(3)
    assert [line.rpartition(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "task: 0 of 5 answers", "task: 3 of 5 answers"
    ]  # fmt: skip
