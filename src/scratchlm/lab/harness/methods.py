"""Ladders: methods in the order of their history, each measured alike and compared with the one below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.outcome import Outcome, Table, Value

M = TypeVar("M")
INIT = "init"
"""The name of a published model's files among an experiment's data."""
LEAST_P = 1e-16
"""Chances below this are not told apart: sums of rounded numbers do not reach further."""


@dataclass(frozen=True)
class Method(Generic[M]):
    """A rung before it is climbed."""

    key: str
    """Its name among the values: `svm`."""
    name: str
    """Its name for people: `words and characters, linear SVM`."""
    make: M
    """What makes it, anew at each call."""
    mark: str = ""
    """The beginning of the hash of a published model that it is made of."""

    @property
    def step(self) -> str:
        """Return the name that its step goes by."""
        return f"{self.key}-{self.mark}" if self.mark else self.key


@dataclass(frozen=True)
class Rung:
    """One method and what it reached."""

    key: str
    name: str
    scores: Mapping[str, Value]
    train_seconds: float
    item_microseconds: float
    megabytes: float


@dataclass(frozen=True)
class Column:
    """A score that the table shows."""

    key: str
    title: str
    form: str = ".3f"
    interval: bool = False


def mark_of_init(outcome: Outcome) -> str:
    """Return the mark of the published model that joined in; empty without one."""
    return outcome.data.get(INIT, "")[:8]


def add_ladder(
    outcome: Outcome,
    title: str,
    rungs: Sequence[Rung],
    columns: Sequence[Column],
    compare: Callable[[Rung, Rung], Comparison],
    form: str = "+.3f",
) -> None:
    """Add the values, timings and tables of a ladder.

    `compare` tests a rung against the one below it by the first column's score; the smallest difference that would have
    been seen four times of five stands beside each difference.
    """
    scores, costs = [], []
    for number, rung in enumerate(rungs):
        outcome.values.update({f"{rung.key}.{name}": value for name, value in rung.scores.items()})
        outcome.values[f"{rung.key}.megabytes"] = Value(rung.megabytes)
        outcome.timings[f"{rung.key}.train_seconds"] = rung.train_seconds
        outcome.timings[f"{rung.key}.item_microseconds"] = rung.item_microseconds
        scores.append([rung.name, *(_cell(rung.scores.get(column.key), column) for column in columns)])
        cost = [f"{rung.train_seconds:.3g}", f"{rung.item_microseconds:,.3g}", f"{rung.megabytes:,.3g}"]
        gain = _gain(outcome, rung, compare(rungs[number - 1], rung), form) if number else ["", "", ""]
        costs.append([rung.name, *cost, *gain])
    outcome.tables.append(Table(title, ["", *(column.title for column in columns)], scores))
    first = columns[0].title
    header = ["", "training, s", "an item, us", "MB", f"{first}, gain on the rung before", "seen from", "p"]
    outcome.tables.append(Table("What it costs, and what it gains", header, costs))


def _gain(outcome: Outcome, rung: Rung, compared: Comparison, form: str) -> list[str]:
    low, high = compared.interval
    outcome.values[f"{rung.key}.gain"] = Value(compared.difference, low, high)
    if math.isfinite(compared.detectable):  # not where a single book or passage was tested
        outcome.values[f"{rung.key}.detectable"] = Value(compared.detectable)
    outcome.values[f"{rung.key}.p"] = Value(compared.p_value)
    gain = f"{compared.difference:{form}} ({low:{form}} to {high:{form}})"
    return [gain, f"{compared.detectable:{form[1:]}}", _chance(compared.p_value)]


def _chance(p: float) -> str:
    return f"{p:.2g}" if p >= LEAST_P else f"<{LEAST_P:g}"


def _cell(value: Value | None, column: Column) -> str:
    if value is None:
        return ""
    return value.shown(column.form) if column.interval else format(value.value, column.form)
