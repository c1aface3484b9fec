"""What commands show on a real terminal (a pseudo-terminal): help that fits it, nothing that it would not show."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import pytest

from scratchlm import verbs
from scratchlm.config.completion import CompletionConfig
from scratchlm.training.config import ScheduleConfig
from scratchlm.verb import Verb
from terminal.pseudo import STYLE, on_terminal

SCHEDULE = [each.name.replace("_", "-") for each in dataclasses.fields(ScheduleConfig)]
HELPS = [[], ["tokenizer"], ["finetune"], ["experiment"], ["experiment", "limits"]]
HELPS += [each.program.split() for each in vars(verbs).values() if isinstance(each, Verb)]


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


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pre"], ["prepare", "pretrain"]),
        (["finetune", "in"], ["instruct"]),
        (["finetune", "instruct", "--lo"], ["--lora"]),
        (["pretrain", "tiny", "--dtype", "f"], ["fp32", "fp16"]),
        (["pretrain", "--training.sched"], [f"--training.schedule.{each}" for each in SCHEDULE]),
        (["experiment", "lim"], ["limits"]),
        (["experiment", "limits", "--sm"], ["--small"]),
        (["generate", "mod"], []),
    ],
    ids=" ".join,
)
def test_bash_completes_commands_flags_and_values(words: list[str], offered: list[str]) -> None:
    script = verbs.completion(CompletionConfig("bash"))
    spelled = " ".join(f"'{word}'" for word in ["scratchlm", *words])
    asked = f'{script}\nCOMP_WORDS=({spelled}) COMP_CWORD={len(words)}\n_scratchlm\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line] == offered
    assert done.stderr == ""


def test_fish_is_told_of_every_command_and_flag() -> None:
    script = verbs.completion(CompletionConfig("fish"))
    assert "-l training.batch-size" in script
    assert script.count("'") % 2 == 0
