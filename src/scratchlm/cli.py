"""The command line: each verb is one call of a function that a program can call as well.

Only the named verb's config is imported and parsed, so that `--help` answers without loading torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchlm import verbs
from scratchlm.base.errors import Interrupted, UserError, nearest
from scratchlm.base.files import explain_os_error
from scratchlm.base.memory import keep_freed_memory
from scratchlm.base.paths import require_current_folder
from scratchlm.base.terminal import console, guarded, one_line
from scratchlm.base.waiting import wait_briefly
from scratchlm.config.help import show_commands
from scratchlm.verb import HELP, Arguments, Verb

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


def _command(verb: Verb[Any], after: Callable[[Any, Any], None] | None = None) -> Callable[[Arguments], None]:
    """Make a command of a verb: parse its config, call its function, print what it returns unless that is None.

    `after` is called last, with the config and the result.
    """

    def call(arguments: Arguments) -> None:
        config = verb.from_arguments(arguments)
        result = verb.run(config)
        if result is not None:
            _show(result, getattr(config, "json", False))
        if after is not None:
            after(config, result)

    call.__doc__ = verb.says
    return call


def _group(program: str, says: str, commands: Mapping[str, Verb[Any]]) -> Callable[[Arguments], None]:
    """Make a command of several."""

    def call(arguments: Arguments) -> None:
        _dispatch({name: _command(verb) for name, verb in commands.items()}, arguments, f"scratchlm {program}")

    call.__doc__ = says
    return call


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


def _experiment(arguments: Arguments) -> None:
    """Test claims of the notes: one experiment, its numbers, its report."""
    from scratchlm.lab.catalogue import EXPERIMENTS

    program = "scratchlm experiment"
    if not arguments or arguments[0] in (*HELP, "--list"):
        show_commands(program, {name: entry.asks for name, entry in EXPERIMENTS.items()}, "NAME")
        if not arguments:
            raise SystemExit(2)
        return
    _command(verbs.experiment_verb(arguments[0]))(arguments[1:])


VERBS: Mapping[str, Callable[[Arguments], None]] = {
    "quickstart": _command(verbs.QUICKSTART, _talk),
    "doctor": _command(verbs.DOCTOR, _require_health),
    "tokenizer": _group(
        "tokenizer",
        "Train, inspect and compare tokenizers.",
        {"train": verbs.TRAIN_TOKENIZER, "inspect": verbs.INSPECT_TOKENIZER, "compare": verbs.COMPARE_TOKENIZERS},
    ),
    "prepare": _command(verbs.PREPARE),
    "plan": _command(verbs.PLAN),
    "pretrain": _command(verbs.PRETRAIN),
    "timelapse": _command(verbs.TIMELAPSE),
    "synthesize": _command(verbs.SYNTHESIZE),
    "finetune": _group(
        "finetune",
        "Teach a model: classes, answers, preferences, or by rewards.",
        {
            "classify": verbs.FINETUNE_CLASSIFY,
            "instruct": verbs.FINETUNE_INSTRUCT,
            "prefer": verbs.FINETUNE_PREFER,
            "reinforce": verbs.FINETUNE_REINFORCE,
        },
    ),
    "classify": _command(verbs.CLASSIFY),
    "evaluate": _command(verbs.EVALUATE),
    "generate": _command(verbs.GENERATE),
    "chat": _command(verbs.CHAT),
    "serve": _command(verbs.SERVE),
    "inspect": _command(verbs.INSPECT),
    "import": _command(verbs.IMPORT),
    "export": _command(verbs.EXPORT),
    "quantize": _command(verbs.QUANTIZE),
    "experiment": _experiment,
    "quiz": _command(verbs.QUIZ),
    "completion": _command(verbs.COMPLETION),
}


TRAINING = ("quickstart", "plan", "pretrain", "timelapse", "finetune", "experiment")  # or time the steps of a training


def _dispatch(verbs: Mapping[str, Callable[[Arguments], None]], arguments: Arguments, program: str) -> None:
    """Call the named verb, or list them."""
    if not arguments or arguments[0] in HELP:
        show_commands(program, {name: (verb.__doc__ or "").splitlines()[0] for name, verb in verbs.items()})
        if not arguments:
            raise SystemExit(2)
        return
    if arguments[0] == "--version" and program == "scratchlm":
        from scratchlm import __version__

        print(__version__)
        return
    if arguments[0] not in verbs:
        print(f"{program}: unknown command {arguments[0]!r}; {nearest(arguments[0], verbs)}", file=sys.stderr)
        raise SystemExit(2)
    verbs[arguments[0]](arguments[1:])


def main(arguments: Arguments | None = None) -> None:
    """Run one command; exits with 0, 1 after a user's mistake, 2 for wrong usage, 130 when stopped."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by <&-
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # what is not UTF-8 shows as ? instead of failing
    given = sys.argv[1:] if arguments is None else arguments
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    is_first = alone or os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks for all
    if not is_first:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    if given and given[0] in TRAINING:
        keep_freed_memory()  # this process is the command's own; `fit` leaves a program's as it is
        wait_briefly()
    try:
        require_current_folder()
        with guarded():
            _dispatch(VERBS, given, "scratchlm")
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
