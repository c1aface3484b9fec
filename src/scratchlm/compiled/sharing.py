"""Work shared by threads: chunks are claimed by whoever comes, and no thread waits for the start of another.

A step is a sequence of phases, a phase a number of chunks. A thread claims chunks until none is left, then waits until
all are finished. So a thread that the system does not run holds a step up for one chunk at most; with a barrier of all
threads it would hold it up at each phase. A thread that comes late finds phases finished and passes them.

The counters of a step are a queue; there are two, used by turns. A thread enters a queue only in the step that it was
called for, and a queue is cleared once nobody is in it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from numba import njit, types

from scratchlm.compiled.atomic import fetch, fetch_add

CLAIMED, FINISHED, LINE = 0, 8, 16
"""Places of a phase's two counters, each in a cache line of its own, and the numbers of a phase."""
EPOCH, INSIDE = 0, 8
HEARD, AWAKE = 0, 8
"""Of a helper: the last step that it was called for, and whether it looks for the next one."""
WATCHED = 1_000_000
"""Looks at the signal before a helper sleeps: some milliseconds, in which a text's next step comes."""
PATIENCE = 20_000
"""Looks at a counter before the thread offers its processor to others."""
YIELDED = 200
"""Looks that an offer takes the time of."""

sched_yield = types.ExternalFunction("sched_yield", types.int32())
POSIX = os.name == "posix"


@njit(nogil=True, error_model="numpy")
def claim(queue: npt.NDArray[np.int64], phase: int) -> int:
    """Return the next chunk of a phase; a number past its chunks where none is left."""
    return fetch_add(queue[phase, CLAIMED:], 1)


@njit(nogil=True, error_model="numpy")
def finish(queue: npt.NDArray[np.int64], phase: int) -> None:
    """Note that a claimed chunk is finished."""
    fetch_add(queue[phase, FINISHED:], 1)


@njit(nogil=True, error_model="numpy")
def wait(queue: npt.NDArray[np.int64], phase: int, chunks: int) -> None:
    """Return when all chunks of a phase are finished."""
    looks = 0
    while fetch(queue[phase, FINISHED:]) < chunks:
        looks += 1
        if POSIX and looks > PATIENCE:
            sched_yield()


@njit(nogil=True, error_model="numpy")
def enter(door: npt.NDArray[np.int64], epoch: int) -> bool:
    """Enter a queue for the step `epoch`; False where it serves another step by now."""
    fetch_add(door[INSIDE:], 1)
    if fetch(door[EPOCH:]) == epoch:
        return True
    fetch_add(door[INSIDE:], -1)
    return False


@njit(nogil=True, error_model="numpy")
def leave(door: npt.NDArray[np.int64]) -> None:
    """Leave a queue."""
    fetch_add(door[INSIDE:], -1)


@njit(nogil=True, error_model="numpy", cache=True)
def prepare(queue: npt.NDArray[np.int64], door: npt.NDArray[np.int64], epoch: int) -> None:
    """Open a queue for a new step, after all threads of an earlier one have left it."""
    fetch_add(door[EPOCH:], epoch - fetch(door[EPOCH:]))
    looks = 0
    while fetch(door[INSIDE:]) > 0:
        looks += 1
        if POSIX and looks > PATIENCE:
            sched_yield()
    for phase in range(queue.shape[0]):
        queue[phase, CLAIMED] = 0
        queue[phase, FINISHED] = 0


@njit(nogil=True, error_model="numpy", cache=True)
def ring(signal: npt.NDArray[np.int64], helpers: npt.NDArray[np.int64]) -> int:
    """Call for the next step; return how many helpers sleep and must be woken."""
    fetch_add(signal, 1)
    asleep = 0
    for number in range(helpers.shape[0]):
        asleep += 1 - fetch(helpers[number, AWAKE:])
    return asleep


@njit(nogil=True, error_model="numpy")
def called(signal: npt.NDArray[np.int64], mine: npt.NDArray[np.int64]) -> bool:
    """Return True when a helper is called for a new step; False when it was not for long and may sleep."""
    looks = 0
    while fetch(signal) == mine[HEARD]:
        looks += 1
        if POSIX and looks > PATIENCE:  # threads of other models may want the processor
            sched_yield()
            looks += YIELDED
        if looks >= WATCHED:
            fetch_add(mine[AWAKE:], -1)
            if fetch(signal) == mine[HEARD]:  # who rings later finds it asleep
                return False
            fetch_add(mine[AWAKE:], 1)
            looks = 0
    mine[HEARD] = fetch(signal)
    return True


class Team:
    """Threads that help with steps. Between two steps a helper stays in compiled code and looks at the signal.

    It sleeps where no step comes for some milliseconds. To wake it costs more than a step of a small model: it needs
    Python's lock, and the system may wake it on the processor of the thread that calls, and let it share that.
    """

    def __init__(self, count: int, help: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], None]) -> None:
        """`help(signal, mine)` takes part in steps until none comes for a while."""
        self.signal, self._helpers = np.zeros(LINE, np.int64), np.zeros((count, LINE), np.int64)
        self._wake, ended = [threading.Semaphore(0) for _ in range(count)], threading.Event()
        arguments = [
            (wake, ended, self.signal, mine, help) for wake, mine in zip(self._wake, self._helpers, strict=True)
        ]
        threads = [threading.Thread(target=_help, args=each, daemon=True) for each in arguments]
        for thread in threads:
            thread.start()
        weakref.finalize(self, _dismiss, self._wake, ended, threads)

    def call(self) -> None:
        """Call all helpers to the next step."""
        if ring(self.signal, self._helpers):
            for wake, mine in zip(self._wake, self._helpers, strict=True):
                if not mine[AWAKE]:
                    wake.release()


def _help(
    wake: threading.Semaphore, ended: threading.Event, signal: npt.NDArray[np.int64], mine: npt.NDArray[np.int64],
    help: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], None],
) -> None:  # fmt: skip
    while True:
        wake.acquire()
        if ended.is_set():
            return
        help(signal, mine)


def _dismiss(wake: Sequence[threading.Semaphore], ended: threading.Event, threads: Sequence[threading.Thread]) -> None:
    """Let the threads end. A thread that is in compiled code when the interpreter ends would abort the process."""
    ended.set()
    for each in wake:
        each.release()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(timeout=1.0)
