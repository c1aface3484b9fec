"""The outcome of an experiment: values with intervals, claims that hold or do not, tables, curves and samples.

A result file holds all of it, sealed; `replayed` checks that a second run found the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scratchlm.base.config import from_dict
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_json
from scratchlm.base.result import Result
from scratchlm.base.sealed import read_sealed, sealed
from scratchlm.base.statistics import standard_error
from scratchlm.lab.harness.settings import MODEL

FORMAT, KIND, COMMAND = 1, "scratchlm experiment", "scratchlm experiment"
SAME = 1e-9
"""Relative tolerance between two runs on one machine."""
NEAR = 0.1
"""Relative tolerance between machines that round differently, for a value without an interval."""
INSIDE = 0.9
"""Fraction of the values that must lie within their intervals on a machine that rounds differently."""
FEW = 50
"""Fewer cases than this are counted, not stated as a percentage."""
DERIVED = (".p", ".detectable")
"""Values not compared across machines: derived from other values."""


@dataclass(frozen=True)
class Value:
    """A measured number; with an interval where it is an estimate."""

    value: float
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    """The value of each seed, where there are several."""
    share: bool = False
    """Whether it is a fraction from 0 to 1, and its interval too."""
    cases: int | None = None
    """Of how many cases it is a fraction, where it is one of counted cases."""

    def shown(self, form: str = ".3f") -> str:
        """Return the number with its interval, each in a format such as `.3f` or `.1%`.

        A percentage of few cases, of none and of all is written as a count, such as 0 of 12.
        """
        number = format(self.value, form)
        if self.cases and form.endswith("%"):
            count = round(self.value * self.cases)
            if (self.cases < FEW or count in (0, self.cases)) and math.isclose(count, self.value * self.cases):
                number = f"{count} of {self.cases}"
        interval = "" if self.low is None or self.high is None else f" ({self.low:{form}} to {self.high:{form}})"
        return number + interval

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of its interval; the value itself twice if it has none."""
        return (self.value if self.low is None else self.low, self.value if self.high is None else self.high)

    def at(self, confidence: float) -> Value:
        """Return the value with its 95% interval widened or narrowed to another confidence.

        The part over seeds follows Student's t, the part over test items a normal distribution (`seeds.over_seeds`).
        """
        from scipy.stats import norm, t

        if self.low is None or self.high is None:
            return self
        wanted = (1 + confidence) / 2
        of_items, of_seeds, of_seeds_here = float(norm.ppf(wanted) / norm.ppf(0.975)), 0.0, 0.0
        if len(self.seeds) > 1:
            spread, law = standard_error(self.seeds), t(len(self.seeds) - 1)
            of_seeds, of_seeds_here = float(law.ppf(wanted)) * spread, float(law.ppf(0.975)) * spread

        def half(here: float) -> float:
            items = math.sqrt(max(0.0, here**2 - of_seeds_here**2))
            return math.hypot(of_seeds, of_items * items)

        return replace(
            self, low=self.value - half(self.value - self.low), high=self.value + half(self.high - self.value)
        )


@dataclass(frozen=True)
class Claim:
    """A statement that the numbers support or do not."""

    says: str
    holds: bool | None
    """None if the values could not show it, one way or the other."""
    timed: bool = False
    """Whether it compares clock readings, which another program can change: a replay may find otherwise."""
    control: str = ""
    """What else would give the same numbers, and what excludes it."""
    test: str = ""
    """How the values judge it; empty where a program decided."""
    p: float | None = None
    """Its p-value, corrected for the other claims; None where no interval was compared."""
    seeds: int = 0
    """Number of seeds that it was measured at; 0 in older results."""


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
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    """Lower and upper ends of the intervals of a curve, by its name."""
    levels: Mapping[str, float] = field(default_factory=dict)
    """Horizontal lines, such as chance, by their names."""


@dataclass(frozen=True)
class Dot:
    """A row of a figure: a value with its interval, and the value of each seed."""

    label: str
    value: Value


