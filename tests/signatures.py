"""Writes `src/scratchlm/__init__.pyi`: what editors and type checkers know of `import scratchlm`.

    python tests/signatures.py

The signatures are read off the configs; a test compares the file with what this writes.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import scratchlm
from scratchlm import verbs
from scratchlm.base.calls import has_parts, parameters
from scratchlm.lab.catalogue import EXPERIMENTS

STUB = Path(scratchlm.__file__).with_suffix(".pyi")
HEAD = '''"""What editors and type checkers know of this package. Written by tests/signatures.py; do not edit."""

'''


class Spelling:
    """Spells types and notes what must be imported for them."""

    def __init__(self) -> None:
        self.imports = {"from collections.abc import Iterator, Mapping, Sequence", "from pathlib import Path"}
        self.imports.add("from typing import Any, Literal, overload")

    def of(self, hint: Any, *, accepted: bool) -> str:
        """Spell a type; where it is `accepted`, text does for a path, and one text or any sequence for a list."""
        arguments = typing.get_args(hint)
        if hint is type(None) or hint is None:
            return "None"
        if hint is Any:
            return "Any"
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            return " | ".join(dict.fromkeys(self.of(each, accepted=accepted) for each in arguments))
        if typing.get_origin(hint) is Literal:
            return f"Literal[{', '.join(map(repr, arguments))}]"
        if hint is Path and accepted:
            return "str | Path"
        if typing.get_origin(hint) is tuple and accepted and Ellipsis in arguments:
            one = "str | Path" if arguments[0] in (str, Path) else self.of(arguments[0], accepted=True)
            return f"{one} | Sequence[{one}]" if arguments[0] in (str, Path) else f"Sequence[{one}]"
        if arguments:
            inner = ", ".join("..." if each is Ellipsis else self.of(each, accepted=accepted) for each in arguments)
            return f"{typing.get_origin(hint).__name__}[{inner}]"
        if hint.__module__ not in ("builtins", "pathlib", "collections.abc"):
            self.imports.add(f"from {hint.__module__} import {hint.__name__}")
        return hint.__name__

    def parameter(self, each: inspect.Parameter) -> str:
        spelled = f"{each.name}: {self.of(each.annotation, accepted=True)}"
        if each.default is inspect.Parameter.empty:
            return spelled
        plain = each.default is None or isinstance(each.default, str | int | float) or each.default == ()
        return f"{spelled} = {each.default!r}" if plain else f"{spelled} = ..."


def function(
    spelling: Spelling, name: str, first: Sequence[str], known: Sequence[inspect.Parameter], returned: Any
) -> str:
    """Write a function that takes settings by name."""
    placed = [spelling.parameter(each) for each in known if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = [spelling.parameter(each) for each in known if each.kind is inspect.Parameter.KEYWORD_ONLY]
    told = [*first, *placed, *(["*", *named] if named else [])]
    return f"def {name}({', '.join(told)}) -> {spelling.of(returned, accepted=False)}: ..."


def verb(spelling: Spelling, name: str) -> list[str]:
    """Write a verb: called with its settings, or with one config; its own objects go with both."""
    entry = verbs.FUNCTIONS[name]
    config, code = verbs.imported(entry.config), verbs.imported(entry.function)
    hints = typing.get_type_hints(code)
    known = parameters(config, entry.hidden)
    overrides = inspect.Parameter(
        "overrides", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=verbs.Named | None
    )
    if has_parts(config):
        known.append(overrides)
    known = [
        each.replace(annotation=each.annotation | hints[each.name]) if each.name in entry.objects else each
        for each in known
    ]
    beside = [f"{key}: {spelling.of(hints[key], accepted=False)} = None" for key in entry.objects]
    kinds = [config]
    if name == "plan":
        from scratchlm.runs.config import PublishedConfig

        kinds.append(PublishedConfig)
    calls = [function(spelling, name, [], known, hints["return"])]
    calls += [function(spelling, name, [], parameters(each, entry.hidden), hints["return"]) for each in kinds[1:]]
    spelling.imports.update(f"from {each.__module__} import {each.__name__}" for each in kinds)
    whole = [f"config: {' | '.join(each.__name__ for each in kinds)}", "/", *(["*", *beside] if beside else [])]
    calls.append(f"def {name}({', '.join(whole)}) -> {spelling.of(hints['return'], accepted=False)}: ...")
    first = calls[0].removesuffix(" ...") + f'\n    """{entry.says}"""\n'
    return [f"@overload\n{call}" for call in (first, *calls[1:])]


def experiments(spelling: Spelling) -> list[str]:
    """Write the verb of each experiment."""
    found = []
    for name, entry in EXPERIMENTS.items():
        spelling.imports |= {"from scratchlm.lab.harness.outcome import Outcome"}
        spelling.imports.add(f"from {entry.config.__module__} import {entry.config.__name__}")
        first, returned = f"name: Literal[{name!r}]", verbs.imported("lab.harness.outcome:Outcome")
        found.append(
            "@overload\n" + function(spelling, "experiment", [first], parameters(entry.config, ("json",)), returned)
        )
        found.append(f"@overload\ndef experiment({first}, config: {entry.config.__name__}, /) -> Outcome: ...")
    return found


def rendered() -> str:
    """Return the file as ruff formats it."""
    spelling = Spelling()
    body = [text for name in sorted(verbs.FUNCTIONS) for text in verb(spelling, name)] + experiments(spelling)
    homes = {name: home for name, home in scratchlm._HOMES.items() if name != "experiment"}
    spelling.imports.update(f"from scratchlm.{home} import {name} as {name}" for name, home in homes.items())
    lines = sorted(line for line in spelling.imports if " as " in line or line.split()[-1] not in homes)
    names = f"__all__ = {sorted(scratchlm.__all__)!r}"
    text = HEAD + "\n".join(lines) + f"\n\n{names}\n\n__version__: str\n\n" + "\n\n".join(body) + "\n"
    for command in (["check", "--fix", "--quiet", "--select", "I,F401"], ["format"]):
        told = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(told, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    STUB.write_text(rendered(), encoding="utf-8")
