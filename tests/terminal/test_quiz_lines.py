"""The quiz on terminals of several widths: no word is broken at the end of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminal.pseudo import Terminal

QUESTION = (
    "Which extraordinarily complicated transformations distinguish autoregressive decoders from bidirectional ones?"
)
ANSWER = (
    "Autoregressive transformations never consult positions afterwards, whereas bidirectional encoders consult all."
)
CHOICE = "Why is it so? (a) Because circumstances were coincidental throughout. (b) Because regulations determine it."
NOTES = f"""
<details><summary>🎯Q. {QUESTION}</summary>

{ANSWER}

</details>
<details><summary>🎯Q. How many bits are 2 bytes, plus one?</summary>

**17**

<sub>kind: compute · value: 17</sub></details>
<details><summary>🎯Q. {CHOICE}</summary>

**(b)**

<sub>kind: choose · value: b</sub></details>
"""
GRADE = "1 again 2 hard 3 good 4 easy q end >"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    return path


def text_of(terminal: Terminal) -> str:
    """Return the text of the screen; a word that is broken at the end of a line is two words in it."""
    return " ".join(" ".join(terminal.screen.texts).split())


def shows(terminal: Terminal, text: str) -> None:
    terminal.wait_until(lambda _: text in text_of(terminal), text)


@pytest.mark.parametrize("columns", [80, 40, 30])
def test_practice_breaks_no_word(notes: Path, tmp_path: Path, columns: int) -> None:
    asked = ("quiz", "--notes", notes, "--progress", tmp_path / "p.json")
    with Terminal(*asked, columns=columns) as terminal:
        shows(terminal, "Think, press Enter for the answer, then say how well you knew it; q ends.")
        shows(terminal, f"{QUESTION} Enter shows the answer >")
        terminal.type("")
        shows(terminal, f"{ANSWER} {GRADE}")
        terminal.type("perhaps")
        shows(terminal, f"'perhaps': give 1, 2, 3, 4 or q {GRADE}")
        terminal.type("4")
        shows(terminal, "plus one? your number, or Enter shows the answer >")
        terminal.type("about 17")
        shows(terminal, "'about 17' is no number; write it as 0.25, 1024 or 3e9")
        terminal.type("16")
        shows(terminal, "not right: 16 is not within 1% of 17, off by 5.9% 17 1 again")
        terminal.type("4")
        shows(terminal, f"{CHOICE} your letter, or Enter shows the answer >")
        terminal.press(b"\x04")
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", [80, 40, 30])
def test_an_exam_breaks_no_word(notes: Path, columns: int) -> None:
    asked = ("quiz", "--notes", notes, "--exam", "1", "--minutes", "90", "--kind", "recall")
    with Terminal(*asked, columns=columns) as terminal:
        shows(terminal, "1 questions, 90 minutes. Write a line for each, or press Enter to skip it; q hands in.")
        shows(terminal, "1 of 1, 90.0 minutes left")
        shows(terminal, f"{QUESTION} >")
        terminal.type("unfortunately")
        shows(terminal, f"you wrote: unfortunately {ANSWER} was it right? y yes, h half, n no >")
        terminal.type("n")
        shows(terminal, "0 of 1 (0%)")
        shows(terminal, f"to review: {QUESTION} (")  # then the path, which may break
        assert terminal.end() == 0
        assert text_of(terminal).endswith(ANSWER)
