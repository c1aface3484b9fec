"""Progress of work whose parts are counted, on stderr, once it has lasted two seconds."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from scratchlm.base.terminal import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

QUIET_SECONDS = 2.0
"""Work that ends sooner shows nothing."""
PLAIN_SECONDS = 10.0
"""Seconds between two lines where there is no terminal to redraw."""


def time_left() -> tuple[ProgressColumn, ProgressColumn]:
    """Return the last columns of a bar: the time that is left, and what it is. They never go on in a second line."""
    from rich.progress import TextColumn, TimeRemainingColumn
    from rich.table import Column

    return TimeRemainingColumn(table_column=Column(no_wrap=True)), TextColumn("left")


class CountedProgress:
    """A bar on a terminal; elsewhere a line after two seconds, and then one every ten."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        """Show `title: N of TOTAL UNIT`."""
        from rich.progress import BarColumn, Progress, TextColumn

        self._title, self._total, self._unit, self._done = title, total, unit, 0
        self._lock, self._shown, self._ended = threading.RLock(), False, False
        drawn = console(stderr=True)
        self._live = drawn.is_terminal and not drawn.is_jupyter
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), *time_left())
        self._bar = Progress(*columns, console=drawn, transient=True, refresh_per_second=4, disable=not self._live)
        self._task = self._bar.add_task(self._text(), total=total)
        self._timer = threading.Timer(QUIET_SECONDS, self._show)
        self._timer.daemon = True

    def __enter__(self) -> CountedProgress:
        self._started = self._printed = time.monotonic()
        self._timer.start()  # of its own, since the first part may take long
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            self._bar.stop()

    def reached(self, done: int) -> None:
        """Take note of how many parts are done."""
        with self._lock:
            self._done = done
            self._bar.update(self._task, completed=done, description=self._text())
            if self._shown and time.monotonic() - self._printed >= PLAIN_SECONDS:
                self._print()

    def _show(self) -> None:
        with self._lock:
            if not self._ended:
                self._shown = True
                self._bar.start()
                self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        if not self._live:
            print(f"{self._text()}, {self._printed - self._started:.0f} s", file=sys.stderr, flush=True)

    def _text(self) -> str:
        return f"{self._title}: {self._done:,} of {self._total:,} {self._unit}"
