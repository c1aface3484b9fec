"""Stopping on request: Ctrl-C and SIGTERM end what runs after the step or token in hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set by a signal or by a caller, read between steps."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> None:
        """Ask to stop after the step in hand."""
        self.requested = True


@contextmanager
def stop_on_signals(*numbers: int) -> Iterator[StopRequest]:
    """Turn the first of these signals (Ctrl-C and SIGTERM if none) into a `StopRequest`; a second interrupts at once.

    Outside the main thread (a notebook's or a server's worker) signals cannot be caught and the request stays unset.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt
        request()

    numbers = numbers or (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
