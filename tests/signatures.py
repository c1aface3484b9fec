"""Writes `src/scratchlm/__init__.pyi`: what editors and type checkers know of `import scratchlm`.

    python tests/signatures.py

The signatures are read off the configs; a test compares the file with what this writes. Lines are filled, not one
parameter each, so the formatter and the sorter of imports are told to leave the file alone.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import scratchlm
from scratchlm.commands import FUNCTIONS, docstring_of, experiment_command, parameters_of
from scratchlm.config.calls import parameters
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.lab.harness.outcome import Outcome

STUB = Path(scratchlm.__file__).with_suffix(".pyi")
WIDTH = 120
HEAD = '''"""What editors and type checkers know of this package. Written by tests/signatures.py; do not edit."""
# fmt: off
# ruff: isort: skip_file

'''


def quoted(value: Any) -> str:
    """Spell a plain value, a text in the quotes of this package."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def packed(before: str, parts: Sequence[str], after: str) -> str:
    """Return parts between brackets: on one line, or on as few as hold them."""
    whole = f"{before}{', '.join(parts)}{after}"
    if len(whole) <= WIDTH:
        return whole
    lines = [""]
    for part in (f"{part}," for part in parts):
        lines = [*lines[:-1], f"{lines[-1]} {part}"] if len(lines[-1]) + len(part) < WIDTH - 4 else [*lines, f" {part}"]
    return "\n".join([before, *(f"   {line}" for line in lines), after])


class Spelling:
    """Spells types and notes what must be imported for them."""

    def __init__(self) -> None:
        self.imports: defaultdict[str, set[str]] = defaultdict(set)
        self.imports["typing"] |= {"Any", "Literal", "overload"}
        self.imports["collections.abc"] |= {"Callable", "Iterable", "Iterator", "Mapping", "Sequence"}
        self.imports["pathlib"] |= {"Path"}

    def use(self, *kinds: Any) -> None:
        """Note what must be imported."""
        for kind in kinds:
            self.imports[kind.__module__].add(kind.__name__)

    def of(self, hint: Any, *, accepted: bool) -> str:
        """Spell a type; where it is `accepted`, text does for a path, and one text or any sequence for a list."""
        arguments = typing.get_args(hint)
        if hint is type(None) or hint is None:
            return "None"
        if hint is Any:
            return "Any"
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            kinds = sorted(arguments, key=lambda each: each is type(None))
            return " | ".join(dict.fromkeys(self.of(each, accepted=accepted) for each in kinds))
        if typing.get_origin(hint) is Literal:
            return f"Literal[{', '.join(map(quoted, arguments))}]"
        if hint is Path and accepted:
            return "str | Path"
        if typing.get_origin(hint) is tuple and accepted and Ellipsis in arguments:
            one = "str | Path" if arguments[0] in (str, Path) else self.of(arguments[0], accepted=True)
            return f"{one} | Sequence[{one}]" if arguments[0] in (str, Path) else f"Sequence[{one}]"
        if typing.get_origin(hint) is Callable:
            taken = ", ".join(self.of(each, accepted=False) for each in arguments[0])
            return f"Callable[[{taken}], {self.of(arguments[1], accepted=False)}]"
        if arguments:
            inner = ", ".join("..." if each is Ellipsis else self.of(each, accepted=accepted) for each in arguments)
            return f"{typing.get_origin(hint).__name__}[{inner}]"
        if hint.__module__ not in ("builtins", "pathlib", "collections.abc"):
            self.use(hint)
        return hint.__name__

    def parameter(self, each: inspect.Parameter) -> str:
        spelled = f"{each.name}: {self.of(each.annotation, accepted=True)}"
        if each.default is inspect.Parameter.empty:
            return spelled
        plain = each.default is None or isinstance(each.default, str | int | float) or each.default == ()
        return f"{spelled} = {quoted(each.default)}" if plain else f"{spelled} = ..."


def function(
    spelling: Spelling, name: str, first: Sequence[str], known: Sequence[inspect.Parameter], returned: Any
) -> str:
    """Write a function that takes settings by name."""
    placed = [spelling.parameter(each) for each in known if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = [spelling.parameter(each) for each in known if each.kind is inspect.Parameter.KEYWORD_ONLY]
    told = [*first, *placed, *(["*", *named] if named else [])]
    return packed(f"def {name}(", told, f") -> {spelling.of(returned, accepted=False)}: ...")


def command(spelling: Spelling, name: str) -> list[str]:
    """Write a command: called with its settings, or with one config; its own objects go with both."""
    entry = FUNCTIONS[name]
    config, hints = entry.config(), typing.get_type_hints(entry.function())
    known = parameters_of(name, hints)
    beside = [f"{key}: {spelling.of(hints[key], accepted=False)} = None" for key in entry.objects]
    by_name = function(spelling, name, [], known, hints["return"])
    spelling.use(config)
    taken = [f"config: {config.__name__}", "/", *(["*", *beside] if beside else [])]
    by_config = packed(f"def {name}(", taken, f") -> {spelling.of(hints['return'], accepted=False)}: ...")
    told = textwrap.indent(docstring_of(name), "    ").strip()
    raw = "r" if "\\" in told else ""
    first = by_name.removesuffix(" ...") + f'\n    {raw}"""{told}\n    """\n'
    return [f"@overload\n{call}" for call in (first, by_config)]


def experiments(spelling: Spelling) -> list[str]:
    """Write the command of each experiment."""
    found = []
    for name, entry in EXPERIMENTS.items():
        spelling.use(Outcome, entry.config)
        first = f"name: Literal[{quoted(name)}]"
        known = parameters(entry.config, experiment_command(name).hidden)
        found.append(f"@overload\n{function(spelling, 'experiment', [first], known, Outcome)}")
        found.append(f"@overload\ndef experiment({first}, config: {entry.config.__name__}, /) -> Outcome: ...")
    return found


def rendered() -> str:
    """Return the whole file."""
    spelling = Spelling()
    body = [text for name in sorted(FUNCTIONS) for text in command(spelling, name)] + experiments(spelling)
    for name, home in scratchlm._HOMES.items():
        if name != "experiment":
            spelling.imports[f"scratchlm.{home}"].add(name)
    lines = []
    for module, names in sorted(spelling.imports.items(), key=lambda item: (item[0].startswith("scratchlm"), item[0])):
        told = f"from {module} import {', '.join(sorted(names))}"
        lines.append(told if len(told) <= WIDTH else packed(f"from {module} import (", sorted(names), ")"))
    names = packed("__all__ = [", [*map(quoted, sorted(scratchlm.__all__))], "]")
    return HEAD + "\n".join([*lines, "", names, "__version__: str", "", *body]) + "\n"


if __name__ == "__main__":
    STUB.write_text(rendered(), encoding="utf-8")
