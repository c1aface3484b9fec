"""Sandboxed rendering of untrusted Jinja templates, in a process with limits on time and memory.

A template is a program: `{{ 'a' * 10**10 }}` takes all memory, nested loops run practically forever, and filters
written in C cannot be interrupted from Python. So templates of published models are rendered by a process of
`base/limited.py`, which runs this module and caches the compiled template.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from scratchlm.base.limited import LimitedProcess, LimitExceededError, answer_questions

SECONDS = 2
"""Seconds of CPU time for one conversation; published templates need under a thousandth."""
PATIENCE = 60.0
"""Seconds of wall-clock time, for a busy machine and for systems without a limit on CPU time."""
MEMORY = 1 << 29
"""Bytes of address space of the worker, including Python itself."""
LONGEST = 1 << 24
"""Most characters of a rendered conversation."""


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> Callable[..., str]:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def refuse(why: str) -> None:
        raise jinja2.TemplateError(why)

    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = refuse  # templates call it, for example for roles in a wrong order
    return environment.from_string(source).render


def _to_json(value: Any, indent: int | None = None) -> str:
    """Write JSON as transformers' templates expect it: jinja2's own filter writes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def render_here(source: str, values: Mapping[str, Any]) -> str:
    """Render a trusted template in this process. Raises `ValueError` with its message where it fails."""
    import jinja2

    faults = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError, ValueError)
    try:
        return _compiled(source)(**values)
    except MemoryError as error:
        raise ValueError("needs too much memory") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except faults as error:
        raise ValueError(str(error) or type(error).__name__) from error


def render_sandboxed(source: str, values: Mapping[str, Any]) -> str:
    """Render an untrusted template. Raises `ValueError` where it fails, or takes too much time or memory."""
    mine = worker(os.getpid())
    if mine.process.poll() is not None:  # something else ended it
        mine.close()
        worker.cache_clear()
        mine = worker(os.getpid())
    try:
        answer = mine.ask({"source": source, "values": values}, PATIENCE)
    except LimitExceededError as error:
        if worker(os.getpid()) is mine:
            worker.cache_clear()
        raise ValueError(f"{error} for one conversation") from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return str(answer["text"])


@functools.lru_cache(maxsize=1)
def worker(_: int) -> LimitedProcess:
    """Return the worker of the process with this id: a fork must not share its parent's. It ends with the process."""
    mine = LimitedProcess(__name__, SECONDS, MEMORY)
    atexit.register(_close, mine, os.getpid())
    return mine


def _close(mine: LimitedProcess, owner: int) -> None:
    """Close a worker at the end of the process that began it, not of a fork of that."""
    if os.getpid() == owner:
        mine.close()


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        text = render_here(question["source"], question["values"])
    except ValueError as error:
        return {"error": str(error)[:500]}
    return {"text": text} if len(text) <= LONGEST else {"error": f"writes over {LONGEST:,} characters"}


if __name__ == "__main__":
    answer_questions(_answer)
