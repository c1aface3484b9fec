"""Commands in processes of their own, forked from one that has imported everything, so that each starts at once."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pty
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kills.moments import Operation, kill_at, watch

from scratchlm.base import folders
from scratchlm.cli import main

LONGEST = 300.0
"""Seconds after which a command counts as hung."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): a command ends with the process that started it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """Its exit code, or minus the number of the signal that ended it."""
    seconds: float
    said: str
    """What it wrote on stdout and stderr."""


def call(
    folder: Path,
    arguments: Sequence[str],
    renames: bool,
    *,
    typed: str | None = None,
    at: int | None = None,
    after: float | None = None,
    record: Path | None = None,
) -> Ended:
    """Run a command in `folder`, in a process group of its own, and wait for its end.

    With `renames` the system is one that cannot exchange two names in one step. `typed` is what a person types on the
    terminal; without, there is none. The command is killed before its file operation of the number `at`, or `after` so
    many seconds. All its file operations are written to `record`, if it ends by itself.
    """
    said = folder.with_name(f"{folder.name}.said")
    said.touch()  # a kill may come before the command opens it
    keyboard, terminal = (os.open(os.devnull, os.O_RDONLY), None) if typed is None else pty.openpty()[::-1]
    if terminal is not None:
        os.write(terminal, str(typed).encode())
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        if renames:
            folders.exchange = lambda one, other: False
        _become(folder, arguments, keyboard, said, at, record)
    status = _wait(child, LONGEST if after is None else min(after, LONGEST))
    seconds = time.monotonic() - started
    for handle in (keyboard, terminal):
        if handle is not None:
            os.close(handle)
    text = said.read_text(encoding="utf-8", errors="replace")
    if seconds >= LONGEST:
        raise RuntimeError(f"{' '.join(arguments)}: did not end within {LONGEST:g} s:\n{text}")
    return Ended(os.waitstatus_to_exitcode(status), seconds, text)


def _wait(child: int, seconds: float) -> int:
    """Wait for a process for so long, then kill it with all that it started; return its status."""
    handle = os.pidfd_open(child)
    if not select.select([handle], [], [], seconds)[0]:
        with contextlib.suppress(ProcessLookupError):  # it has no group of its own yet
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    return os.waitpid(child, 0)[1]


def _become(
    folder: Path, arguments: Sequence[str], keyboard: int, said: Path, at: int | None, record: Path | None
) -> None:
    """Run the command in this process and leave it; never returns."""
    code = 70
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(folder)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for handle, place in ((keyboard, 0), (output, 1), (output, 2)):
            os.dup2(handle, place)
        operations: list[Operation] = []
        seen: Callable[[Operation], None] = operations.append if at is None else kill_at(at)
        watch(str(folder), seen)
        code = _run(arguments)
        if record is not None:
            record.write_text(json.dumps(operations), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0
