"""What a config says of each of its fields: the strings below them, for `--help` and for `help()`."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import linecache
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

WIDTH = 100
"""Columns of a docstring that is made of others."""


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring of each field of a dataclass, on one line, in the order of the fields; "" where it has none.

    A field's docstring is the string that stands below it. A field that a subclass declares again without one keeps
    that of its base. A module is parsed once; a class without a source file has no docstrings.
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs.update(_docs_in(base.__module__).get(base.__qualname__, {}))
    return {field.name: docs.get(field.name, "") for field in dataclasses.fields(cls)}


@functools.cache
def _docs_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings of the fields of each class of a module, by the class's qualified name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or Path(file).suffix != ".py":  # built in, or made at a prompt
        return {}
    classes: dict[str, dict[str, str]] = {}
    _collect(ast.parse("".join(linecache.getlines(file))), "", classes)
    return classes


def _collect(node: ast.AST, prefix: str, classes: dict[str, dict[str, str]]) -> None:
    """Add the classes below a node of the syntax tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            classes[prefix + child.name] = _own_docs(child.body)
            _collect(child, f"{prefix}{child.name}.", classes)
        elif isinstance(child, ast.FunctionDef):
            _collect(child, f"{prefix}{child.name}.<locals>.", classes)


def _own_docs(body: list[ast.stmt]) -> dict[str, str]:
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def explained(parameters: Iterable[inspect.Parameter], docs: Mapping[str, str]) -> str:
    """Return the part of a docstring that explains the parameters: a line for each name, its text below it."""
    lines = ["Arguments:"]
    for each in parameters:
        lines.append(f"    {each.name}")
        lines += textwrap.wrap(docs.get(each.name, ""), WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)


def names_settings_of(cls: type, settings: type) -> Callable[[F], F]:
    """Let a function that takes `**settings` show each one to `help()` and to editors, as fields of a config.

    Types are those of the TypedDict `settings`; defaults and docstrings are those of the fields of `cls`.
    """

    def named(function: F) -> F:
        hints, fields = typing.get_type_hints(settings), {each.name: each for each in dataclasses.fields(cls)}
        kind = inspect.Parameter.KEYWORD_ONLY
        known = [inspect.Parameter(name, kind, default=fields[name].default, annotation=hints[name]) for name in hints]
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*own, *known])  # type: ignore[attr-defined]
        function.__doc__ = f"{inspect.getdoc(function)}\n\n{explained(known, field_docs(cls))}"
        return function

    return named
