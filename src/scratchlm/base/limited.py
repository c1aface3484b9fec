"""Work that may take all time or memory, done by a process with limits on both.

Code in C and Rust cannot be interrupted from Python, so such work runs in a process that the system can stop. The
process is kept for the next question; its start takes about 0.1 s, a question and its answer 0.2 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""The folder that holds the package."""


class LimitExceededError(Exception):
    """The process ended before it answered; the message says which limit it met: `takes over 2 s`."""


class LimitedProcess:
    """A process that runs a module, which calls `answer_questions`: each question and each answer is a line of JSON."""

    def __init__(self, module: str, seconds: float, memory: int) -> None:
        """Start the process. A question may take `seconds` of CPU time, the process `memory` bytes of address space.

        Windows has neither limit: there only the `patience` of `ask` ends it.
        """
        self._seconds, self._memory = seconds, memory
        self._lock, self._overdue = threading.Lock(), False
        paths = os.pathsep.join(each for each in (str(ROOT), os.environ.get("PYTHONPATH", "")) if each)
        self.process = subprocess.Popen(
            # -P: no file of the current folder may shadow a module.
            [sys.executable, "-P", "-m", module, str(seconds), str(memory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": paths},
        )  # fmt: skip
        self._finalizer = weakref.finalize(self, _end, self.process, os.getpid())  # at the latest when Python ends

    def ask(self, question: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Send a question and return the answer, which must come within `patience` seconds by the clock.

        Raises `LimitExceededError` where the process ends instead.
        """
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            timer = threading.Timer(patience, self._end_overdue)
            timer.daemon = True
            timer.start()
            try:
                self.process.stdin.write(line)
                self.process.stdin.flush()
                answer: dict[str, Any] = json.loads(self.process.stdout.readline())
                return answer
            except (OSError, ValueError) as error:
                self.close()
                raise LimitExceededError(self._reason(patience)) from error
            finally:
                timer.cancel()

    def kill(self) -> None:
        """End the process from any thread; who waits for an answer gets a `LimitExceededError`."""
        self.process.kill()

    def close(self) -> None:
        """End the process and free what belongs to it. Nobody may wait for an answer."""
        self._finalizer()

    def _end_overdue(self) -> None:
        self._overdue = True
        self.process.kill()

    def _reason(self, patience: float) -> str:
        if self._overdue:
            return f"takes over {patience:g} s"
        if os.name == "posix" and self.process.returncode == -signal.SIGPROF:
            return f"takes over {self._seconds:g} s of computing"
        return f"needs over {self._memory >> 20} MiB of memory"


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a fork has no processes of its own
        return
    assert process.stdin is not None
    assert process.stdout is not None
    process.kill()
    process.wait()
    with contextlib.suppress(OSError):  # what it did not read
        process.stdin.close()
    process.stdout.close()


def answer_questions(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each line of stdin until it ends, within the limits given by `LimitedProcess`: a module's main program."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal reaches all its processes
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        _end_after(seconds)
        written = json.dumps(answer(json.loads(line))).encode() + b"\n"
        _end_after(0)
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()


def _end_after(seconds: float) -> None:
    """Let the system end this process after `seconds` of CPU time; 0 cancels the limit."""
    with contextlib.suppress(AttributeError):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # no handler: the signal ends the process, even inside C code
