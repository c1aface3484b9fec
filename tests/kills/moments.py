"""The moments at which a command can be killed: the operations on files that it makes, counted in its own process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LOG = "metrics.jsonl"
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")


class Operation(NamedTuple):
    """What a command is about to do to a file or folder; the path is relative to the folder that is watched."""

    what: str
    path: str

    @property
    def moment(self) -> str:
        """Return the sort of moment just before this operation."""
        if self.what in ("os.rename", "exchange"):
            return "rename"
        if self.path.endswith(LOG):
            return "log write"
        if self.what in ("os.remove", "os.rmdir", "shutil.rmtree"):
            return "removal"
        return "save" if "checkpoints/" in self.path or "model" in self.path else "other write"


def watch(folder: str, seen: Callable[[Operation], None]) -> None:
    """Call `seen` before each operation of this process that changes something below `folder`, until it ends."""
    root = os.path.realpath(folder) + os.sep

    def note(what: str, path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            whole = os.path.abspath(os.fsdecode(path))
            if (whole + os.sep).startswith(root):
                seen(Operation(what, whole[len(root) :]))

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "ctypes.dlsym" and arguments[1] == "renameat2":  # two folders are about to be exchanged
            note("exchange", root)
        elif event in EVENTS and (event != "open" or arguments[2] & WRITING):
            note(event, arguments[0])

    sync = os.fsync

    def noted_sync(handle: int) -> None:
        note("fsync", os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    os.fsync = noted_sync
    sys.addaudithook(audit)


def kill_at(number: int) -> Callable[[Operation], None]:
    """Return what kills this process for good before the operation of this number, counted from 0.

    Where that is a write to the log, half a line of it is on disk when the process dies.
    """
    left = number

    def seen(operation: Operation) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            if operation.what == "open" and operation.moment == "log write":
                with open(operation.path, "a", encoding="utf-8") as log:
                    log.write('{"kind": "train", "st')
            os.kill(os.getpid(), signal.SIGKILL)

    return seen
