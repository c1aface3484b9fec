"""What a config says of each of its fields: the strings below them, for `--help` and for `help()`."""

from __future__ import annotations

import ast
import dataclasses
import functools
import itertools
import linecache
import sys
from collections.abc import Mapping
from pathlib import Path


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
