"""What a sweep found: its trials, best first, as a table and as curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Ended:
    """A trial and what came of it."""

    number: int
    values: dict[str, Any]
    bits_per_byte: list[float]
    """On held-out text, after the steps of each round that it has ended."""
    problem: str | None = None
    """Why it did not end."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found."""

    settings: list[str]
    """Dotted names of what differs."""
    steps: list[int]
    """Of each round."""
    trials: list[Ended]
    """Best first."""

    def table(self) -> Table:
        """Return what a terminal shows."""
        from rich.table import Table

        table = Table(title="trials, best first", title_justify="left")
        for column in self.header():
            table.add_column(column, justify="right")
        for row in self.rows():
            table.add_row(*row)
        return table

    def header(self) -> list[str]:
        """Return what stands above the rows of a table."""
        return ["trial", *self.settings, *(f"bits per byte, {steps:,} steps" for steps in self.steps)]

    def rows(self) -> list[list[str]]:
        """Return a row for each trial: its settings, then its bits per byte on each round."""
        return [
            [str(each.number), *(str(each.values[name]) for name in self.settings), *self._cells(each)]
            for each in self.trials
        ]

    def curves(self, setting: str) -> dict[str, tuple[list[float], list[float]]]:
        """Return the lowest bits per byte at each value of a setting, by round; none where it has no two numbers."""
        values = sorted({each.values[setting] for each in self.trials if type(each.values[setting]) in (int, float)})
        lines = {}
        for round_number, steps in enumerate(self.steps):
            reached = [each for each in self.trials if len(each.bits_per_byte) > round_number]
            at = {
                value: [e.bits_per_byte[round_number] for e in reached if e.values[setting] == value]
                for value in values
            }
            best = {value: min(bits) for value, bits in at.items() if bits}
            if len(best) > 1:
                lines[f"{steps:,} steps"] = (list(best), list(best.values()))
        return lines

    def is_wide(self, setting: str) -> bool:
        """Return whether the values of a setting are more than tenfold apart, so that a logarithm shows them better."""
        values = [each.values[setting] for each in self.trials]
        return min(values) > 0 and max(values) / min(values) > 10

    def _cells(self, trial: Ended) -> list[str]:
        cells = [f"{bits:.4f}" for bits in trial.bits_per_byte]
        failure = [] if trial.problem is None else [f"failed: {trial.problem}"]
        return (cells + failure + [""] * len(self.steps))[: len(self.steps)]
