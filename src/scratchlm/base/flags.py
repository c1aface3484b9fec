"""Flags from config dataclasses, by tyro; its boxed error messages become one line."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def parse(cls: type[T], arguments: Sequence[str], program: str, default: T | None = None) -> T:
    """Turn command-line arguments into a config.

    A field whose type is a union of parts keeps the part that `default` holds; its settings are flags. Wrong usage
    prints one line on stderr and exits with 2.
    """
    import tyro

    default = _emptied(default, arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                cls,
                args=list(arguments),
                prog=program,
                default=default if default is not None else tyro.MISSING_NONPROP,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.UseAppendAction),
                compact_help=False,
            )
    except SystemExit as stop:
        if stop.code:
            print(_one_line(printed.getvalue(), program), file=sys.stderr)
        raise


def _emptied(default: T | None, arguments: Sequence[str]) -> T | None:
    """Return the default without the lists that are given on the command line: what is given stands in their place."""
    given = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    copied = copy.copy(default)
    for name, value in vars(default).items() if default is not None else ():
        if isinstance(value, tuple) and f"--{name.replace('_', '-')}" in given:
            object.__setattr__(copied, name, ())  # a copy that nobody sees: its checks run on what is parsed
    return copied


def _one_line(boxed: str, program: str) -> str:
    """Reduce tyro's box to what was wrong and the nearest flags."""
    lines = [line.strip("│╭╮╰╯─ ") for line in boxed.splitlines()]
    rule = next((i for i, line in enumerate(boxed.splitlines()) if re.match(r"^│ ─+ │", line)), len(lines))
    end = next((i for i, line in enumerate(lines) if line.startswith("For full helptext")), rule)
    wrong = " ".join(line for line in lines[1 : min(rule, end)] if line.strip("-─"))
    near = [line.split()[0] for line in lines[rule:] if line.startswith("--") and "--help" not in line]
    offer = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if "Unrecognized" in wrong and near else ""
    return f"{program}: {wrong}{offer}; see {program} --help"
