"""The quiz on a pseudo-terminal, with progress that survives a kill."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.lab.quiz.cards import built_in, read_cards
from scratchlm.lab.quiz.progress import Progress

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on Windows")

NOTES = """
<details><summary>🎯Q. What is one?</summary>

⭐ The first number.

</details>
<details><summary>🔥Q. What is two?</summary>

The `second` number.

</details>
<details><summary>Q. What is three?</summary>

The third.

</details>
"""


KINDS = """
<details><summary>🎯Q. How many bits are 2 bytes, plus one?</summary>

**17**

<sub>kind: compute · value: 17</sub></details>

```python
print(1 + 1)
```

<details><summary>🎯Q. What is printed?</summary>

2

<sub>kind: predict</sub></details>
<details><summary>🎯Q. Why is it so? (a) By chance. (b) By rule.</summary>

**(b)**

<sub>kind: choose · value: b</sub></details>
"""


class Terminal:
    """The real command on a pseudo-terminal: what it prints is waited for, lines are typed."""

    def __init__(self, *arguments: str | Path) -> None:
        self.place, inside = pty.openpty()
        command = [sys.executable, "-m", "scratchlm", *map(str, arguments)]
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "80"}
        self.process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environment)
        os.close(inside)
        self.seen = ""

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Read until `text` was printed; return the output before it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} was not printed; there was: {self.seen!r}"
            if not select.select([self.place], [], [], 0.2)[0]:
                continue
            try:
                self.seen += os.read(self.place, 4096).decode("utf-8", "replace")
            except OSError:  # the other side is closed
                assert text in self.seen, f"{text!r} was not printed; there was: {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self.place, line.encode() + b"\n")

    def end(self) -> int:
        """Wait for the command's end; return its exit code."""
        code = self.process.wait(30)
        os.close(self.place)
        return code


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    return path


def test_cards_are_asked_and_forgotten_ones_are_asked_again(tmp_path: Path, notes: Path) -> None:
    progress = tmp_path / "progress.json"
    terminal = Terminal("quiz", "--notes", notes, "--progress", progress, "--new", "2")
    terminal.wait_for("2 cards.")
    terminal.wait_for("What is one?")
    terminal.wait_for("Enter shows the answer >")
    terminal.type("")
    assert "⭐ The first number." in terminal.wait_for("1 again  2 hard  3 good  4 easy  q end >")
    terminal.type("maybe")
    terminal.wait_for("'maybe': give 1, 2, 3, 4 or q")
    terminal.type("1")
    terminal.wait_for("again in 1 minutes")
    terminal.wait_for("What is two?")
    terminal.wait_for("answer >")
    terminal.type("")
    terminal.wait_for("q end >")
    terminal.type("good")
    terminal.wait_for("What is one?")
    terminal.wait_for("answer >")
    terminal.type("q")
    terminal.wait_for("2 answers so far; progress is kept in")
    assert terminal.end() == 0
    assert len(json.loads(progress.read_text())["cards"]) == 2


def test_an_answer_is_saved_before_the_next_question_so_a_kill_loses_nothing(tmp_path: Path, notes: Path) -> None:
    progress = tmp_path / "progress.json"
    terminal = Terminal("quiz", "--notes", notes, "--progress", progress)
    terminal.wait_for("answer >")
    terminal.type("")
    terminal.wait_for("q end >")
    terminal.type("4")
    terminal.wait_for("What is two?")
    terminal.process.send_signal(signal.SIGKILL)
    terminal.end()
    stored = json.loads(progress.read_text())
    assert stored["reviews"] == 1
    assert list(stored["cards"]) == [read_cards([notes])[0].id]
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.md"
    path.write_text(KINDS, encoding="utf-8")
    return path


