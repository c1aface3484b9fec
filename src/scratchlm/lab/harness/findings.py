"""What an experiment found at each seed, and the outcome that all seeds give together.

An experiment fills one `Findings` for each seed. Its tables, figures and claims name values instead of holding numbers.
So they are made once, by `conclude`, from the values over all seeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.outcome import Claim, Curves, Dot, Dots, Outcome, Table, TextSample, Value
from scratchlm.lab.harness.seeds import over_seeds
from scratchlm.lab.harness.settings import INIT

Values = Mapping[str, Value]
Test = Callable[[Values], bool | None]
"""Judges a claim by the values over all seeds: it holds, it does not, or (None) the values could not show it."""
Heights = Sequence[float] | Sequence[str]
"""Heights of a curve: numbers, or keys of values, which add the intervals."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table that shows a value, or a timing: the median over seeds."""

    key: str
    form: str = ".3f"
    interval: bool = True
    """Whether it shows the interval too."""

    def text(self, values: Values) -> str:
        """Return the value in its format; nothing for a value that was not measured."""
        if self.key not in values:
            return ""
        value = values[self.key]
        return value.shown(self.form) if self.interval else format(value.value, self.form)


Row = Sequence[str | Cell]


@dataclass(frozen=True)
class Sentence:
    """What a claims.toml says of a claim; words in braces are filled in when it is added."""

    says: str
    test: str = ""
    """Judges it by the values: comparisons such as `loss.1 > loss.16`, joined by `and`. Empty where code does."""
    control: str = ""
    """What else would give the same numbers, and which measurement excludes it."""


@dataclass(frozen=True)
class _Claim:
    entry: str
    test: Test | bool | None
    timed: bool
    words: Mapping[str, Any]


@dataclass(frozen=True)
class _Curves:
    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[Sequence[float], Heights]]
    logarithmic: bool
    levels: Mapping[str, float | str]


