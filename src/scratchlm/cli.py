"""The command line: each command is one call of a function that a program can call as well.

Only the named command's config is imported and parsed, so that `--help` answers without loading torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import Interrupted, UserError, nearest
from scratchlm.base.files import explain_os_error
from scratchlm.base.memory import keep_freed_memory
from scratchlm.base.paths import require_current_folder
from scratchlm.base.terminal import console, guarded, one_line
from scratchlm.base.waiting import wait_briefly
from scratchlm.command import HELP, Arguments, Command, imported
from scratchlm.commands import COMMANDS, GROUPS, experiment_command
from scratchlm.config.help import show_commands

PLAIN = "use --device cpu --dtype fp32"
PIPED_WIDTH = 180
"""Columns of a table that no terminal shows."""


def _show(result: Any, as_json: bool) -> None:
    """Print a result on stdout, each of several on a line of its own as it comes: JSON, or its readable form."""
    if isinstance(result, (list, Iterator)):
        for each in result:
            print(json.dumps(each.as_dict(), ensure_ascii=False) if as_json else each)
        return
    if isinstance(result, str | Path):
        print(result)
        return
    if as_json:
        print(json.dumps(result.as_dict(), ensure_ascii=False))
        return
    # No markup: what models and users write may hold brackets. In a file or a pipe a table need not fold.
    piped = not sys.stdout.isatty()
    width = PIPED_WIDTH if piped else None
    console(soft_wrap=piped, width=width, highlight=False, markup=False, emoji=False).print(result)


def _run(command: Command, arguments: Arguments) -> None:
    """Parse the config of a command, call its function, and print what that returns unless it is None."""
    config = command.from_arguments(arguments)
    result = command.function()(config)
    if result is not None:
        _show(result, getattr(config, "json", False))
    if command.program in AFTERWARDS:
        AFTERWARDS[command.program](config, result)


def _talk(config: Any, result: Any) -> None:
    """Open a chat with the model of a quickstart, on a terminal."""
    if config.chat and result.questions and sys.stdin.isatty() and sys.stdout.isatty():
        from scratchlm.generation.commands import chat
        from scratchlm.generation.config import ChatConfig

        chat(ChatConfig(model=config.out / "model"))


def _require_health(config: Any, result: Any) -> None:
    if failed := [check.name for check in result.checks if not check.passed]:
        remedy = "start ranks that are alike" if all(name.startswith("ranks") for name in failed) else PLAIN
        raise UserError(f"doctor: {', '.join(failed)}: differ; {remedy}")


AFTERWARDS: Mapping[str, Callable[[Any, Any], None]] = {"quickstart": _talk, "doctor": _require_health}
"""What a command does last on a terminal, with its config and its result."""
EXPERIMENT = "Test claims of the notes: one experiment, its numbers, its report."
TRAINING = ("quickstart", "plan", "pretrain", "timelapse", "finetune", "experiment")  # or time the steps of a training


def first_words() -> dict[str, str]:
    """Return the first word of each command, or group of commands, with its sentence."""
    sentences = {}
    for words, command in COMMANDS.items():
        if words == "quiz":  # the experiments stand before what asks about them
            sentences["experiment"] = EXPERIMENT
        first = words.split()[0]
        sentences[first] = GROUPS.get(first, command.says)
    return sentences


def _dispatch(arguments: Arguments, program: str = "") -> None:
    """Run the command that the arguments name, or list those that begin with the words of `program`."""
    words = [each.removeprefix(f"{program} ") for each in COMMANDS if each.startswith(f"{program} ")]
    sentences = {each: COMMANDS[f"{program} {each}"].says for each in words} if program else first_words()
    title = f"scratchlm {program}".strip()
    what = "COMMAND"
    if program == "experiment":
        sentences, what = {name: entry.asks for name, entry in imported("lab.catalogue:EXPERIMENTS").items()}, "NAME"
    if program in COMMANDS and (not arguments or (arguments[0].startswith("--") and arguments[0] not in HELP)):
        _run(COMMANDS[program], arguments)  # a group that is a command too
        return
    if not arguments or arguments[0] in HELP or (program == "experiment" and arguments[0] == "--list"):
        show_commands(title, sentences, what)
        if not arguments:
            raise SystemExit(2)
        return
    first, rest = arguments[0], arguments[1:]
    if first == "--version" and not program:
        from scratchlm import __version__

        print(__version__)
    elif program == "experiment":
        _run(experiment_command(first), rest)
    elif first not in sentences:
        print(f"{title}: unknown command {first!r}; {nearest(first, sentences)}", file=sys.stderr)
        raise SystemExit(2)
    elif not program and (first in GROUPS or first == "experiment"):
        _dispatch(rest, first)
    else:
        _run(COMMANDS[f"{program} {first}".strip()], rest)


def main(arguments: Arguments | None = None) -> None:
    """Run one command; exits with 0, 1 after a user's mistake, 2 for wrong usage, 130 when stopped."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by <&-
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # what is not UTF-8 shows as ? instead of failing
    words = sys.argv[1:] if arguments is None else arguments
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    is_first = alone or os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks for all
    if not is_first:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    if words and words[0] in TRAINING:
        keep_freed_memory()  # this process is the command's own; `fit` leaves a program's as it is
        wait_briefly()
    try:
        require_current_folder()
        with guarded():
            _dispatch(words)
    except UserError as error:
        print(one_line(f"scratchlm: {error}"), file=sys.stderr)
        raise SystemExit(1) from None
    except (Interrupted, KeyboardInterrupt) as request:
        if is_first:
            print(one_line(f"scratchlm: {str(request) or 'interrupted'}"), file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nobody to write to
        raise SystemExit(1) from None
    except OSError as error:  # of a file that a command did not foresee
        place = error.filename if error.filename is not None else "a file that this command writes or reads"
        print(one_line(f"scratchlm: {explain_os_error(error, place)}"), file=sys.stderr)
        raise SystemExit(1) from None
    except MemoryError:
        print("scratchlm: out of memory; lower the batch, the sequence length or the model's size", file=sys.stderr)
        raise SystemExit(1) from None
