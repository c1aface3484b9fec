"""What an experiment found: named values with intervals, claims that hold or do not, tables, curves and samples.

A result file holds all of it, sealed; `replayed` tells whether a second run found the same.
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
from scratchlm.lab.harness.settings import RATINGS

FORMAT, KIND, COMMAND = 1, "scratchlm experiment", "scratchlm experiment"
SAME = 1e-9
"""Relative difference up to which two runs of one machine found the same."""
NEAR = 0.1
"""The same for machines that round otherwise, where a value has no interval."""
DERIVED = (".p", ".detectable", ".read_relevant", ".read_coherent", "read-as-relevant")
"""What follows from other values, or was read of replies that another machine does not give: not compared there."""


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


@dataclass(frozen=True)
class Claim:
    """A statement that the numbers bear out or do not."""

    says: str
    holds: bool


@dataclass(frozen=True)
class Table:
    """A table as it is shown."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Curves:
    """Named curves of one figure: for each, places and heights."""

    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    logarithmic: bool = False
    """Whether places are drawn by their logarithm."""


@dataclass(frozen=True)
class Sample:
    """A text that something wrote."""

    label: str
    text: str


SAME_MACHINE = ("processor", "cpu_capability", "torch", "threads")
"""What sums are rounded by: where these are equal, numbers come out equal."""


@dataclass(repr=False)
class Outcome(Result):
    """All that an experiment found; what a clock measured stands apart, in `timings`."""

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

    @property
    def small(self) -> bool:
        """Whether this is an experiment's small form: too little training for a verdict against a claim."""
        return bool(self.settings.get("small"))

    def verdict(self, claim: Claim) -> str:
        """Tell what these numbers say of a claim.

        A claim that fails in the small form is not refuted by it: its models learned next to nothing. The result file
        holds what the numbers gave, in every form.
        """
        if self.small:
            return "holds in the small form" if claim.holds else "too small to judge (would not hold)"
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
    """Read a result file. Raises `UserError` for one that is none, of another version, or changed by hand."""
    body = read_sealed(path, KIND, FORMAT, COMMAND)
    for each in (body.get("values"), *_lines_of(body)):
        _restore(each)
    return from_dict(Outcome, body, str(path))


def _lines_of(body: Mapping[str, Any]) -> list[Any]:
    """Return the lines of all curves of a result."""
    curves = body.get("curves")
    found = [each.get("lines") for each in curves if isinstance(each, dict)] if isinstance(curves, list) else []
    return [ends for lines in found if isinstance(lines, dict) for ends in lines.values()]


def _restore(value: Any) -> None:
    """Put back, in place, the numbers that JSON could not hold; a value without an interval has none."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if isinstance(each, dict) and each.get("value", 0) is None:
            value[key] = {**each, "value": math.nan}
    for line in value if isinstance(value, list) else ():
        if isinstance(line, list):
            line[:] = [math.nan if each is None else each for each in line]


def other_data(stored: Outcome, again: Outcome) -> list[str]:
    """Return a problem for each file that its steps read and that is another one now; ratings may be a reader's own."""
    return [
        f"{name}: is another file than the stored result of {stored.name} read; name its data folder with --data"
        for name in stored.data
        if name != RATINGS and again.data.get(name) != stored.data[name]
    ]


def replayed(stored: Outcome, again: Outcome) -> str:
    """Tell that a second run found what the first did.

    Raises `UserError` with what differs: data, a claim, or a value, which on one machine comes out the same to the
    ninth digit. With another processor, torch or number of threads sums are rounded otherwise, and training makes much
    of it: there a value must lie within the first one's interval, or within a tenth of it where it has none.
    """
    here = all(stored.machine.get(key) == again.machine.get(key) for key in SAME_MACHINE)
    problems = other_data(stored, again)
    problems += [
        f"{name}: {'no longer ' if claim.holds else 'now '}holds"
        for name, claim in stored.claims.items()
        if (name not in again.claims or again.claims[name].holds != claim.holds)
        and (here or not name.endswith(DERIVED))
    ]
    moved = 0
    for name, value in stored.values.items():
        if not here and name.endswith(DERIVED):
            continue
        other = again.values.get(name)
        if other is None or not _alike(value, other, here):
            problems.append(
                f"{name}: {value.value:.6g} then, {'nothing' if other is None else f'{other.value:.6g}'} now"
            )
        elif other.value != value.value:
            moved += 1
    if problems:
        raise UserError(f"replay of {stored.name}: " + "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else ""))
    where = "a like machine" if here else "another machine"
    return (
        f"{stored.name}: {len(stored.values):,} values and {len(stored.claims)} claims turn out the same on {where}"
        + (f"; {moved} values moved as far as may be" if moved and not here else "")
    )


def _alike(value: Value, other: Value, here: bool) -> bool:
    """Tell whether a value came out again."""
    if abs(value.value - other.value) <= SAME * max(abs(value.value), abs(other.value)):
        return True
    if here:
        return False
    if value.low is not None and value.high is not None:
        return value.low <= other.value <= value.high
    return abs(value.value - other.value) <= NEAR * max(abs(value.value), abs(other.value))
