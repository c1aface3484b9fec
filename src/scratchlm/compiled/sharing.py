"""Work shared by threads: chunks are claimed by whoever comes, and no thread waits for the start of another.

A step is a sequence of phases, a phase a number of chunks. A thread claims chunks until none is left, then waits until
all are finished. So a thread that the system does not run holds a step up for one chunk at most; with a barrier of all
threads it would hold it up at each phase. A thread that comes late finds phases finished and passes them.

The counters of a step are a board; there are two, used by turns. A thread enters a board only in the step that it was
called for, and a board is cleared once nobody is in it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit, types

from scratchlm.compiled.atomic import fetch, fetch_add

CLAIMED, FINISHED, LINE = 0, 8, 16
"""Places of a phase's two counters, each in a cache line of its own, and the numbers of a phase."""
EPOCH, INSIDE = 0, 8
WATCHED = 200_000
"""Looks at the bell before a thread sleeps: about a millisecond."""
PATIENCE = 20_000
"""Looks at a counter before the thread offers its processor to others."""

sched_yield = types.ExternalFunction("sched_yield", types.int32())
POSIX = os.name == "posix"


@njit(nogil=True, error_model="numpy")
def claim(board: npt.NDArray[np.int64], phase: int) -> int:
    """Return the next chunk of a phase; a number past its chunks where none is left."""
    return fetch_add(board[phase, CLAIMED:], 1)


@njit(nogil=True, error_model="numpy")
def finish(board: npt.NDArray[np.int64], phase: int) -> None:
    """Tell that a claimed chunk is finished."""
    fetch_add(board[phase, FINISHED:], 1)


@njit(nogil=True, error_model="numpy")
def wait(board: npt.NDArray[np.int64], phase: int, chunks: int) -> None:
    """Return when all chunks of a phase are finished."""
    looks = 0
    while fetch(board[phase, FINISHED:]) < chunks:
        looks += 1
        if POSIX and looks > PATIENCE:
            sched_yield()


@njit(nogil=True, error_model="numpy")
def enter(door: npt.NDArray[np.int64], epoch: int) -> bool:
    """Enter a board for the step `epoch`; False where it serves another step by now."""
    fetch_add(door[INSIDE:], 1)
    if fetch(door[EPOCH:]) == epoch:
        return True
    fetch_add(door[INSIDE:], -1)
    return False


@njit(nogil=True, error_model="numpy")
def leave(door: npt.NDArray[np.int64]) -> None:
    """Leave a board."""
    fetch_add(door[INSIDE:], -1)


@njit(nogil=True, error_model="numpy")
def prepare(board: npt.NDArray[np.int64], door: npt.NDArray[np.int64], epoch: int) -> None:
    """Open a board for a new step, after all threads of an earlier one have left it."""
    fetch_add(door[EPOCH:], epoch - fetch(door[EPOCH:]))
    looks = 0
    while fetch(door[INSIDE:]) > 0:
        looks += 1
        if POSIX and looks > PATIENCE:
            sched_yield()
    for phase in range(board.shape[0]):
        board[phase, CLAIMED] = 0
        board[phase, FINISHED] = 0


@njit(nogil=True, error_model="numpy")
def ring(bell: npt.NDArray[np.int64]) -> None:
    """Tell threads that watch that they are called."""
    fetch_add(bell, 1)


@njit(nogil=True, error_model="numpy")
def watch(bell: npt.NDArray[np.int64], heard: int) -> None:
    """Return when the bell was rung more often than `heard`, or after `WATCHED` looks."""
    looks = 0
    while fetch(bell) <= heard and looks < WATCHED:
        looks += 1


class Team:
    """Threads that are called to share a step. After a step they watch for the next one a while, then sleep.

    A thread that sleeps is woken on the processor of the one that calls it, and shares that with it until the system
    moves it: on two processors a step took half as long again.
    """

    def __init__(self, helpers: int) -> None:
        self._calls = [threading.Semaphore(0) for _ in range(helpers)]
        self._task: list[Callable[[], None] | None] = [None]
        self._bell = np.zeros(LINE, np.int64)
        told = (self._task, self._bell)
        threads = [threading.Thread(target=_help, args=(call, *told), daemon=True) for call in self._calls]
        for thread in threads:
            thread.start()
        weakref.finalize(self, _dismiss, self._calls, self._task, threads)

    def run(self, task: Callable[[], None]) -> None:
        """Run a task that threads share, in this thread and in all that come before it ends."""
        self._task[0] = task
        ring(self._bell)
        for call in self._calls:
            call.release()
        task()


def _help(call: threading.Semaphore, box: list[Callable[[], None] | None], bell: npt.NDArray[np.int64]) -> None:
    heard = 0
    while True:
        watch(bell, heard)
        call.acquire()
        heard += 1
        task = box[0]
        if task is None:
            return
        task()


def _dismiss(
    calls: list[threading.Semaphore], box: list[Callable[[], None] | None], threads: list[threading.Thread]
) -> None:
    """Let the threads end. A thread that is in compiled code when the interpreter ends would abort the process."""
    box[0] = None
    for call in calls:
        call.release()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(timeout=1.0)
