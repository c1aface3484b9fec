"""A watchdog over ranks: one that died, that the system does not run any more, or that hangs in a step is named.

A rank that waits for another in a sum cannot distinguish a slow one from one that never comes. So a thread of each rank
shows by a number in the store of `torchrun` that it lives, and what its main thread does, and watches the others.
"""

from __future__ import annotations

import math
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

from scratchlm.training.distributed import gradient_sums

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 20.0
"""Seconds without one after which a rank counts as lost."""
HANGING, TIMES, FIRST = 120.0, 5.0, 600.0
"""Seconds for which all others wait for a rank in a step after which it counts as hanging, at least; how many times as
long as the longest step so far; and at least in the first step, which may compile."""
LATER = 5.0
"""Seconds that the others wait longer, so that the rank that hangs can say where."""
ELSEWHERE, COMPUTES, WAITS = 0, 1, 2
"""What a main thread does: something between steps, the rank's own part of a step, or it waits there for others."""
KINDS = 3
WAITING = (str(Path(torch.distributed.__file__).parent), gradient_sums.__file__)
"""Where the code lies in which ranks wait for each other."""
CALLS = torch._ops.__file__
"""Through which Python calls the operations of PyTorch."""


class Heartbeat:
    """The heartbeat of a rank: what the thread that trains does, for its watchdog."""

    def __init__(self) -> None:
        """Begin outside of any step."""
        self._thread: int | None = None
        self.steps = 0
        """How many were taken."""
        self.longest = 0.0
        """Seconds of the longest step; of a rank that waited in it for one that evaluated, with that time."""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Note that this thread takes a step inside the block."""
        started, self._thread = time.monotonic(), threading.get_ident()
        try:
            yield
        finally:
            self._thread = None
        self.steps, self.longest = self.steps + 1, max(self.longest, time.monotonic() - started)

    def state(self) -> int:
        """Return what the thread does now. Waits are seen on CPUs; on GPUs a rank waits where it reads a number."""
        frame = self._frame()
        if frame is None:
            return ELSEWHERE
        while frame.f_code.co_filename == CALLS and frame.f_back is not None:
            frame = frame.f_back
        return WAITS if frame.f_code.co_filename.startswith(WAITING) else COMPUTES

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
    kind = store.add(f"alive/{rank}", KINDS) % KINDS  # something else than 0 where the store is older than this process
    thread = threading.Thread(target=_watch, args=(store, rank, size, heartbeat, kind, silence, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5 * BEAT)


def _watch(
    store: Store, rank: int, size: int, heartbeat: Heartbeat, kind: int, silence: float, ended: threading.Event
) -> None:
    received: dict[int, tuple[int, float]] = {}
    hanging, longest = Hanging(), 0
    while not ended.wait(BEAT):
        now, state = time.monotonic(), heartbeat.state()
        try:
            store.add(f"alive/{rank}", KINDS + state - kind)  # the state is what is left of a division by KINDS
            store.add(f"longest/{rank}", math.ceil(heartbeat.longest) - longest)
            kind, longest = state, math.ceil(heartbeat.longest)
            beats = {other: store.add(f"alive/{other}", 0) for other in range(size) if other != rank}
            states = [state if each == rank else beats[each] % KINDS for each in range(size)]
            seconds = hanging.look(states, heartbeat.steps, now)
            limit = _limit(store, size) if seconds > HANGING else math.inf
        except (RuntimeError, ConnectionError):
            if not ended.is_set():
                _end(f"rank {rank}: the store of the ranks is gone")
            return
        lost = []
        for other, beat in beats.items():
            last, since = received.get(other, (-1, now))
            received[other] = (beat, now) if beat != last else (last, since)
            if now - received[other][1] > silence:
                lost.append(other)
        if lost:
            names = ", ".join(map(str, lost))
            _end(f"rank {rank}: no sign of life from rank {names} for {silence:.0f} s")
        if hanging.rank == rank and seconds > limit:
            _end(f"rank {rank}: the others have waited for it for {seconds:.0f} s; it hangs in {heartbeat.place()}")
        if seconds > limit + LATER:
            _end(f"rank {rank}: all have waited for rank {hanging.rank} for {seconds:.0f} s")


def _limit(store: Store, size: int) -> float:
    """Return after how many seconds a rank hangs: by the rank with the shortest steps, which waited for no other."""
    longest = min(store.add(f"longest/{each}", 0) for each in range(size))
    return max(HANGING, TIMES * longest) if longest else FIRST


class Hanging:
    """The one rank that all others wait for in a step, and since when."""

    def __init__(self) -> None:
        """Begin with none."""
        self.rank: int | None = None
        self._since = self._looked = 0.0
        self._steps = -1

    def look(self, states: Sequence[int], steps: int, now: float) -> float:
        """Return for how many seconds all other ranks have waited for one and the same, in one and the same step.

        `steps` is how many were taken; ranks take them together. What was not looked at for a while, as where the
        whole job was suspended, does not count. 0 where no rank waits, or not all do.
        """
        computing = [rank for rank, state in enumerate(states) if state == COMPUTES]
        alone = len(computing) == 1 and 0 < states.count(WAITS) == len(states) - 1
        rank = computing[0] if alone else None
        if rank is None or (rank, steps) != (self.rank, self._steps) or now - self._looked > 5 * BEAT:
            self.rank, self._steps, self._since = rank, steps, now
        self._looked = now
        return now - self._since


def _end(problem: str) -> None:
    print(f"scratchlm: {problem}; resume the run", file=sys.stderr, flush=True)
    os._exit(1)