@dataclass
class Findings:
    """What an experiment found at one seed."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that was read, by its name."""
    values: dict[str, Value] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    samples: list[TextSample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _claims: dict[str, _Claim] = field(default_factory=dict)
    _tables: list[tuple[str, Sequence[str], Sequence[Row]]] = field(default_factory=list)
    _curves: list[_Curves] = field(default_factory=list)
    _dots: list[tuple[str, str, Mapping[str, str], Mapping[str, float | str]]] = field(default_factory=list)
    _derived: dict[str, Callable[[Values], Value]] = field(default_factory=dict)

    @property
    def init_hash(self) -> str:
        """The first digits of the hash of the published model given as `--init`; empty without one."""
        return self.data.get(INIT, "")[:8]

    def claim(
        self, key: str, test: Test | bool | None = None, *, entry: str = "", timed: bool = False, **words: Any
    ) -> None:
        """Add a claim, whose sentence, test and control are those of `entry`, or `key`, in claims.toml.

        A `test` takes the place of the one there and must use nothing but the values; a truth value is for what no
        seed changes, such as a count of parameters. `words` are filled into the sentence.
        """
        self._claims[key] = _Claim(entry or key, test, timed, words)

    def gain(self, key: str, compared: Comparison) -> Test:
        """Add a difference as a value; return the test that it lies above zero."""
        self.values[key] = Value(compared.difference, *compared.interval)
        return above(key)

    def derive(self, key: str, of: Callable[[Values], Value]) -> None:
        """Add a value that is calculated from the values over all seeds."""
        self._derived[key] = of

    def table(self, title: str, header: Sequence[str], rows: Sequence[Row]) -> None:
        """Add a table of texts and of cells that show values."""
        self._tables.append((title, header, rows))

    def curves(
        self, title: str, x: str, y: str, lines: Mapping[str, tuple[Sequence[float], Heights]],
        logarithmic: bool = False, levels: Mapping[str, float | str] | None = None,
    ) -> None:  # fmt: skip
        """Add a figure of named curves; `levels` are horizontal lines, such as chance, as numbers or value keys."""
        self._curves.append(_Curves(title, x, y, lines, logarithmic, levels or {}))

    def dots(
        self, title: str, x: str, rows: Mapping[str, str], levels: Mapping[str, float | str] | None = None
    ) -> None:
        """Add a figure with one row for each label: its value with the interval, and a dot for each seed."""
        self._dots.append((title, x, rows, levels or {}))


def above(key: str, limit: float | str = 0.0) -> Test:
    """Return the test that a value lies above a number, or above another value, with its whole interval."""
    return lambda values: values[key].exceeds(values[limit] if isinstance(limit, str) else limit)


def below(key: str, limit: float | str = 0.0) -> Test:
    """Return the test that a value lies below a number, or below another value, with its whole interval."""
    return negated(above(key, limit))


def negated(test: Test) -> Test:
    """Return the test of the opposite; what could not be shown cannot be shown either way."""

    def opposite(values: Values) -> bool | None:
        verdict = test(values)
        return None if verdict is None else not verdict

    return opposite


def every(*tests: Test) -> Test:
    """Return the test that all of several hold."""
    return lambda values: all_hold([each(values) for each in tests])


def all_hold(verdicts: Sequence[bool | None]) -> bool | None:
    """Return whether all hold: False if one does not, None if one could not be shown."""
    return False if False in verdicts else None if None in verdicts else True


def any_holds(verdicts: Sequence[bool | None]) -> bool | None:
    """Return whether at least one holds: False if none does, None if that could not be shown."""
    return True if True in verdicts else None if None in verdicts else False


def read_test(text: str) -> Test:
    """Return the test that a text such as `loss.1 > loss.16 and gain > 0.5` describes."""
    tests = []
    for comparison in text.split(" and "):
        key, sign, limit = comparison.split()
        number = re.fullmatch(r"-?\d+(\.\d+)?", limit)
        tests.append({">": above, "<": below}[sign](key, float(limit) if number else limit))
    return every(*tests)


def conclude(outcome: Outcome, findings: Sequence[Findings], sentences: Mapping[str, Sentence]) -> None:
    """Fill an outcome from the findings at each seed: values over seeds, then tables, figures and claims from them."""
    first = findings[0]
    keys = list(dict.fromkeys(key for each in findings for key in each.values))
    outcome.values = {key: over_seeds([each.values[key] for each in findings if key in each.values]) for key in keys}
    for key, of in first._derived.items():
        outcome.values[key] = of(outcome.values)
    clocks = dict.fromkeys(key for each in findings for key in each.timings)
    outcome.timings = {key: median(each.timings[key] for each in findings if key in each.timings) for key in clocks}
    outcome.samples = list(first.samples)
    seeds = len(findings)
    several = f"{seeds} seeds; intervals are over seeds (Student's t) and test items together"
    outcome.notes = [
        several if seeds > 1 else "one seed: another may differ by more than the intervals, over test items"
    ]
    outcome.notes += dict.fromkeys(note for each in findings for note in each.notes)
    values = outcome.values
    timed = values | {key: Value(seconds) for key, seconds in outcome.timings.items()}
    for title, header, rows in first._tables:
        cells = [[cell.text(timed) if isinstance(cell, Cell) else cell for cell in row] for row in rows]
        outcome.tables.append(Table(title, header, cells))
    outcome.curves += [_drawn([each._curves[at] for each in findings], values) for at in range(len(first._curves))]
    for title, x, labels, levels in first._dots:
        dots = [Dot(label, values[key]) for label, key in labels.items() if key in values]
        outcome.dots.append(Dots(title, x, dots, _levels(levels, values)))
    for key in dict.fromkeys(key for each in findings for key in each._claims):
        claims = [each._claims[key] for each in findings if key in each._claims]
        sentence, words = sentences[claims[0].entry], claims[0].words
        says, control = (text.format(**words) for text in (sentence.says, sentence.control))
        holds = _judged(claims, sentence.test.format(**words), values)
        outcome.claims[key] = Claim(says, holds, claims[0].timed, control)


def _judged(claims: Sequence[_Claim], text: str, values: Values) -> bool | None:
    test = claims[0].test
    if test is None:
        return read_test(text)(values)
    if callable(test):
        return test(values)
    verdicts = {claim.test for claim in claims}
    return test if len(verdicts) == 1 else None


def _drawn(seeds: Sequence[_Curves], values: Values) -> Curves:
    """Return the curves over seeds: means, with the ends of their intervals as bands."""
    first = seeds[0]
    lines, bands = {}, {}
    for name, (x, heights) in first.lines.items():
        shown = []
        for at, height in enumerate(heights):
            if isinstance(height, str):
                shown.append(values[height])
            else:
                others = [each.lines[name][1] for each in seeds if len(each.lines.get(name, ((), ()))[1]) > at]
                shown.append(over_seeds([Value(float(other[at])) for other in others]))
        lines[name] = (list(x), [value.value for value in shown])
        if any(value.low is not None for value in shown):
            ends = [(value.value if value.low is None else value.low, value.value if value.high is None else value.high)
                    for value in shown]  # fmt: skip
            bands[name] = ([low for low, _ in ends], [high for _, high in ends])
    return Curves(first.title, first.x, first.y, lines, first.logarithmic, bands, _levels(first.levels, values))


def _levels(levels: Mapping[str, float | str], values: Values) -> dict[str, float]:
    return {name: values[level].value if isinstance(level, str) else level for name, level in levels.items()}
