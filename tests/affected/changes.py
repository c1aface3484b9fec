"""Which files of slow tests a change can break.

A test file depends on the modules that it imports, on all that these import (grimp), on the commands that it names, and
on the files and folders that it names. A command leads to the modules of its config and its function, which its
declaration names as texts. A change of what all tests stand on, such as pyproject.toml, affects all of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import grimp

from scratchlm.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
EVERYTHING = ("pyproject.toml", ".ci/run", "tests/conftest.py", "tests/affected/changes.py")
"""Files whose change may break any test."""
TABLES = frozenset({"scratchlm.cli", "scratchlm.commands", "scratchlm.__main__", "scratchlm"})
"""Modules that lead to every command; a test that imports one depends on the commands that it names."""
SLOW = re.compile(r"mark\.(?:slow|alone)\b|^from marks import slow$", re.MULTILINE)


def slow_files() -> list[Path]:
    """Return the test files with tests that the everyday run leaves out."""
    return [path for path in sorted(TESTS.rglob("test_*.py")) if SLOW.search(path.read_text(encoding="utf-8"))]


@cache
def graph() -> grimp.ImportGraph:
    """Return who imports whom in the package, without what only type checkers follow."""
    return grimp.build_graph("scratchlm", exclude_type_checking_imports=True)


@cache
def reached(module: str) -> frozenset[str]:
    """Return a module of the package and all that it imports, directly or not; a table of commands leads no further."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [] if name in TABLES else graph().find_modules_directly_imported_by(name)
    return frozenset(seen)


@cache
def modules_of_command(program: str) -> frozenset[str]:
    """Return the modules behind a command, named by its first word or by its Python function."""
    found: set[str] = set()
    for command in COMMANDS.values():
        if program in (command.program.split()[0], command.function().__name__):
            found |= reached(command.function().__module__) | reached(command.config().__module__)
    return frozenset(found)


@cache
def commands() -> frozenset[str]:
    """Return every word that names a command: the first of its program, and its Python function."""
    every = COMMANDS.values()
    return frozenset(word for command in every for word in (command.program.split()[0], command.function().__name__))


def helper_file(module: str) -> Path | None:
    """Return the file of a module of the tests or of the benchmarks, None for any other."""
    place = module.removeprefix("tests.").replace(".", "/")
    candidates = [
        TESTS / f"{place}.py",
        TESTS / place / "__main__.py",
        ROOT / f"{place}.py",
        ROOT / place / "__main__.py",
    ]
    return next((path for path in candidates if path.is_file()), None)


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the full names that a file imports, at the top and inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{each.name}" for each in node.names]
            yield from names
            if not all(name in graph().modules for name in names):
                yield node.module


def named(tree: ast.Module) -> set[str]:
    """Return the texts of a file that stand in its code, its docstrings left out, and the attributes of `slm`."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return texts | {node.attr for node in attributes if ast.unparse(node.value) in ("slm", "scratchlm")}


@cache
def needs(file: Path) -> tuple[frozenset[str], frozenset[Path], frozenset[str]]:
    """Return what a test file depends on: modules of the package, files of the tests, and texts that it names."""
    modules: set[str] = set()
    texts: set[str] = set()
    beside = file.parent.glob("*.py") if (file.parent / "__main__.py").is_file() else file.parent.glob("conftest.py")
    files = {file, TESTS / "conftest.py", *beside}  # a test in a folder that runs as a program runs all of it
    waiting = list(files)
    while waiting:
        tree = ast.parse(waiting.pop().read_text(encoding="utf-8"))
        texts |= named(tree)
        for name in {*imported(tree), *named(tree)}:  # a text may name a module that a process of its own runs
            helper = helper_file(name)
            if helper is not None and helper not in files:
                files.add(helper)
                waiting.append(helper)
            if name in graph().modules:
                modules |= reached(name)
    for text in texts:
        for word in (text, text.partition(" ")[0], *re.findall(r"scratchlm (\w+)", text)):
            modules |= modules_of_command(word) if word in commands() else frozenset()
    if modules & TABLES and not any(text in commands() for text in texts):
        modules |= graph().modules  # it calls commands, and does not say which
    return frozenset(modules), frozenset(files), frozenset(texts)


def changed_modules(name: str) -> frozenset[str]:
    """Return the modules that a changed file of the package is, or that stand beside it where it is data."""
    path = PurePosixPath(name)
    if path.parts[:2] != ("src", "scratchlm"):
        return frozenset()
    dotted = ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")
    if path.suffix == ".py":
        return frozenset({dotted})
    folder = ".".join(path.parts[1:-1])
    while folder not in graph().modules:
        folder = folder.rpartition(".")[0]
    return frozenset(each for each in graph().modules if each == folder or each.rpartition(".")[0] == folder)


def names_it(text: str, changed: str) -> bool:
    """Report whether a text in a test names a changed file or, outside of the tests, one of its folders."""
    path = PurePosixPath(changed)
    folders = path.parts[:-1] if path.parts[0] != "tests" else ()
    place = text.strip("/")
    return text == path.name or text in folders or ("/" in place and f"/{place}/" in f"/{changed}/")


def affected(changes: Iterable[str]) -> list[Path]:
    """Return the files of slow tests that changes of these files, named from the project's root, can break."""
    changes = [line.strip() for line in changes if line.strip()]
    if any(name in EVERYTHING for name in changes):
        return slow_files()
    modules = frozenset().union(*map(changed_modules, changes))
    others = [name for name in changes if not changed_modules(name)]
    broken = []
    for file in slow_files():
        reachable, files, texts = needs(file)
        by_file = any(ROOT / name in files or any(names_it(text, name) for text in texts) for name in others)
        if modules & reachable or by_file:
            broken.append(file)
    return broken