def test_numbers_and_letters_are_checked_before_the_answer_is_shown(tmp_path: Path, kinds: Path) -> None:
    terminal = Terminal("quiz", "--notes", kinds, "--progress", tmp_path / "p.json")
    terminal.wait_for("your number, or Enter shows the answer >")
    terminal.type("about 17")
    terminal.wait_for("'about 17' is no number; write it as 0.25, 1024 or 3e9")
    terminal.wait_for("your number, or Enter shows the answer >")
    terminal.type("17.1")
    terminal.wait_for("right: 17.1 is within 1% of 17")
    terminal.wait_for("q end >")
    terminal.type("1")
    assert "print(1 + 1)" in terminal.wait_for("What is printed?")
    assert "your" not in terminal.wait_for("Enter shows the answer >")
    terminal.type("3")
    assert "right" not in terminal.wait_for("q end >")
    terminal.type("4")
    terminal.wait_for("Why is it so?\r\n(a) By chance.\r\n(b) By rule.")
    terminal.wait_for("your letter, or Enter shows the answer >")
    terminal.type("c")
    terminal.wait_for("'c': give one of the letters a, b")
    terminal.type("(A)")
    terminal.wait_for("not right: the answer is (b)")
    terminal.wait_for("q end >")
    terminal.type("4")
    terminal.wait_for("your number, or")  # it was forgotten, so it is asked again
    terminal.type("16")
    terminal.wait_for("not right: 16 is not within 1% of 17, off by 5.9%")
    terminal.wait_for("q end >")
    terminal.type("q")
    assert terminal.end() == 0


def test_an_exam_on_one_kind_checks_numbers_too(kinds: Path) -> None:
    terminal = Terminal("quiz", "--notes", kinds, "--exam", "1", "--kind", "compute", "--minutes", "2")
    terminal.wait_for("1 questions, 2 minutes.")
    terminal.wait_for("\n> ")
    terminal.type("seventeen")
    terminal.wait_for("is no number")
    terminal.type("17")
    terminal.wait_for("you wrote: 17")
    terminal.wait_for("right: 17 is within 1% of 17")
    terminal.type("y")
    terminal.wait_for("1 of 1 (100%)")
    assert terminal.end() == 0


def test_an_exam_scores_and_lists_what_to_review(notes: Path) -> None:
    terminal = Terminal("quiz", "--notes", notes, "--exam", "2", "--minutes", "2", "--seed", "1")
    terminal.wait_for("2 questions, 2 minutes.")
    for _ in range(2):
        terminal.wait_for("minutes left")
        terminal.wait_for("\n> ")
        terminal.type("a number")
    terminal.wait_for("you wrote: a number")
    terminal.wait_for("was it right? y yes, h half, n no >")
    terminal.type("y")
    terminal.wait_for("you wrote: a number")
    terminal.wait_for("n no >")
    terminal.type("h")
    terminal.wait_for("1.5 of 2 (75%)")
    before = terminal.wait_for(":")
    assert "to review" in before + terminal.seen
    assert terminal.end() == 0


def test_a_new_user_is_asked_the_cards_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    known = {card.question: card for card in built_in()}
    terminal = Terminal("quiz", "--new", "1", "--sign", "hot")
    terminal.wait_for("1 cards.")
    asked = " ".join(terminal.wait_for("Enter shows the answer >").split())
    assert any(" ".join(question.replace("`", "").split()) in asked.replace("`", "") for question in known)
    terminal.type("")
    assert terminal.wait_for("q end >").strip()
    terminal.type("4")
    terminal.wait_for("1 answers so far")
    assert terminal.end() == 0
    assert len(list(tmp_path.rglob("*.json"))) == 1
    terminal = Terminal("quiz", "--exam", "2", "--minutes", "1", "--seed", "3", "--kind", "recall")
    terminal.wait_for("2 questions, 1 minutes.")
    for _ in range(2):
        terminal.wait_for("\n> ")
        terminal.type("I do not know")
    for _ in range(2):
        terminal.wait_for("you wrote: I do not know")
        terminal.wait_for("n no >")
        terminal.type("n")
    terminal.wait_for("0 of 2 (0%)")
    assert terminal.end() == 0


