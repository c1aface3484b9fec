"""`scratchlm completion`: the real shells offer commands, flags and values."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from scratchlm.commands import completion
from scratchlm.config.completion import CompletionConfig
from scratchlm.training.config import ScheduleConfig
from terminal.pseudo import Terminal

SCHEDULE = [each.name.replace("_", "-") for each in dataclasses.fields(ScheduleConfig)]
CASES = [
    ("pre", ["prepare", "pretrain"]),
    ("finetune in", ["instruct"]),
    ("finetune instruct --lora", ["--lora"]),
    ("pretrain tiny --dtype fp", ["fp32", "fp16"]),
    ("pretrain --training.sched", [f"--training.schedule.{each}" for each in SCHEDULE]),
    ("experiment lim", ["limits"]),
    ("experiment limits --smal", ["--small"]),
    ("completion z", ["zsh"]),
    ("classify model --lora", []),  # a flag of `finetune classify` alone
    ("generate model --help", ["--help", "--help-all"]),
    ("generate mod", []),
]
cases = pytest.mark.parametrize(("line", "offered"), CASES, ids=[line for line, _ in CASES])


def installed(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file with the script of the shell that a test names."""
    shell: Literal["bash", "zsh", "fish"] = request.param
    path = tmp_path / f"completion.{shell}"
    path.write_text(completion(CompletionConfig(shell)) + "\n", encoding="utf-8")
    return path


@installed("bash")
@pytest.mark.parametrize("script", ["bash"], indirect=True)
@cases
def test_bash_completes(script: Path, line: str, offered: list[str]) -> None:
    words = ["scratchlm", *line.split()]
    spelled = " ".join(f"'{word}'" for word in words)
    asked = f'COMP_WORDS=({spelled}) COMP_CWORD={len(words) - 1}\n_scratchlm\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", f"source '{script}'\n{asked}"], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(offered)
    assert done.stderr == ""


@installed("fish")
@pytest.mark.parametrize("script", ["fish"], indirect=True)
@cases
def test_fish_completes(script: Path, line: str, offered: list[str], tmp_path: Path) -> None:
    asked = f"source '{script}'; complete -C 'scratchlm {line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    words = [each.split("\t")[0] for each in done.stdout.splitlines()]
    # fish also offers flags that hold the letters elsewhere, after those that begin with them
    assert sorted(word for word in words if word.startswith(line.split()[-1])) == sorted(offered)
    assert done.stderr == ""


@installed("zsh")
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_completes_on_a_terminal(script: Path, tmp_path: Path) -> None:
    (tmp_path / ".zshrc").write_text(f"autoload -U compinit; compinit -u\nsource '{script}'\nPS1='ready> '\n")
    start = f"import os\nos.environ.update(HOME={str(tmp_path)!r}, ZDOTDIR={str(tmp_path)!r})\n"
    start += "os.chdir(os.environ['HOME'])\nos.execvp('zsh', ['zsh', '-d', '-i'])\n"
    with Terminal(code=start) as terminal:
        terminal.wait_until(lambda lines: bool(lines) and lines[-1] == "ready>", "the prompt")
        for typed, completed in (
            ("scratchlm quan", "scratchlm quantize"),
            ("scratchlm finetune inst", "scratchlm finetune instruct"),
            ("scratchlm experiment limits --smal", "scratchlm experiment limits --small"),
            ("scratchlm completion z", "scratchlm completion zsh"),
        ):
            terminal.press(typed.encode() + b"\t")
            wanted = f"ready> {completed}"
            terminal.wait_until(lambda lines, wanted=wanted: lines[-1] == wanted, wanted)  # type: ignore[misc]
            terminal.press(b"\x15")  # Ctrl-U empties the line
            terminal.wait_until(lambda lines: lines[-1] == "ready>", "an empty line")
        terminal.press(b"\x04")
        terminal.end()


def test_quotes_of_the_fish_script_are_closed() -> None:
    script = completion(CompletionConfig("fish"))
    assert "-l training.batch-size" in script
    assert script.count("'") % 2 == 0
