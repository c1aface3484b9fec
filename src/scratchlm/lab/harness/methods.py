"""Methods in the order of their history: each is measured alike and compared with the one above it in the table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Generic, TypeVar

import numpy as np

from scratchlm.base.statistics import Comparison, comparison_of, standard_error
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import Values

M = TypeVar("M")
G = TypeVar("G", bound=Sized)
Compare = Callable[["MethodResult", "MethodResult"], Comparison]
"""Function of two methods' results: the second minus the first."""
LEAST_P = 1e-16
"""Smallest p-value that is stored: rounding errors of the sums hide smaller ones."""
COSTS = ("train_seconds", "item_microseconds", "megabytes")


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
    seeded: bool = False
    """Whether a seed changes it; a method without randomness is measured once for all seeds."""

    def steps(self, steps: Steps) -> Steps:
        """Return where its steps belong: to one seed, or to all."""
        return steps if self.seeded else steps.shared

    @property
    def step(self) -> str:
        """The name of its step."""
        return f"{self.key}-{self.hash_prefix}" if self.hash_prefix else self.key

    def result(self, scores: Mapping[str, Value], measured: Mapping[str, Any]) -> MethodResult:
        """Return its scores with the costs that `clocked` measured."""
        return MethodResult(self.key, self.name, scores, *(measured[cost] for cost in COSTS))


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


def clocked(train: Callable[[], M], use: Callable[[M], G], size: Callable[[M], int]) -> tuple[M, G, dict[str, float]]:
    """Train a method and use it on all test items, both clocked; return it, what it gave, and its costs.

    `size` is in bytes.
    """
    started = time.perf_counter()
    model = train()
    trained = time.perf_counter()
    result = use(model)
    ended = time.perf_counter()
    costs = (trained - started, 1e6 * (ended - trained) / len(result), size(model) / 1e6)
    return model, result, dict(zip(COSTS, costs, strict=True))


def paired(
    gaps: Sequence[float] | np.ndarray, clusters: Sequence[object] | None = None, confidence: float = 0.95
) -> Comparison:
    """Return the comparison that differences between two methods' scores of the same items give."""
    return comparison_of(float(np.mean(gaps)), standard_error(gaps, clusters), confidence)


def paired_by(
    scores: Mapping[str, Sequence[float] | np.ndarray], clusters: Sequence[object] | None = None, scale: float = 1.0
) -> Compare:
    """Return a comparison of methods by their scores of the same items, by method key, times `scale`."""
    return lambda below, above: paired(scale * np.subtract(scores[above.key], scores[below.key]), clusters)


def claim_gains(
    findings: Findings, by: Mapping[str, MethodResult], compare: Compare, claims: Iterable[tuple[str, str, str]]
) -> None:
    """Add claims that a method scores higher than another. Each is a key and the two methods.

    The difference becomes the value ABOVE.over.BELOW. A claim about a method that was not run, for want of `--init`, is
    left out.
    """
    for key, above, below in claims:
        if above in by and below in by:
            findings.claim(key, findings.gain(f"{above}.over.{below}", compare(by[below], by[above])))


def add_comparison(
    findings: Findings, title: str, results: Sequence[MethodResult], columns: Sequence[Column], compare: Compare,
    form: str = "+.3f",
) -> None:  # fmt: skip
    """Add the values, timings, tables and the figure of methods that were measured alike.

    `compare` tests a method against the one before it by the first column's score. The table shows each difference
    with its minimum detectable difference: the smallest one that such data would have shown in 80% of such studies.
    """
    scores: list[Row] = []
    costs: list[Row] = []
    for number, result in enumerate(results):
        findings.values |= {f"{result.key}.{name}": value for name, value in result.scores.items()}
        findings.values[f"{result.key}.megabytes"] = Value(result.megabytes)
        findings.timings |= {f"{result.key}.{cost}": getattr(result, cost) for cost in COSTS[:2]}
        scores.append([result.name, *(Cell(f"{result.key}.{c.key}", c.form, c.interval) for c in columns)])
        cost = [Cell(f"{result.key}.{name}", ",.3g", interval=False) for name in COSTS]
        gain = _gain(findings, result, compare(results[number - 1], result), form) if number else ["", "", ""]
        costs.append([result.name, *cost, *gain])
    findings.table(title, ["", *(column.title for column in columns)], scores)
    first = columns[0]
    gained = f"{first.title}, minus the method above"
    header = ["", "training, s", "per item, µs", "MB", gained, "minimum detectable difference", "p"]
    findings.table("Cost of each method, and its difference from the method above", header, costs)
    findings.dots(title, first.title, {result.name: f"{result.key}.{first.key}" for result in results})


def add_groups(
    findings: Findings, title: str, score: str, results: Sequence[MethodResult],
    groups: Mapping[str, tuple[str, np.ndarray]], measure: Callable[[str, np.ndarray], Value], form: str = ".3f",
) -> None:  # fmt: skip
    """Add each method's score on groups of test items: the group's title, and which items are in it.

    `measure` gives the score of a method, by its key, on a group. Empty groups are left out.
    """
    filled = {name: (shown, inside) for name, (shown, inside) in groups.items() if inside.any()}
    rows: list[Row] = []
    for result in results:
        keys = {name: f"{result.key}.{score}.{name}" for name in filled}
        findings.values |= {keys[name]: measure(result.key, inside) for name, (_, inside) in filled.items()}
        rows.append([result.name, *(Cell(key, form) for key in keys.values())])
    header = ["", *(f"{shown}, {inside.sum():,}" for shown, inside in filled.values())]
    findings.table(title, header, rows)


def _gain(findings: Findings, result: MethodResult, compared: Comparison, form: str) -> Row:
    """Add a gain, with its p-value and smallest detectable difference by the error over seeds and items."""
    gain, p, detectable = (f"{result.key}.{name}" for name in ("gain", "p", "detectable"))
    findings.gain(gain, compared)

    def again(values: Values) -> Comparison:
        low, high = values[gain].ends
        return comparison_of(values[gain].value, (high - low) / 2 / NormalDist().inv_cdf(0.975))

    findings.derive(p, lambda values: Value(max(LEAST_P, again(values).p_value)))
    if math.isfinite(compared.detectable):  # infinite where a single book or passage was tested
        findings.derive(detectable, lambda values: Value(again(values).detectable))
    return [Cell(gain, form), Cell(detectable, form[1:]), Cell(p, ".2g")]