@dataclass(frozen=True)
class Dots:
    """A figure with one row for each method or condition."""

    title: str
    x: str
    rows: Sequence[Dot]
    levels: Mapping[str, float] = field(default_factory=dict)
    """Vertical lines, such as chance, by their names."""

    @property
    def values(self) -> list[tuple[str, float, float, float, tuple[float, ...]]]:
        """Each label with its value, the ends of its interval and the values of its seeds."""
        return [(row.label, row.value.value, *row.value.ends, row.value.seeds) for row in self.rows]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Each value as text, and its interval as text or nothing."""
        pairs = []
        for row in self.rows:
            text, _, interval = row.value.shown(".1%" if row.value.share else ".3g").partition(" (")
            pairs.append((text, interval.removesuffix(")")))
        return pairs


@dataclass(frozen=True)
class Exchange:
    """A question with its answers, as a page shows them."""

    asked: str
    answers: Mapping[str, str]
    """By the name of who gave each; one alone needs no name."""
    expected: str = ""
    about: str = ""
    """What kind of question it is."""


@dataclass(frozen=True)
class TextSample:
    """A text that a model or a method wrote, with its label; of an answer, also question and answer apart."""

    label: str
    text: str
    exchange: Exchange | None = None

    @classmethod
    def asked(cls, question: str, answers: Mapping[str, str], expected: str = "") -> TextSample:
        """Return a question with what several methods answered, by their names."""
        label = f"{question} (expected: {expected})" if expected else question
        text = "\n".join(f"{name}: {answer}" for name, answer in answers.items())
        return cls(label, text, Exchange(question, answers, expected))


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
    samples: list[TextSample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    dots: list[Dots] = field(default_factory=list)

    @property
    def small(self) -> bool:
        """Whether this is a run with `--small` that trained its own model: too little training to refute a claim."""
        return bool(self.settings.get("small")) and not self.settings.get(MODEL)

    @property
    def answer(self) -> str:
        """The sentence that comes first on a page: what holds, or that nothing does."""
        shown = [claim.says for claim in self.claims.values() if claim.holds]
        if not self.claims:
            return "This experiment measures, and claims nothing."
        if not shown:
            ending = "can be judged by so small a run" if self.small else "holds in this run"
            return f"None of the {len(self.claims)} claims {ending}."
        return f"{shown[0]}."

    def verdict(self, claim: Claim) -> str:
        """Return the verdict on a claim.

        A run with `--small` never refutes a claim, because its models learned next to nothing. The result file stores
        what the numbers gave in either case.
        """
        if self.small:
            return "holds with --small" if claim.holds else "too small to judge (would not hold)"
        verdict = "could not be shown" if claim.holds is None else "holds" if claim.holds else "does not hold"
        return f"{verdict} at one seed" if claim.seeds == 1 and claim.p is not None else verdict

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
    """Return a problem for each input file that differs from the stored run's."""
    return [
        f"{name}: differs from the file that the stored result of {stored.name} used; name its data folder with --data"
        for name in stored.data
        if again.data.get(name) != stored.data[name]
    ]


def replayed(stored: Outcome, again: Outcome) -> str:
    """Check that a second run found what the first did, and say so.

    Raises `UserError` with the differences in data, claims or values. On one machine values must agree to the ninth
    digit, and claims in their verdicts. Another processor, torch version or number of threads rounds sums differently,
    and training amplifies that, as another seed would. There a value agrees if it lies within the first one's interval,
    or within a tenth of it where it has none, and nine of ten values must. Clock readings are not compared.
    """
    here = all(stored.machine.get(key) == again.machine.get(key) for key in SAME_MACHINE)
    problems = other_data(stored, again)
    turned, outside, compared = (
        turned_claims(stored, again),
        outside_of(stored, again, here),
        compared_keys(stored, here),
    )
    lines = [f"{name}: {value:.6g} in the stored result, {now} now" for name, value, now in outside]
    if here:
        problems += turned + lines
    elif len(compared) - len(outside) < INSIDE * len(compared) - 1e-9:
        problems += [f"{len(outside)} of {len(compared)} values lie outside their intervals", *lines]
    if problems:
        raise UserError(f"replay of {stored.name}: " + "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else ""))
    if here:
        counts = f"{len(stored.values):,} values and {len(stored.claims)} claims"
        return f"{stored.name}: {counts} are reproduced on an equal machine"
    inside = f"{len(compared) - len(outside):,} of {len(compared):,}"
    changed = f"; changed verdicts: {'; '.join(turned)}" if turned else ""
    return f"{stored.name}: {inside} values lie within the stored intervals on another machine{changed}"


def turned_claims(stored: Outcome, again: Outcome) -> list[str]:
    """Return the claims whose verdict differs, but those about clock readings, in words."""
    return [
        f"{name}: was {verdict}, is now {'missing' if name not in again.claims else again.verdict(again.claims[name])}"
        for name, claim in stored.claims.items()
        if not (claim.timed or getattr(again.claims.get(name), "timed", False))
        and (verdict := stored.verdict(claim)) != _verdict(again, name)
    ]


def compared_keys(stored: Outcome, here: bool) -> list[str]:
    """Return the values that a replay compares, on an equal machine (`here`) or on another one."""
    return [name for name in stored.values if here or not name.endswith(DERIVED)]


def outside_of(stored: Outcome, again: Outcome, here: bool) -> list[tuple[str, float, str]]:
    """Return the values that a replay did not reproduce: name, stored value, and the new one or that it is missing."""
    outside = []
    for name in compared_keys(stored, here):
        value, other = stored.values[name], again.values.get(name)
        if other is None or not _alike(value, other, here):
            outside.append((name, value.value, "missing" if other is None else f"{other.value:.6g}"))
    return outside


def _verdict(outcome: Outcome, name: str) -> str | None:
    return outcome.verdict(outcome.claims[name]) if name in outcome.claims else None


def _alike(value: Value, other: Value, here: bool) -> bool:
    """Return whether a value was reproduced."""
    off, size = abs(value.value - other.value), max(abs(value.value), abs(other.value))
    if off <= SAME * size or here:
        return off <= SAME * size
    if value.low is not None and value.high is not None:
        return value.low <= other.value <= value.high
    return off <= NEAR * size
