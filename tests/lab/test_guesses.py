"""Guesses of an experiment: asked first, shown beside the measured values, and scored over all of a reader."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import fails, run
from lab.outcomes import of_today
from scratchlm.base.errors import UserError
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.lab.experiments.limits import measure as limits
from scratchlm.lab.harness.outcome import Outcome, Value
from scratchlm.lab.prose import read_results
from scratchlm.lab.quiz.cards import notes_folder
from scratchlm.lab.quiz.guesses import Guess, Guesses, GuessQuestion, ask, parse_guess, questions_of

SMALL = ("--small", "--pretraining-steps", "2", "--vocabulary-size", "300", "--epochs", "0.01", "--tested", "10")
LIMITS = ("experiment", "limits", *SMALL, "--sampled", "10")
PERCENT = GuessQuestion("a", "How many percent?", "%", 0, 100, ".0%")
BITS = GuessQuestion("b", "How many bits?", "bits", 0.5, 4.5, ".2f")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a reader's guesses are kept in, in an empty folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "scratchlm" / "guesses.json"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let this process read text from a pipe."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


# The questions.


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_questions_about_values_that_it_has_published(name: str) -> None:
    results = read_results(notes_folder() / "results")
    stored = results.get(name)
    values = {} if stored is None else stored.values
    questions = questions_of(name)
    assert 2 <= len(questions) <= 4
    assert len({each.key for each in questions}) == len(questions)
    for each in questions:
        if each.key not in values and (stored is None or not of_today(stored)):
            continue  # its published run is older than the question
        value = values[each.key].value
        assert each.low * each.scale <= value <= each.high * each.scale, each.key
        assert (each.unit == "%") == each.form.endswith("%"), each.key
        shown = each.shown(value)
        assert shown not in each.asks, f"{each.key}: the question holds the answer"
        assert shown.rstrip("%") not in (f"{each.low:g}", f"{each.high:g}") or value in (0, 1), each.key
        assert len(each.asks) < 130


def test_questions_are_of_experiments_that_exist_and_need_no_torch() -> None:
    assert questions_of("nothing") == []
    script = (
        "import sys, tomllib\n"
        "from importlib import resources\n"
        "from scratchlm.lab.quiz.guesses import questions_of\n"
        "text = (resources.files('scratchlm.lab.experiments') / 'guesses.toml').read_text(encoding='utf-8')\n"
        "names = list(tomllib.loads(text))\n"
        "assert all(questions_of(name) for name in names)\n"
        "assert 'torch' not in sys.modules\n"
        "print(*names)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(EXPERIMENTS)


# Reading and scoring.


def test_guesses_are_read_as_people_write_them() -> None:
    for text in ("20 to 40", "20% to 40%", "20..40", " 20 - 40", "20-40%", "20 40\n", "20; 40"):
        guess = parse_guess(text, PERCENT)
        assert (guess.low, guess.high, guess.width) == pytest.approx((0.2, 0.4, 1.0)), text
    assert parse_guess("1.5 to 2", BITS) == Guess(1.5, 2.0, width=4.0)
    assert parse_guess("-1 to 2", BITS).low == -1
    assert parse_guess("30%", PERCENT).single


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("many", "'many' is no number; write it as 0.25"),
        ("20 to", "is no number"),
        ("40 to 20", "'40 to 20': the first number is the larger one; give the lower bound first"),
        ("1 to 2 to 3", "'1 to 2 to 3': holds 3 numbers; give two, as in '0 to 100%', or one"),
        ("300 to 400", "lies outside of 0 to 100%; check the unit"),
    ],
)
def test_a_guess_that_is_none_is_refused_with_its_remedy(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        parse_guess(text, PERCENT)
    assert told in str(error.value)


def test_the_interval_score_is_the_width_and_twenty_times_what_is_missed() -> None:
    inside, below, above = (Guess(1.0, 2.0, value, width=4.0) for value in (1.5, 0.9, 2.2))
    assert (inside.contains, below.contains, above.contains) == (True, False, False)
    assert inside.score == pytest.approx(1 / 4)
    assert below.score == pytest.approx((1 + 20 * 0.1) / 4)
    assert above.score == pytest.approx((1 + 20 * 0.2) / 4)
    assert Guess(0.5, 4.5, 2.0, width=4.0).score == 1.0
    assert Guess(1.0, 1.0, 2.0, width=4.0).score == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match="not measured"):
        _ = Guess(1.0, 2.0).score


def test_the_summary_counts_intervals_and_single_numbers_apart(kept: Path) -> None:
    guesses = Guesses()
    assert guesses.summary() == ""
    guesses.made = {
        "x a": Guess(0.0, 0.5, 0.2),
        "x b": Guess(0.0, 0.5, 0.6),
        "x c": Guess(0.3, 0.3, 0.5),
        "x d": Guess(0.0, 0.5),  # its run did not end
    }
    guesses.keep()
    told = Guesses().summary()
    assert told.startswith("1 of 2 of your 90% intervals so far contained the value (calibrated: 9 of 10)")
    assert "mean interval score 1.50 (0 is best" in told  # (0.5 + 2.5) / 2
    assert told.endswith("1 single numbers were off by 20% of the range on average")
    assert json.loads(kept.read_text())["guesses"]["x d"]["value"] is None


def test_only_the_first_guess_of_a_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome("tasks", "?", values={"spam.one": Value(0.93, 0.9, 0.95), "past.one": Value(0.01)})
    typed(monkeypatch, "80 to 90\n\n")
    lines = ask("tasks").reveal(outcome)
    assert "spam.one: your guess was 80.0% to 90.0%, measured 93.0% (90.0% to 95.0%): outside" in lines[0]
    assert len(lines) == 2  # past.one was left out
    typed(monkeypatch, "93 to 94\n1\n")
    lines = ask("tasks").reveal(outcome)
    assert lines[0].endswith("inside, interval score 0.02; not counted, because an earlier guess was")
    assert lines[1] == "past.one: your guess was 1.0%, measured 1.0%: off by 0% of the range"
    assert lines[2].startswith("0 of 1 of your 90% intervals so far")


def test_a_value_that_a_run_lacks_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "80 to 90\n5\n")
    assert ask("tasks").reveal(Outcome("tasks", "?", values={"past.one": Value(float("nan"))})) == [
        "spam.one: you guessed 80.0% to 90.0%; this run has no such value",
        "past.one: you guessed 5.0%; this run has no such value",
    ]


# The command.


@pytest.mark.slow
def test_guesses_are_asked_before_the_run_and_shown_after_it(
    tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*LIMITS, "--out", tmp_path / "run", "--guess")
    typed(monkeypatch, "0 to 100\n50\n\n20 to 30\n")
    code, out, err = run(capsys, *command)
    assert code == 0, err
    asked, _, running = err.partition("pretrain")
    assert "4 guesses before the run" in asked
    assert all(each.asks in asked and each.asks not in running for each in questions_of("limits"))
    assert "[0 to 100%]" in asked
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    doubt = stored["values"]["untold.doubt"]
    assert f"untold.doubt: your guess was 20.0% to 30.0%, measured {Value(**doubt).shown('.1%')}" in out
    assert "taught.right: your guess was 0% to 100%, measured " in out
    assert "negation_ignored" not in out
    assert "of your 90% intervals so far contained the value" in out
    assert str(kept) in out
    assert {place.split()[0] for place in json.loads(kept.read_text())["guesses"]} == {"limits"}
    assert not any("guess" in note for note in stored["notes"])
    assert "guess" not in stored["settings"]
    typed(monkeypatch, "0 to 100\n50\n60\n20 to 30\n")
    code, out, err = run(capsys, *command, "--json")  # its steps are stored
    assert code == 0, err
    notes = json.loads(out)["notes"]
    assert sum("not counted" in note for note in notes) == 3
    assert any(note.startswith("negation_ignored: your guess was 60.0%") for note in notes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("10 to 20\nmany\n3\n4\n", "--guess: limits reworded.right: 'many' is no number"),
        ("10 to 20\n", "--guess: the input ended before the guess of reworded.right; give one line for each"),
    ],
)
def test_a_bad_line_of_a_pipe_ends_the_command_before_the_run(
    given: str,
    told: str,
    tmp_path: Path,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed(monkeypatch, given)
    assert told in fails(capsys, *LIMITS, "--out", tmp_path / "run", "--guess")
    assert not (tmp_path / "run").exists()
    assert not kept.exists()


def test_guesses_outlast_an_interrupted_run(
    tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(limits, "run", stop)
    typed(monkeypatch, "10 to 20\n30\n\n\n")
    code, _, _ = run(capsys, *LIMITS, "--out", tmp_path / "run", "--guess")
    assert code == 130
    assert json.loads(kept.read_text())["guesses"]["limits taught.right"]["value"] is None
    typed(monkeypatch, "1\n2\n")  # for the two that were left out
    code, _, err = run(capsys, *LIMITS, "--out", tmp_path / "run", "--guess")
    assert code == 130
    assert "kept from before: 10% to 20%" in err
    assert "kept from before: 30%" in err
    assert len(json.loads(kept.read_text())["guesses"]) == 4


def test_a_terminal_is_asked_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on Windows")
    place, inside = pty.openpty()
    os.write(place, b"much\n80 to 90\n5\n")
    with os.fdopen(inside) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        guesses = ask("tasks")
    os.close(place)
    assert guesses.asked["spam.one"].low == pytest.approx(0.8)
    assert "'much' is no number; write it as 0.25, 1024 or 3e9\n> " in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused(kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text('{"format": 1, "cards": {}}')
    with pytest.raises(UserError, match="is no file of guesses in format 1; move it away"):
        Guesses()
