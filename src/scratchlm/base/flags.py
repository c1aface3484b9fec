"""Flags from config dataclasses, by tyro; its boxed error messages become one line."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import re
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import tyro
from tyro.conf import Positional, arg

from scratchlm.base.config import is_required, renamed_path
from scratchlm.base.terminal import one_line

T = TypeVar("T")

ModelFolder = Positional[Annotated[Path, arg(metavar="MODEL")]]
"""A model that a command needs."""
Sources = Positional[
    Annotated[tuple[str, ...], arg(metavar="SOURCE [SOURCE ...]", help_behavior_hint="(required: one or more)")]
]
"""Texts that a command needs, one or more."""
UnlessResumed = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(required, except with --resume)")]
"""A path that a new run needs and a resumed one knows."""


def parse(
    cls: type[T], arguments: Sequence[str], program: str, default: T | None = None, description: str | None = None
) -> T:
    """Turn command-line arguments into a config.

    A field whose type is a union of parts keeps the part that `default` holds; its settings are flags. Wrong usage
    prints one line on stderr and exits with 2: every required argument that is missing is named in it.
    """
    arguments = renamed_flags(cls, default, arguments)
    default = _emptied(default, arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            config = tyro.cli(
                cls, args=list(arguments), prog=program, description=description, compact_help=False,
                default=default if default is not None else tyro.MISSING_NONPROP,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.UseAppendAction),
            )  # fmt: skip
    except SystemExit as stop:
        if stop.code:
            boxed = printed.getvalue()
            if missing := _missing(boxed):
                wrong_usage(program, _are_missing([*_empty_in(cls, arguments, missing), *missing]))
            wrong_usage(program, _one_line(boxed))
        raise
    if empty := _empty(config):
        wrong_usage(program, _are_missing(empty))
    return config


def wrong_usage(program: str, problem: str) -> NoReturn:
    """Say on stderr, in one line, what is wrong with a command, and exit with 2."""
    problem = problem.removeprefix(f"{program.removeprefix('scratchlm ')}: ")
    print(one_line(f"{program}: {problem}; see {program} --help"), file=sys.stderr)
    raise SystemExit(2)


def given(arguments: Sequence[str]) -> dict[str, str | None]:
    """Return the flags of a command line by their fields' dotted names, each with the text that follows, or None.

    >>> given(["run", "--training.batch-size", "4", "--depth=3", "--force"])
    {'training.batch_size': '4', 'depth': '3', 'force': None}
    """
    found: dict[str, str | None] = {}
    for index, argument in enumerate(arguments):
        if not argument.startswith("--"):
            continue
        name, equals, value = argument[2:].partition("=")
        after = arguments[index + 1] if index + 1 < len(arguments) else None
        found[name.replace("-", "_")] = value if equals else None if after is None or after.startswith("--") else after
    return found


def renamed_flags(cls: Any, default: Any, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with each flag by the name that its field has today."""
    return [_renamed_flag(cls, default, each) if each.startswith("--") else each for each in arguments]


def _renamed_flag(cls: Any, default: Any, argument: str) -> str:
    name, equals, value = argument[2:].partition("=")
    places, dot, last = name.rpartition(".")
    negated = "no-" if last.startswith("no-") else ""
    path = f"{places}{dot}{last.removeprefix(negated)}".replace("-", "_")
    today = renamed_path(cls, default, path)
    if today == path:
        return argument
    places, dot, last = today.replace("_", "-").rpartition(".")
    return f"--{places}{dot}{negated}{last}{equals}{value}"


def _emptied(default: T | None, arguments: Sequence[str]) -> T | None:
    """Return the default without the lists that are given on the command line: what is given stands in their place."""
    copied = copy.copy(default)
    for name, value in vars(default).items() if default is not None else ():
        if isinstance(value, tuple) and name in given(arguments):
            object.__setattr__(copied, name, ())  # a copy that nobody sees: its checks run on what is parsed
    return copied


def _metavar(cls: type, name: str) -> list[str]:
    """Return the words that stand for a positional argument in the help, repeated ones once."""
    hint = typing.get_type_hints(cls, include_extras=True)[name]
    words = [each.metavar for each in getattr(hint, "__metadata__", ()) if getattr(each, "metavar", None)]
    return re.sub(r" \[.*?\]", "", words[0]).split() if words else [name.upper()]


def _empty(config: object) -> list[str]:
    """Name the positional arguments that must hold something and hold nothing; tyro takes none for an empty list."""
    fields = dataclasses.fields(config)  # type: ignore[arg-type]
    empty = [each.name for each in fields if is_required(each) and getattr(config, each.name) == ()]
    return [word for name in empty for word in _metavar(type(config), name)]


def _empty_in(cls: type, arguments: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Name the empty positional arguments of a command whose required flags are missing too."""
    name = "missing.jsonl"  # which passes every check of a path
    flags = [word for flag in missing if flag.startswith("--") for word in (flag, name)]
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        return _empty(tyro.cli(cls, args=[*arguments, *flags], config=(tyro.conf.AvoidSubcommands,)))
    return []


def _missing(boxed: str) -> list[str]:
    """Return the required arguments that tyro's box lists as missing, as the help spells them."""
    if "Missing from" not in boxed:
        return []
    listed = boxed.partition("Missing from")[2].partition("For full helptext")[0]
    return re.findall(r"^[│ ] {5}(\S+)", listed, re.MULTILINE)  # the box has no edge where a terminal shows none


def _are_missing(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are missing" if others else f"{last} is missing"


def _one_line(boxed: str) -> str:
    """Reduce tyro's box to what was wrong and the nearest flags."""
    lines = [line.strip("│╭╮╰╯─ ") for line in boxed.splitlines()]
    rule = next((i for i, line in enumerate(boxed.splitlines()) if re.match(r"^│ ─+ │", line)), len(lines))
    end = next((i for i, line in enumerate(lines) if line.startswith("For full helptext")), rule)
    wrong = " ".join(line for line in lines[1 : min(rule, end)] if line.strip("-─"))
    wrong = re.sub(r"^Error parsing \w+: ", "", wrong)
    near = [line.split()[0].rstrip(",") for line in lines[rule:] if line.startswith("--") and "--help" not in line]
    offer = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if "Unrecognized" in wrong and near else ""
    return f"{wrong}{offer}"
