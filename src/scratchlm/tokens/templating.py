"""Sandboxed rendering of untrusted Jinja templates, in a process with limits on time and memory.

A template is a program: `{{ 'a' * 10**10 }}` takes all memory, nested loops run practically forever, and filters
written in C cannot be interrupted from Python. So templates of published models are rendered by a worker process, which
runs this file and which the system can stop. It is reused for the next conversation and caches the compiled template: a
rendering takes 0.2 ms, its start about 0.1 s.
"""

from __future__ import annotations

import atexit
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
        answer = mine.ask({"source": source, "values": values})
    except (OSError, ValueError):
        if worker(os.getpid()) is mine:
            worker.cache_clear()
        raise ValueError(f"takes over {SECONDS} s or {MEMORY >> 20} MB for one conversation") from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return str(answer["text"])


class _Worker:
    """The worker process: each request and each response is a line of JSON."""

    def __init__(self) -> None:
        # -P: the folder of this file has modules with common names, which must not shadow others on the path.
        command = [sys.executable, "-P", __file__]
        self._lock = threading.Lock()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return the response. Raises `OSError` or `ValueError` where the worker has ended."""
        with self._lock:
            return self._exchange(json.dumps(question).encode() + b"\n")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # what it did not read
            self.process.stdin.close()
        self.process.stdout.close()

    def _exchange(self, line: bytes) -> dict[str, Any]:
        """Send a line and return what the answer holds. One thread at a time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = threading.Timer(PATIENCE, self.process.kill)
        limit.daemon = True
        limit.start()
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            found: dict[str, Any] = json.loads(self.process.stdout.readline())
            return found
        except (OSError, ValueError):
            self.close()
            raise
        finally:
            limit.cancel()


@functools.lru_cache(maxsize=1)
def worker(_: int) -> _Worker:
    """Return the worker of the process with this id: a fork must not share its parent's. It ends with the process."""
    mine = _Worker()
    atexit.register(_close, mine, os.getpid())
    return mine


def _close(mine: _Worker, owner: int) -> None:
    """Close a worker at the end of the process that began it, not of a fork of that."""
    if os.getpid() == owner:
        mine.close()


def _limit() -> None:
    """Limit the memory of this process."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _timed(seconds: float) -> None:
    """Let the system end this process after so many seconds of CPU time; 0 cancels the limit."""
    with contextlib.suppress(AttributeError):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # no handler: the signal ends the process, even inside C code


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer each line of requests until the input ends."""
    for line in questions:
        _timed(SECONDS)
        try:
            question = json.loads(line)
            text = render_here(question["source"], question["values"])
            answer = {"text": text} if len(text) <= LONGEST else {"error": f"writes over {LONGEST:,} characters"}
        except ValueError as error:
            answer = {"error": str(error)[:500]}
        _timed(0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal reaches all its processes
    _limit()
    serve(sys.stdin.buffer, sys.stdout.buffer)
