"""The outcome of an experiment: values with intervals, claims that hold or do not, tables, curves and samples.

A result file holds all of it, sealed; `replayed` checks that a second run found the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.config import from_dict
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_json
from scratchlm.base.result import Result
from scratchlm.base.sealed import read_sealed, sealed
from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.settings import EARLIER_NAMES, INIT, RATINGS

FORMAT, KIND, COMMAND = 1, "scratchlm experiment", "scratchlm experiment"
SAME = 1e-9
"""Relative tolerance between two runs on one machine."""
NEAR = 0.1
"""Relative tolerance between machines that round differently, for a value without an interval."""
DERIVED = (".p", ".detectable", ".read_relevant", ".read_coherent", "read-as-relevant")
"""Values not compared across machines: derived from other values, or ratings of replies that differ there."""


@dataclass(frozen=True)
class Value:
    """A measured number; with an interval where it is an estimate."""

    value: float
    low: float | None = None
    high: float | None = None

    def shown(self, form: str = ".3f") -> str:
        """Return the number with its interval, each in a format such as `.3f` or `.1%`."""
        if self.low is None or self.high is None:
            return format(self.value, form)
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    def above(self, other: Value | float = 0.0) -> bool:
        """Return whether its whole interval lies above a number, or above the interval of another value."""
        limit = other.high if isinstance(other, Value) else other
        return self.low is not None and limit is not None and self.low > limit


@dataclass(frozen=True)
class Claim:
    """A statement that the numbers support or do not."""

    says: str
    holds: bool
    timed: bool = False
    """Whether it compares clock readings, which another program can change: a replay may find otherwise."""


@dataclass(frozen=True)
class Table:
    """A table of formatted cells."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Curves:
    """Named curves of one figure, each a sequence of x values and one of y values."""

    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    logarithmic: bool = False
    """Whether the x axis is logarithmic."""


@dataclass(frozen=True)
class Sample:
    """A text that a model or a method wrote, with its label."""

    label: str
    text: str


SAME_MACHINE = ("processor", "cpu_capability", "torch", "threads")
"""Properties that decide how sums are rounded: where these are equal, runs give equal numbers."""


@dataclass(repr=False)
class Outcome(Result):
    """The outcome of an experiment; times are kept apart, in `timings`."""

    name: str
    asks: str
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file that was read, by its name."""
    machine: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def claim(self, key: str, says: str, holds: bool, timed: bool = False) -> None:
        """Add a claim."""
        self.claims[key] = Claim(says, holds, timed)

    def gain(self, key: str, compared: Comparison) -> bool:
        """Add a difference as a value; return whether its whole interval lies above zero."""
        self.values[key] = Value(compared.difference, *compared.interval)
        return compared.interval.low > 0

    @property
    def init_hash(self) -> str:
        """The first digits of the hash of the published model given as `--init`; empty without one."""
        return self.data.get(INIT, "")[:8]

    @property
    def small(self) -> bool:
        """Whether this is a run with `--small`: too little training to refute a claim."""
        return bool(self.settings.get("small"))

    def verdict(self, claim: Claim) -> str:
        """Return the verdict on a claim.

        A run with `--small` never refutes a claim, because its models learned next to nothing. The result file stores
        what the numbers gave in either case.
        """
        if self.small:
            return "holds with --small" if claim.holds else "too small to judge (would not hold)"
        return "holds" if claim.holds else "does not hold"

    def as_dict(self) -> dict[str, Any]:
        """Return sealed plain data."""
        return sealed(KIND, FORMAT, asdict(self))

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table as Drawn

        parts: list[Any] = [self.asks]
        for table in self.tables:
            drawn = Drawn(*table.header, box=None, pad_edge=False, title=table.title, title_justify="left")
            for row in table.rows:
                drawn.add_row(*row)
            parts += ["", drawn]
        parts += ["", *(f"{self.verdict(claim)}: {claim.says}" for claim in self.claims.values())]
        parts += [f"{sample.label}: {sample.text}" for sample in self.samples]
        return Group(*parts, *self.notes, f"{self.seconds:.0f} s")


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Write a result file."""
    write_json(path, outcome.as_dict())


def read_outcome(path: Path) -> Outcome:
    """Read a result file. Raises `UserError` for another kind of file, another format, or one changed by hand."""
    body = read_sealed(path, KIND, FORMAT, COMMAND)
    if isinstance(name := body.get("name"), str):
        body["name"] = EARLIER_NAMES.get(name, name)
    curves = body.get("curves")
    lines = [each.get("lines") for each in curves if isinstance(each, dict)] if isinstance(curves, list) else []
    for each in (body.get("values"), *(ends for named in lines if isinstance(named, dict) for ends in named.values())):
        _restore(each)
    return from_dict(Outcome, body, str(path))


def _restore(value: Any) -> None:
    """Restore NaN in place where JSON stored null; a value without an interval keeps none."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if isinstance(each, dict) and each.get("value", 0) is None:
            value[key] = {**each, "value": math.nan}
    for line in value if isinstance(value, list) else ():
        if isinstance(line, list):
            line[:] = [math.nan if each is None else each for each in line]


def other_data(stored: Outcome, again: Outcome) -> list[str]:
    """Return a problem for each input file that differs from the stored run's; ratings may differ."""
    return [
        f"{name}: differs from the file that the stored result of {stored.name} used; name its data folder with --data"
        for name in stored.data
        if name != RATINGS and again.data.get(name) != stored.data[name]
    ]


def replayed(stored: Outcome, again: Outcome) -> str:
    """Check that a second run found what the first did, and say so.

    Raises `UserError` with each difference in data, claims or values. On one machine values must agree to the ninth
    digit. Another processor, torch version or number of threads rounds sums differently, and training amplifies that:
    there a value must lie within the first one's interval, or within a tenth of it where it has none. Claims about
    clock readings are not compared.
    """
    here = all(stored.machine.get(key) == again.machine.get(key) for key in SAME_MACHINE)
    problems = other_data(stored, again)
    problems += [
        f"{name}: {'no longer ' if claim.holds else 'now '}holds"
        for name, claim in stored.claims.items()
        if (name not in again.claims or (again.claims[name].holds != claim.holds and not again.claims[name].timed))
        and (here or not name.endswith(DERIVED))
    ]
    moved = 0
    for name, value in stored.values.items():
        other = again.values.get(name)
        if not here and name.endswith(DERIVED):
            continue
        if other is None or not _alike(value, other, here):
            now = "missing" if other is None else f"{other.value:.6g}"
            problems.append(f"{name}: {value.value:.6g} in the stored result, {now} now")
        else:
            moved += other.value != value.value
    if problems:
        raise UserError(f"replay of {stored.name}: " + "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else ""))
    where = "an equal machine" if here else "another machine"
    told = f"{stored.name}: {len(stored.values):,} values and {len(stored.claims)} claims are reproduced on {where}"
    return f"{told}; {moved} values differ within the tolerance" if moved and not here else told


def _alike(value: Value, other: Value, here: bool) -> bool:
    """Return whether a value was reproduced."""
    off, size = abs(value.value - other.value), max(abs(value.value), abs(other.value))
    if off <= SAME * size or here:
        return off <= SAME * size
    if value.low is not None and value.high is not None:
        return value.low <= other.value <= value.high
    return off <= NEAR * size
