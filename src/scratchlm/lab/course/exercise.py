"""Exercises: a function of a source file, whose body the learner writes.

A chapter is a TOML file of `chapters/`. Each exercise names a function of a file of this package, the solution, and the
classic mistakes, each as an edit of that function. From these come the learner's file, the check, and the name of what
went wrong.
"""

from __future__ import annotations

import ast
import tomllib
import types
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scratchlm.base.errors import UserError, nearest

PACKAGE = Path(__file__).parents[2]
CHAPTERS = Path(__file__).with_name("chapters")


@dataclass(frozen=True)
class ClassicMistake:
    """A classic mistake, as an edit of the solution that makes it."""

    says: str
    """What was done, as a message to who did it."""
    find: str
    put: str


@dataclass(frozen=True)
class Exercise:
    """One function to write."""

    number: str
    """Chapter and place in it: 3.2."""
    name: str
    """The function in the learner's file: `merge`, or `Block.attention` of a class."""
    asks: str
    """What to write, in Markdown."""
    hints: tuple[str, ...]
    source: Path
    """The file that holds the solution."""
    mistakes: tuple[ClassicMistake, ...]

    @property
    def chapter(self) -> str:
        """The chapter's number or letter."""
        return self.number.split(".")[0]

    @property
    def file(self) -> str:
        """The usual name of the learner's file."""
        return "gpt.py" if self.source.name == "minimal.py" else self.source.name

    def solution(self) -> str:
        """Return the source of the function."""
        text = self.source.read_text(encoding="utf-8")
        first, last = _lines(text, self.name)
        return "\n".join(text.splitlines()[first:last]) + "\n"

    def module(self, *mistakes: ClassicMistake) -> types.ModuleType | None:
        """Return the module of the solution with these mistakes; None where they exclude each other."""
        text, solution = self.source.read_text(encoding="utf-8"), self.solution()
        changed = solution
        for mistake in mistakes:
            if changed.count(mistake.find) != 1:
                return None
            changed = changed.replace(mistake.find, mistake.put)
        text = text.replace(solution, changed)
        module = types.ModuleType("solution")
        module.__file__ = str(self.source)
        exec(compile(text, str(self.source), "exec"), module.__dict__)
        return module


@dataclass(frozen=True)
class Chapter:
    """One chapter of the course."""

    number: str
    title: str
    notebook: str | None
    """Name of its notebook in `notes/`, without the suffix."""
    exercises: tuple[Exercise, ...]


@cache
def chapters() -> tuple[Chapter, ...]:
    """Return the chapters in the order of the course: numbers, then letters."""
    files = sorted(CHAPTERS.glob("*.toml"), key=lambda file: (not file.stem.isdigit(), file.stem))
    return tuple(_read(file) for file in files)


def _read(file: Path) -> Chapter:
    stored = tomllib.loads(file.read_text(encoding="utf-8"))
    exercises = [
        Exercise(
            f"{file.stem}.{place}",
            each["name"],
            each["asks"].strip(),
            tuple(each["hints"]),
            PACKAGE / each["source"],
            tuple(ClassicMistake(**mistake) for mistake in each.get("mistakes", ())),
        )
        for place, each in enumerate(stored["exercises"], 1)
    ]
    return Chapter(file.stem, stored["title"], stored.get("notebook"), tuple(exercises))


def find_exercise(number: str) -> Exercise:
    """Return an exercise by its number. Raises `UserError` for an unknown one."""
    every = {each.number: each for chapter in chapters() for each in chapter.exercises}
    if number not in every:
        raise UserError(f"exercise {number}: unknown; {nearest(number, every)}")
    return every[number]


def without_bodies(source: Path, exercises: Sequence[Exercise]) -> str:
    """Return a source file without the bodies of these functions: their heads and docstrings stay."""
    text = source.read_text(encoding="utf-8")
    lines = text.splitlines()
    for exercise in sorted(exercises, key=lambda each: -_lines(text, each.name)[0]):  # from the end: places stay
        node = _function(text, exercise.name)
        head = node.body[0].end_lineno if ast.get_docstring(node) is not None else node.body[0].lineno - 1
        indent = " " * node.body[0].col_offset
        body = f"{indent}raise NotImplementedError  # yours: exercise {exercise.number}"
        lines[head : node.end_lineno] = [body]
    return "\n".join(lines) + "\n"


def _function(text: str, name: str) -> ast.FunctionDef:
    nodes: list[ast.stmt] = ast.parse(text).body
    *classes, last = name.split(".")
    for each in classes:
        nodes = next(node.body for node in nodes if isinstance(node, ast.ClassDef) and node.name == each)
    return next(node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == last)


def _lines(text: str, name: str) -> tuple[int, int]:
    """Return where a function begins, its decorators included, and ends: a slice of the file's lines."""
    node = _function(text, name)
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    assert node.end_lineno is not None
    return first - 1, node.end_lineno
