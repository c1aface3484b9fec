"""Progress of a run on stderr or in a notebook: loss, tokens a second, time left, fraction of the machine's peak."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

from scratchlm.base.progress import time_left
from scratchlm.base.terminal import console
from scratchlm.training.loop import StepRecord

PLAIN_SECONDS = 10.0
"""Seconds between two lines where there is no terminal to redraw."""
PAGE_SECONDS = 0.5
"""Seconds between two updates of a notebook's page."""
TIME_LEFT = len(" 00:00:00 left")
"""Columns that the time takes, at most 99 hours."""
NARROW, WIDE = 70, 100
"""Columns of a terminal below which the bar and its title are left out, and from which the bar is long."""


class TrainingProgress:
    """A bar on a terminal, one line redrawn in place in Jupyter, elsewhere a new line every ten seconds."""

    def __init__(self, title: str, steps: int, *, flops_per_token: float = 0.0, peak: float = 0.0) -> None:
        self.title = title
        self._share = flops_per_token / peak if peak else 0.0
        self._steps = 0
        self._speed = 0.0
        self._loss = 0.0
        self._said_bad_rows = False
        self._started = self._printed = time.monotonic()
        drawn = console(stderr=True)
        self._live = drawn.is_terminal and not drawn.is_jupyter
        self._page = _page() if drawn.is_jupyter else None
        length = 20 if drawn.width >= WIDE else 10
        before: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(bar_width=length)]
        taken = len(title) + length + 2
        if drawn.width < NARROW:
            before, taken = [], 0
        self._room = drawn.width - taken - TIME_LEFT
        self._bar = Progress(
            *before,
            TextColumn("{task.fields[figures]}"),
            *time_left(),
            console=drawn,
            transient=False,
            disable=not self._live,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(title, total=steps, figures="")

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, record: StepRecord) -> None:
        """Take note of a finished step."""
        if record.problem is not None:
            self.note("skipped", record.step, {"since": record.problem})
        if record.left_out and not self._said_bad_rows:
            self._said_bad_rows = True
            self.note("bad rows", record.step, {"left out": record.left_out, "these and later ones are in": "skipped/"})
        if record.smaller_micro_batch is not None:
            self.note("out of memory", record.step, {"micro_batch_size is now": record.smaller_micro_batch})
        self._steps += 1
        newest = 0.1 / (
            1 - 0.9**self._steps
        )  # bias correction, as Adam's: else the first step would weigh most for long
        self._speed += newest * (record.tokens / record.seconds - self._speed)
        self._loss += newest * (record.loss - self._loss)
        if self._live:
            self._bar.update(self._task, completed=record.step, total=record.steps, figures=self._fitting(record))
            return
        pause = PLAIN_SECONDS if self._page is None else PAGE_SECONDS
        if time.monotonic() - self._printed >= pause or record.step == record.steps:
            self._printed = time.monotonic()
            line = f"{self.title}: {self._figures(record)}, {self._printed - self._started:.0f} s"
            if self._page is None:
                print(line, file=sys.stderr, flush=True)
            else:
                self._page.update({"text/plain": line}, raw=True)

    def note(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Show what a hook answered, one line."""
        single = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
        shown = "  ".join(f"{name} {_short(value)}" for name, value in single.items())
        for several in (value for value in values.values() if isinstance(value, Mapping)):
            shown += "".join(f"  {name}: loss {_short(each['loss'])}" for name, each in several.items())
        line = f"{kind} at step {step}: {shown}"
        if self._live:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _figures(self, record: StepRecord) -> str:
        use = f", {100 * self._speed * self._share:.0f}% of peak" if self._share else ""
        return f"step {record.step}/{record.steps}, loss {self._loss:.3f}, {self._speed:,.0f} tokens/s{use}"

    def _fitting(self, record: StepRecord) -> str:
        """Return as many of the figures as fit a line of the terminal, the first ones first."""
        figures = self._figures(record)
        if self._room < len(figures.partition(" tokens/s")[0]):
            figures = figures.removeprefix("step ")
        while len(figures) > self._room and ", " in figures:
            figures = figures.rpartition(", ")[0]
        return figures


def _page() -> Any:
    """Return a place on a Jupyter page whose content can be replaced (rich's own needs a widget library)."""
    from IPython.display import display

    return display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."
