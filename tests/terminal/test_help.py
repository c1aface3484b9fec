"""What commands show on a real terminal (a pseudo-terminal): help that fits it, nothing that it would not show."""

from __future__ import annotations

import contextlib
import io

import pytest

from scratchlm.commands import COMMANDS
from scratchlm.config.settings import settings
from terminal.pseudo import STYLE, on_terminal

HELPS = [[], ["tokenizer"], ["finetune"], ["experiment"], ["experiment", "limits"]]
HELPS += [each.program.split() for each in COMMANDS.values()]


def test_the_short_help_names_settings_that_exist_and_fits_a_page() -> None:
    for command in COMMANDS.values():
        cls = command.config()
        names = {each.path.rpartition(".")[2] for each in settings(cls)}
        assert set(getattr(cls, "common", ())) <= names, command.program
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
            command.from_arguments(["--help"])
        assert shown.getvalue().count("\n") <= 60, command.program


@pytest.mark.parametrize("columns", [80, 40, 5])
def test_every_help_fits_its_terminal_and_shows_no_escape_codes(columns: int) -> None:
    code = (
        "from scratchlm.cli import main\n"
        f"for words in {HELPS!r}:\n"
        "    for flag in ('--help', '--help-all'):\n"
        "        try: main([*words, flag])\n"
        "        except SystemExit as stop: assert not stop.code, (words, stop.code)\n"
        "        print('<end>')\n"
    )
    shown = on_terminal(code, columns)
    assert shown.count("<end>") == 2 * len(HELPS), shown[-2000:]
    plain = STYLE.sub("", shown)
    assert "\x1b" not in plain
    assert "\\x1b[" not in plain
    assert [line for line in plain.splitlines() if len(line) > max(columns, 20)] == []
