"""A watchdog over ranks: one that died, that the system does not run any more, or that hangs in a step is named.

A rank that waits for another in a sum cannot tell a slow one from one that never comes. So a thread of each rank tells
by a number in the store that `torchrun` keeps that it lives, and what its main thread does, and watches the others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch.distributed
from torch.distributed.distributed_c10d import Store

from scratchlm.training import gradient_sums

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 20.0
"""Seconds without one after which a rank counts as lost."""
HANGING, TIMES, FIRST = 120.0, 5.0, 600.0
"""Seconds for which all others wait for a rank in a step after which it counts as hanging, at least; how many times as
long as the longest step so far; and at least in the first step, which may compile."""
ELSEWHERE, COMPUTES, WAITS = 0, 1, 2
"""What a main thread does: something between steps, the rank's own part of a step, or it waits there for others."""
KINDS = 3
WAITING = (str(Path(torch.distributed.__file__).parent), gradient_sums.__file__)
"""Where the code lies in which ranks wait for each other."""


class Heartbeat:
    """The heartbeat of a rank: what the thread that trains does, for its watchdog."""

    def __init__(self) -> None:
        """Begin outside of any step."""
        self._thread: int | None = None
        self._longest: float | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Tell that this thread takes a step inside the block."""
        started, self._thread = time.monotonic(), threading.get_ident()
        try:
            yield
        finally:
            self._thread = None
        self._longest = max(self._longest or 0.0, time.monotonic() - started)

    @property
    def limit(self) -> float:
        """Seconds after which a rank that all others wait for counts as hanging."""
        return FIRST if self._longest is None else max(HANGING, TIMES * self._longest)

    def state(self) -> int:
        """Return what the thread does now."""
        frame = innermost = self._frame()
        while frame is not None and not frame.f_code.co_filename.startswith(WAITING):
            frame = frame.f_back
        return ELSEWHERE if innermost is None else COMPUTES if frame is None else WAITS

    def place(self) -> str:
        """Return the line of code that the thread is at, and the function."""
        frame = self._frame()
        if frame is None:
            return "no step"
        last = traceback.extract_stack(frame)[-1]
        return f"{last.filename}, line {last.lineno}, {last.name}"

    def _frame(self) -> FrameType | None:
        return None if self._thread is None else sys._current_frames().get(self._thread)


@contextmanager
def watched(store: Store, rank: int, size: int, heartbeat: Heartbeat, silence: float = SILENCE) -> Iterator[None]:
    """Give signs of life and watch those of the other ranks; where one is lost or hangs, name it and end this process.

    The process ends at once, with exit code 1: its main thread may wait for the lost rank and hear nothing else.
    """
    ended = threading.Event()
    store.add(f"alive/{rank}", KINDS)
    thread = threading.Thread(target=_watch, args=(store, rank, size, heartbeat, silence, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5 * BEAT)


def _watch(store: Store, rank: int, size: int, heartbeat: Heartbeat, silence: float, ended: threading.Event) -> None:
    heard: dict[int, tuple[int, float]] = {}
    hanging, told = Hanging(), ELSEWHERE
    while not ended.wait(BEAT):
        now, state = time.monotonic(), heartbeat.state()
        try:
            store.add(f"alive/{rank}", KINDS + state - told)  # the state is what is left of a division by KINDS
            told = state
            beats = {other: store.add(f"alive/{other}", 0) for other in range(size) if other != rank}
        except (RuntimeError, ConnectionError):
            if not ended.is_set():
                _end(f"rank {rank}: the store of the ranks is gone")
            return
        lost = []
        for other, beat in beats.items():
            last, since = heard.get(other, (-1, now))
            heard[other] = (beat, now) if beat != last else (last, since)
            if now - heard[other][1] > silence:
                lost.append(other)
        if lost:
            names = ", ".join(map(str, lost))
            _end(f"rank {rank}: no sign of life from rank {names} for {silence:.0f} s")
        states = [state if each == rank else beats[each] % KINDS for each in range(size)]
        if (seconds := hanging.look(states, now)) > heartbeat.limit:
            where = f"; it hangs in {heartbeat.place()}" if hanging.rank == rank else ""
            _end(f"rank {rank}: the others have waited for rank {hanging.rank} for {seconds:.0f} s{where}")


class Hanging:
    """The one rank that all others wait for in a step, and since when."""

    def __init__(self) -> None:
        """Begin with none."""
        self.rank: int | None = None
        self._since = 0.0

    def look(self, states: Sequence[int], now: float) -> float:
        """Return for how many seconds all other ranks have waited for one and the same; 0 where they do not."""
        computing = [rank for rank, state in enumerate(states) if state == COMPUTES]
        alone = len(computing) == 1 and states.count(WAITS) == len(states) - 1
        rank = computing[0] if alone else None
        if rank is None or rank != self.rank:
            self.rank, self._since = rank, now
        return now - self._since


def _end(problem: str) -> None:
    print(f"scratchlm: {problem}; resume the run", file=sys.stderr, flush=True)
    os._exit(1)
