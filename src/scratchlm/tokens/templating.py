"""Jinja templates of other people's models, run in a process of their own with little time and memory.

A template is a program: `{{ 'a' * 10**10 }}` takes all memory, two loops in each other never end, and filters written
in C cannot be stopped from inside. So templates that this package did not write are rendered by a worker, this very
file, that the system stops. It stays for the next conversation, and keeps the compiled template: a rendering costs
0.2 ms beside some 0.1 s for its start.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

SECONDS = 2
"""Of a processor, for one conversation; published templates take under a thousandth."""
PATIENCE = 60.0
"""Seconds by the clock, on a busy machine, and where a process's own time cannot be limited."""
MEMORY = 1 << 29
"""Bytes of address space of the worker, Python's own among them."""
LONGEST = 1 << 24
"""Characters of a layout."""


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> Callable[..., str]:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def refuse(why: str) -> None:
        raise jinja2.TemplateError(why)

    environment.globals["raise_exception"] = refuse  # what templates say no with, to roles out of their order
    return environment.from_string(source).render


def render_here(source: str, values: Mapping[str, Any]) -> str:
    """Render a template in this process. Raises `ValueError` with what it says where it fails."""
    import jinja2

    faults = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError, ValueError)
    try:
        return _compiled(source)(**values)
    except MemoryError as error:
        raise ValueError("needs more memory than a layout of messages may") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except faults as error:
        raise ValueError(str(error) or type(error).__name__) from error


def render_apart(source: str, values: Mapping[str, Any]) -> str:
    """Render a template that may do anything. Raises `ValueError` where it fails, or takes too much time or memory."""
    try:
        answer = worker(os.getpid()).ask({"source": source, "values": values})
    except (OSError, ValueError):
        worker.cache_clear()
        raise ValueError(f"takes over {SECONDS} s or {MEMORY >> 20} MB for one conversation") from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return str(answer["text"])


class _Worker:
    """The other process: a line of JSON asks, a line answers."""

    def __init__(self) -> None:
        # -P: beside this file stand modules of common names, which are not to be imported in place of others.
        command = [sys.executable, "-P", __file__]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question and return the answer. Raises `OSError` or `ValueError` where the worker is gone by then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = threading.Timer(PATIENCE, self.process.kill)
        limit.daemon = True
        limit.start()
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            found: dict[str, Any] = json.loads(self.process.stdout.readline())
            return found
        except (OSError, ValueError):
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            raise
        finally:
            limit.cancel()


@functools.lru_cache(maxsize=1)
def worker(_: int) -> _Worker:
    """Return the worker of the process of this number: a fork must not share its parent's."""
    return _Worker()


def _limit() -> None:
    """Give this process little memory."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _timed(seconds: float) -> None:
    """Have the system end this process after so many seconds of work; 0: not any more."""
    with contextlib.suppress(AttributeError):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # no handler: the signal ends the process wherever it is


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer each line until there are no more."""
    for line in questions:
        question = json.loads(line)
        _timed(SECONDS)
        try:
            text = render_here(question["source"], question["values"])
            answer = {"text": text} if len(text) <= LONGEST else {"error": f"writes over {LONGEST:,} characters"}
        except ValueError as error:
            answer = {"error": str(error)[:500]}
        _timed(0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _limit()
    serve(sys.stdin.buffer, sys.stdout.buffer)
