"""Methods in the order of their history: each is measured alike and compared with the one above it in the table."""

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
"""Smallest p-value that is printed as such: rounding errors of the sums hide smaller ones."""


@dataclass(frozen=True)
class Method(Generic[M]):
    """A method or baseline before it is run."""

    key: str
    """Its name among the values: `svm`."""
    name: str
    """Its name in tables: `words and characters, linear SVM`."""
    make: M
    """Builds it, anew at each call."""
    hash_prefix: str = ""
    """First digits of the hash of the published model it uses; empty for other methods."""

    @property
    def step(self) -> str:
        """The name of its step."""
        return f"{self.key}-{self.hash_prefix}" if self.hash_prefix else self.key


@dataclass(frozen=True)
class MethodResult:
    """The scores, times and size of one method."""

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


def init_hash(outcome: Outcome) -> str:
    """Return the first digits of the hash of the published model given as `--init`; empty without one."""
    return outcome.data.get(INIT, "")[:8]


def add_comparison(
    outcome: Outcome,
    title: str,
    results: Sequence[MethodResult],
    columns: Sequence[Column],
    compare: Callable[[MethodResult, MethodResult], Comparison],
    form: str = "+.3f",
) -> None:
    """Add the values, timings and tables of methods that were measured alike.

    `compare` tests a method against the one before it by the first column's score. The table shows each difference
    with its minimum detectable difference: the smallest one that such data would have shown four times of five.
    """
    scores, costs = [], []
    for number, result in enumerate(results):
        outcome.values.update({f"{result.key}.{name}": value for name, value in result.scores.items()})
        outcome.values[f"{result.key}.megabytes"] = Value(result.megabytes)
        outcome.timings[f"{result.key}.train_seconds"] = result.train_seconds
        outcome.timings[f"{result.key}.item_microseconds"] = result.item_microseconds
        scores.append([result.name, *(_cell(result.scores.get(column.key), column) for column in columns)])
        cost = [f"{result.train_seconds:.3g}", f"{result.item_microseconds:,.3g}", f"{result.megabytes:,.3g}"]
        gain = _gain(outcome, result, compare(results[number - 1], result), form) if number else ["", "", ""]
        costs.append([result.name, *cost, *gain])
    outcome.tables.append(Table(title, ["", *(column.title for column in columns)], scores))
    gained = f"{columns[0].title}, gain over the method above"
    header = ["", "training, s", "per item, µs", "MB", gained, "minimum detectable difference", "p"]
    outcome.tables.append(Table("Cost of each method, and its gain over the method above", header, costs))


def _gain(outcome: Outcome, result: MethodResult, compared: Comparison, form: str) -> list[str]:
    low, high = compared.interval
    minimum_detectable_difference = compared.detectable
    outcome.values[f"{result.key}.gain"] = Value(compared.difference, low, high)
    if math.isfinite(minimum_detectable_difference):  # infinite where a single book or passage was tested
        outcome.values[f"{result.key}.detectable"] = Value(minimum_detectable_difference)
    outcome.values[f"{result.key}.p"] = Value(compared.p_value)
    gain = f"{compared.difference:{form}} ({low:{form}} to {high:{form}})"
    return [gain, f"{minimum_detectable_difference:{form[1:]}}", _p_value(compared.p_value)]


def _p_value(p: float) -> str:
    return f"{p:.2g}" if p >= LEAST_P else f"<{LEAST_P:g}"


def _cell(value: Value | None, column: Column) -> str:
    if value is None:
        return ""
    return value.shown(column.form) if column.interval else format(value.value, column.form)
