"""The help of a command, filled to the width of the terminal that shows it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from scratchlm.base.terminal import raw, visible
from scratchlm.config.settings import Place, Setting

WIDEST, NARROWEST = 100, 20
"""Columns of a help: no more than are easy to read, no fewer than hold a word."""
COLUMN = 28
"""Column where explanations begin, where the terminal is wide enough for two."""
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


def columns() -> int:
    """Return the columns to fill: those of the terminal, or of COLUMNS, within what can be read."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


@dataclass(frozen=True)
class HelpEntry:
    """A name, such as a flag with what stands for its value, and its explanation."""

    name: str
    says: str


def show(parts: Sequence[str | Sequence[HelpEntry]]) -> None:
    """Print paragraphs and lists of entries on stdout, names in bold on a terminal."""
    stream, width = raw(sys.stdout), columns()
    bold = stream.isatty() and "NO_COLOR" not in os.environ
    blocks = []
    for part in parts:
        lines = _filled(part, width, "") if isinstance(part, str) else _listed(part, width, bold)
        blocks.append("\n".join(lines))
    stream.write("\n\n".join(blocks) + "\n")


def _filled(text: str, width: int, indent: str) -> list[str]:
    """Return a text in lines; a flag, a path or a word that is longer than a line is cut."""
    lines = textwrap.wrap(visible(text), width, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [""]


def _listed(entries: Sequence[HelpEntry], width: int, bold: bool) -> Iterator[str]:
    """Yield the lines of entries: name and explanation beside each other, or below where there is no room for both."""
    longest = max((len(each.name) for each in entries), default=0)
    beside = width >= 2 * COLUMN
    column = min(COLUMN, longest + 4) if beside else 6
    for entry in entries:
        names = textwrap.wrap(visible(entry.name), width - 2, subsequent_indent="  ", break_on_hyphens=False)
        says = _filled(entry.says, width - column, "")
        shown = [f"  {BOLD}{each}{PLAIN}" if bold else f"  {each}" for each in names]
        if beside and len(names) == 1 and len(entry.name) + 4 <= column:
            yield f"{shown[0]}{' ' * (column - 2 - len(entry.name))}{says.pop(0)}".rstrip()
        else:
            yield from shown
        yield from (f"{' ' * column}{line}" for line in says if line)


def show_settings(
    program: str, says: str, known: Sequence[Setting], base: Any, *, common: Sequence[str] | None = None
) -> None:
    """Print a command's help: the settings that people change most, or all of them, those of its parts too.

    `base` holds the values where nothing is given. `common` names fields that are shown beside what must be given; if
    it is empty, all but those of parts are shown, and everything if it is None.
    """
    parts: dict[str, list[Setting]] = {}
    for each in known:
        parts.setdefault(each.flag.removeprefix("--").rpartition(".")[0], []).append(each)
    own = parts.pop("", [])
    first = [each for each in own if each.place is Place.FIRST]
    shown = [*first, *(each for each in own if each not in first)]
    if common:
        shown = [
            each
            for each in shown
            if each.required or each.place is Place.FIRST or each.path.rpartition(".")[2] in common
        ]
    needed = [f"{each.flag} {each.metavar}" for each in own if each.required and each not in first]
    blocks: list[str | Sequence[HelpEntry]] = [
        " ".join([f"usage: {program}", *map(_spelled, first), *needed, "[settings]"]),
        *(" ".join(paragraph.split()) for paragraph in says.split("\n\n")),
        [_entry(each, base) for each in shown],
    ]
    if common is None:
        for name, inner in parts.items():
            blocks += [f"{name}:", [_entry(each, base) for each in inner]]
    elif len(shown) < len(known):
        names = sorted({name.partition(".")[0] for name in parts})
        of_parts = f", also of {' and '.join(names)}" if names else ""
        blocks.append(f"{len(known) - len(shown)} more settings{of_parts}: {program} --help-all")
    show(blocks)


def _spelled(setting: Setting) -> str:
    """Return the words that stand for an argument that is given by its place, in brackets if it may be left out."""
    words = setting.spelling.metavar or setting.path.upper()
    if setting.required or setting.spelling.required:
        return words
    return f"[{words} ...]" if setting.many else f"[{words}]"


def _entry(setting: Setting, base: Any) -> HelpEntry:
    if setting.place is Place.FIRST:
        name = _spelled(setting)
    elif setting.values == 0:
        name = setting.flag
    else:
        name = f"{setting.flag} {setting.metavar}"
    value = _value(base, setting.path)
    if setting.spelling.required or setting.required:
        note = f" ({setting.spelling.required or 'required'})"
    elif setting.values == 0:
        places, dot, last = setting.flag.rpartition(".")
        off = f"{places}{dot}no-{last}" if dot else f"--no-{setting.flag.removeprefix('--')}"
        note = f" (default: yes; {off} turns it off)" if value else ""
    elif value is None or value in ((), ""):
        note = ""
    else:
        note = f" (default: {', '.join(map(str, value)) if isinstance(value, tuple) else value})"
    return HelpEntry(name, f"{setting.says}{note}".strip())


def _value(base: Any, path: str) -> Any:
    """Return the value of a setting in a config, None where it has no such part."""
    try:
        return attrgetter(path)(base)
    except AttributeError:
        return None


def show_commands(program: str, sentences: Mapping[str, str], what: str = "COMMAND") -> None:
    """Print the commands of a program, or what else it takes first, each with a sentence."""
    entries = [HelpEntry(name, says) for name, says in sentences.items()]
    show([f"usage: {program} {what} ...", entries, f"{program} {what} --help shows its flags."])
