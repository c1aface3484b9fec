"""A watchdog over ranks: one that died, or that the system does not run any more, is named, and the others end.

A rank that waits for another in a sum cannot tell a slow one from a frozen one. So a thread of each rank counts up a
number in the store that `torchrun` keeps, and watches those of the others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed.distributed_c10d import Store

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 20.0
"""Seconds without one after which a rank counts as lost."""


@contextmanager
def watched(store: Store, rank: int, size: int, silence: float = SILENCE) -> Iterator[None]:
    """Give signs of life and watch those of the other ranks; where one is lost, name it and end this process.

    The process ends at once, with exit code 1: its main thread may wait for the lost rank and hear nothing else.
    """
    ended = threading.Event()
    store.add(f"alive/{rank}", 1)
    thread = threading.Thread(target=_watch, args=(store, rank, size, silence, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5 * BEAT)


def _watch(store: Store, rank: int, size: int, silence: float, ended: threading.Event) -> None:
    heard: dict[int, tuple[int, float]] = {}
    while not ended.wait(BEAT):
        now = time.monotonic()
        try:
            store.add(f"alive/{rank}", 1)
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


def _end(problem: str) -> None:
    print(f"scratchlm: {problem}; resume the run", file=sys.stderr, flush=True)
    os._exit(1)