def test_an_exam_asked_for_as_json_prints_nothing_else(notes: Path) -> None:
    inside, outside = pty.openpty()
    command = [sys.executable, "-m", "scratchlm", "quiz", "--notes", str(notes), "--exam", "1", "--json"]
    process = subprocess.Popen(command, stdin=outside, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(inside, b"q\n")
    out, err = process.communicate(timeout=60)
    os.close(inside)
    os.close(outside)
    assert (json.loads(out)["questions"], json.loads(out)["left"]) == (1, 1)
    assert b"1 of 1" in err


def test_questions_not_reached_in_time_count_as_missed(notes: Path) -> None:
    terminal = Terminal("quiz", "--notes", notes, "--exam", "2", "--minutes", "0.02", "--seed", "1")
    terminal.wait_for("\n> ")
    time.sleep(1.3)
    terminal.type("too late")
    terminal.wait_for("time is over")
    terminal.wait_for("0 of 2 (0%)")
    terminal.wait_for("2 not reached")
    assert terminal.end() == 0


def test_the_end_of_the_input_ends_the_quiz(tmp_path: Path, notes: Path) -> None:
    terminal = Terminal("quiz", "--notes", notes, "--progress", tmp_path / "p.json")
    terminal.wait_for("answer >")
    os.write(terminal.place, b"\x04")
    terminal.wait_for("0 answers so far")
    assert terminal.end() == 0


def test_counts_and_wrong_input(tmp_path: Path, notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--notes", notes, "--progress", tmp_path / "p.json")
    code, out, _ = run(capsys, "quiz", *place, "--count", "--json")
    assert code == 0
    counted = json.loads(out)
    assert (counted["cards"], counted["due"], counted["new"]) == (3, 0, 3)
    assert counted["by_sign"] == {"⭐": 1, "🔥": 1, "🎯": 1}
    assert counted["by_kind"] == {"recall": 3}
    assert "--kind computed: did you mean 'compute'?" in fails(capsys, "quiz", *place, "--kind", "computed", "--count")
    assert "no card matches" in fails(capsys, "quiz", *place, "--kind", "bug", "--count")
    assert "only 2 of the 3 selected cards are marked 🎯 or 🔥" in fails(capsys, "quiz", *place, "--exam", "3")
    assert "needs a terminal" in fails(capsys, "quiz", *place)
    assert "--exam 0: must be at least 1; --minutes 0: must be over 0" in fails(
        capsys, "quiz", "--exam", "0", "--minutes", "0", code=2
    )
    (tmp_path / "p.json").write_text('{"format": 7}')
    assert "is no progress file of a quiz" in fails(capsys, "quiz", *place, "--count")
    (tmp_path / "empty.md").write_text("# nothing\n")
    assert "holds no question" in fails(capsys, "quiz", "--notes", tmp_path / "empty.md", "--count")


def test_intervals_grow_with_correct_answers(tmp_path: Path, notes: Path) -> None:
    card, other, _ = read_cards([notes])
    progress = Progress(tmp_path / "p.json")
    now, spans = datetime(2026, 1, 1, tzinfo=UTC), []
    for _ in range(5):
        due = progress.grade(card, 3, now)
        spans.append(due - now)
        now = due
    assert spans[2:] == sorted(spans[2:])
    assert spans[-1] > timedelta(days=7)
    assert progress.due([card, other], now - timedelta(minutes=1)) == []
    assert Progress(tmp_path / "p.json").due([card, other], now) == [card]
    lapse = progress.grade(card, 1, now) - now
    assert lapse < timedelta(days=1)


def test_an_anki_deck_contains_every_card(tmp_path: Path, notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deck = tmp_path / "cards.apkg"
    code, out, _ = run(capsys, "quiz", "--notes", notes, "--anki", deck)
    assert (code, out.strip()) == (0, str(deck))
    import sqlite3

    with zipfile.ZipFile(deck) as inside:
        inside.extract("collection.anki2", tmp_path)
    connection = sqlite3.connect(tmp_path / "collection.anki2")
    fields = [row[0].split("\x1f") for row in connection.execute("select flds from notes")]
    connection.close()
    assert [question for question, _ in fields] == ["What is one?", "What is two?", "What is three?"]
    assert re.search("<code>second</code>", fields[1][1])


def test_a_deck_shows_code_with_its_question_and_each_choice_on_a_line(
    tmp_path: Path, kinds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    code, _, err = run(capsys, "quiz", "--notes", kinds, "--anki", tmp_path / "cards.apkg")
    assert code == 0, err
    with zipfile.ZipFile(tmp_path / "cards.apkg") as inside:
        inside.extract("collection.anki2", tmp_path)
    connection = sqlite3.connect(tmp_path / "collection.anki2")
    rows = [(row[0].split("\x1f")[0], row[1].split()) for row in connection.execute("select flds, tags from notes")]
    connection.close()
    assert rows[1][0] == "<pre>print(1 + 1)\n</pre>What is printed?"
    assert rows[2][0] == "Why is it so?<br>(a) By chance.<br>(b) By rule."
    assert [[tag for tag in tags if tag.startswith("kind-")] for _, tags in rows] == [
        ["kind-compute"],
        ["kind-predict"],
        ["kind-choose"],
    ]
