"""What commands show on a real terminal (a pseudo-terminal): help that fits it, nothing that it would not show."""

from __future__ import annotations

import pytest

from scratchlm.commands import COMMANDS
from terminal.pseudo import STYLE, on_terminal

HELPS = [[], ["tokenizer"], ["finetune"], ["experiment"], ["experiment", "limits"]]
HELPS += [each.program.split() for each in COMMANDS.values()]


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
