"""A process apart that runs a learner's file: it calls one function with fixed inputs, and writes what came out.

Nothing that the file does can reach the process that judges: results go there as JSON.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from scratchlm.base.limited import answer_questions
from scratchlm.lab.course.exercise import Exercise, chapters, find_exercise
from scratchlm.lab.course.probes import PROBES

PRINTED = 2000
"""Characters that are kept of what a file prints."""
MOST_NUMBERS = 20_000
"""Numbers of a result that are kept."""
LONGEST = 500
"""Characters of a message of an exception that are kept."""


class _Printed(io.TextIOBase):
    """Keeps the first characters that are written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(0, PRINTED - len(self.text))]
        return len(text)


def outputs_of(exercise: Exercise, module: types.ModuleType | None) -> dict[str, Any]:
    """Return what the probe of an exercise gets from a module, by label; an exception ends it."""
    outputs: dict[str, Any] = {}
    if module is None:
        return outputs
    torch.manual_seed(0)
    try:
        for label, value in PROBES[exercise.name](module):
            outputs[label] = plain(value)
    except BaseException as error:
        outputs["exception"] = {"exception": said(error, str(module.__file__))}
    return outputs


def plain(value: Any) -> Any:
    """Return a result as JSON holds it: a tensor with its shape, all else by its kind."""
    if isinstance(value, torch.Tensor) and not value.is_complex():
        flat = value.detach().double().flatten()[:MOST_NUMBERS].tolist()
        return {"shape": list(value.shape), "floating": value.is_floating_point(), "values": flat}
    if isinstance(value, Mapping):
        return {"table": [[plain(key), plain(each)] for key, each in list(value.items())[:MOST_NUMBERS]]}
    if isinstance(value, list | tuple):
        return {"list": [plain(each) for each in value[:MOST_NUMBERS]]}
    if isinstance(value, bytes):
        return {"bytes": value[:MOST_NUMBERS].hex()}
    if value is None or isinstance(value, bool | int | float):
        return value
    return value[:MOST_NUMBERS] if isinstance(value, str) else {"kind": type(value).__name__}


def said(error: BaseException, file: str) -> dict[str, Any]:
    """Return an exception with the last line of the learner's file that it passed."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return {"kind": "SyntaxError", "says": error.msg, "line": error.lineno, "code": (error.text or "").strip()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    place = {"line": frames[-1].lineno, "code": frames[-1].line} if frames else {}
    return {"kind": type(error).__name__, "says": str(error)[:LONGEST], **place}


@contextlib.contextmanager
def _in_folder(file: Path) -> Iterator[None]:
    sys.path.insert(0, str(file.parent))
    try:
        yield
    finally:
        sys.path.remove(str(file.parent))


def module_of(file: Path) -> types.ModuleType:
    """Run a learner's file, and return it as a module."""
    module = types.ModuleType("mine")  # not the file's name, which may be that of a library
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    return module


def load(file: Path, exercise: Exercise) -> types.ModuleType:
    """Return a learner's file as a module in which all other exercises of that file are the solutions."""
    module = module_of(file)
    solution = exercise.module()
    for chapter in chapters():
        for other in chapter.exercises:
            if other.source == exercise.source and other.name != exercise.name:
                _put(module, solution, other.name)
    return module


def _put(module: types.ModuleType, solution: types.ModuleType | None, name: str) -> None:
    """Put a function of the solution in the place of the learner's; it calls the functions of the learner's module."""
    *classes, last = name.split(".")
    place: Any = module
    better: Any = solution
    for each in classes:
        if not hasattr(place, each):
            return
        place, better = getattr(place, each), getattr(better, each)
    setattr(place, last, getattr(better, last))


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    if "file" not in question:
        return {"ready": True}
    file, exercise = Path(question["file"]), find_exercise(question["exercise"])
    printed = _Printed()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(_Printed()), _in_folder(file):
        try:
            module = load(file, exercise)
        except BaseException as error:
            return {"outputs": {"exception": {"exception": said(error, str(file))}}, "printed": printed.text}
        if not _has(module, exercise.name):
            return {"absent": exercise.name, "printed": printed.text}
        return {"outputs": outputs_of(exercise, module), "printed": printed.text}


def _has(module: Any, name: str) -> bool:
    for each in name.split("."):
        if not hasattr(module, each):
            return False
        module = getattr(module, each)
    return callable(module)


if __name__ == "__main__":
    torch.set_num_threads(1)
    answers = os.dup(1)  # file descriptor 1 is the learner's now: what C code prints goes nowhere
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = os.fdopen(answers, "w", encoding="utf-8")
    answer_questions(_answer)
