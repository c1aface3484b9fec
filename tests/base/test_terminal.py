"""Nothing that a model or a file says steers the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from scratchlm.base.terminal import console, guarded, one_line, raw, visible

EVIL = "a\x1b]0;owned\x07\x1b[2J\u202eb\x9b\r"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steers(text: str) -> bool:
    return any(character in text for character in "\x1b\x07\u202e\x9b\r")


def test_steering_characters_become_visible_and_text_stays() -> None:
    assert visible("Grüße,\n\t世界 👩‍👧") == "Grüße,\n\t世界 👩‍👧"
    assert visible(EVIL) == r"a\x1b]0;owned\x07\x1b[2J\u202eb\x9b\r"
    assert visible("name\udcff.txt") == r"name\udcff.txt"
    assert one_line("two\nlines\x1b") == r"two\nlines\x1b"


def test_a_terminal_is_guarded_a_pipe_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), visible(EVIL)), (io.StringIO(), EVIL)):
        monkeypatch.setattr(sys, "stdout", stream)
        with guarded():
            print(EVIL, end="")
        assert sys.stdout is stream
        assert stream.getvalue() == expected


def test_who_asks_for_raw_text_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded():
        print(EVIL, end="", file=raw(sys.stdout))
    assert stream.getvalue() == EVIL


def test_a_console_draws_colours_and_tables_and_shows_what_steers(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table
    from rich.text import Text

    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    table = Table("label")
    table.add_row(Text(EVIL, style="bold red"))
    with guarded():
        console(force_terminal=True, color_system="standard", width=80, highlight=False).print(table, EVIL)
    written = stream.getvalue()
    assert "\x1b[1;31m" in written  # the style is drawn
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    assert written.count("]0;owned") == 2
    assert not steers(written.replace("\x1b[", ""))
