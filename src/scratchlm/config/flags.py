"""A command line read into given values, by the dotted names of the settings that they are for."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from scratchlm.base.terminal import one_line
from scratchlm.config.settings import Place, Setting, value_of

SHORT = {"lr": "learning-rate", "wd": "weight-decay"}
"""Words that people write for the last word of a flag."""
LEAST_ALIKE = 0.6
"""Least similarity of a flag that is offered for an unknown one, of 1."""


@dataclass
class CommandLine:
    """What a command line says: the values by dotted name, and what is wrong with it."""

    given: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    """Problems of flags that no setting has, by the dotted name that they would be of."""
    problems: list[str] = field(default_factory=list)


def read_line(arguments: Sequence[str], known: Sequence[Setting]) -> CommandLine:
    """Read a command line. A wrong one is read to its end, so that all its problems can be reported at once.

    A flag may be given by its last words: `--steps` is `--training.steps`, the least nested setting of that name.
    After `--`, nothing is a flag.
    """
    line, flags, places = CommandLine(), _by_flag(known), [each for each in known if each.place is Place.FIRST]
    words: dict[str, list[str]] = {}
    rest, plain = list(arguments), False
    while rest:
        argument = rest.pop(0)
        if argument == "--" and not plain:
            plain = True
        elif not plain and re.match(r"--|-[A-Za-z]\w*$", argument):
            _read_flag(argument, rest, flags, words, line)
        elif not places:
            line.problems.append(f"{argument!r}: is one argument too many")
        else:
            words.setdefault(places[0].path, []).append(argument)
            places = places if places[0].many else places[1:]
    for setting in known:
        if setting.path in words:
            try:
                line.given[setting.path] = value_of(setting, words[setting.path])
            except ValueError as error:
                line.problems.append(f"{setting.flag} {' '.join(words[setting.path])[:80]}: {error}")
    return line


def _by_flag(known: Sequence[Setting]) -> dict[str, Setting]:
    return {each.flag: each for each in known if each.place is not Place.FIRST}


def _read_flag(
    argument: str, rest: list[str], flags: Mapping[str, Setting], words: dict[str, list[str]], line: CommandLine
) -> None:
    """Read one flag, and the words of its value from `rest`."""
    name, equals, value = argument.partition("=")
    setting, off = _setting_of(name, flags)
    if setting is None:
        line.unknown[name.lstrip("-").replace("-", "_")] = f"{name}: is unknown{_offer(name, flags)}"
        if not equals and rest and not rest[0].startswith("--"):
            rest.pop(0)  # its value, most likely
        return
    if setting.values == 0:
        words[setting.path] = [value] if equals else ["false" if off else "true"]
        if equals and off:
            line.problems.append(f"{argument}: takes no value; leave out what follows the equals sign")
        return
    following = [value] if equals else []
    while len(following) < setting.values and rest and not rest[0].startswith("--"):
        following.append(rest.pop(0))
    if len(following) < setting.values:
        wanted = "a value" if setting.values == 1 else f"{setting.values} values"
        line.problems.append(f"{name}: needs {wanted}, {setting.metavar}")
    else:
        words[setting.path] = [*words.get(setting.path, []), *following] if setting.many else following


def _setting_of(name: str, flags: Mapping[str, Setting]) -> tuple[Setting | None, bool]:
    """Return the setting of a flag and whether the flag turns it off; None for a flag that is unknown or ambiguous."""
    before, dot, last = name.removeprefix("--").rpartition(".")
    last = SHORT.get(last, last)
    names = {f"--{before}{dot}{last}": False}
    if last.startswith("no-"):
        names[f"--{before}{dot}{last.removeprefix('no-')}"] = True
    for full, off in names.items():
        setting = flags.get(full)
        if setting is not None and (setting.values == 0 or not off):
            return setting, off
    for full, off in names.items():
        setting = _by_ending(full.removeprefix("--"), flags)
        if setting is not None and (setting.values == 0 or not off):
            return setting, off
    return None, False


def _by_ending(words: str, flags: Mapping[str, Setting]) -> Setting | None:
    """Return the setting whose flag ends with these words and is the least nested; None where there is no one such."""
    ending = {each.path: each for each in flags.values() if each.flag.endswith(f".{words}")}
    depths = sorted(path.count(".") for path in ending)
    if not depths or depths[1:2] == depths[:1]:
        return None
    return min(ending.values(), key=lambda each: each.path.count("."))


def _offer(name: str, flags: Mapping[str, Setting]) -> str:
    """Return the flags that an unknown one may have meant, as the end of a sentence."""

    def likeness(flag: str) -> float:
        pairs = ((name, flag), (name.lstrip("-").rpartition(".")[2], flag.lstrip("-").rpartition(".")[2]))
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    scores = {flag: likeness(flag) for flag in flags}
    near = sorted((flag for flag in scores if scores[flag] >= LEAST_ALIKE), key=lambda flag: -scores[flag])[:2]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def missing(known: Sequence[Setting], line: CommandLine) -> list[str]:
    """Name what is required and was not given, as the help spells it."""
    names: list[str] = []
    for each in known:
        if each.required and each.path not in line.given:
            words = re.sub(r" \[.*?\]", "", each.spelling.metavar or each.path.upper())
            names += words.split() if each.place is Place.FIRST else [each.flag]
    if not names:
        return []
    *others, last = names
    return [f"{', '.join(others)} and {last} are missing" if others else f"{last} is missing"]


def wrong_usage(program: str, problem: str) -> NoReturn:
    """Say on stderr, in one line, what is wrong with a command, and exit with 2."""
    problem = problem.removeprefix(f"{program.removeprefix('scratchlm ')}: ")
    print(one_line(f"{program}: {problem}; see {program} --help"), file=sys.stderr)
    raise SystemExit(2)
