"""What an experiment found at each seed, and the outcome that all seeds give together.

An experiment fills one `Findings` for each seed. Its tables, figures and claims name values instead of holding numbers.
So they are made once, by `conclude`, from the values over all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.outcome import Claim, Curves, Dot, Dots, Outcome, Table, TextSample, Value
from scratchlm.lab.harness.seeds import over_seeds
from scratchlm.lab.harness.settings import INIT
from scratchlm.lab.harness.verdicts import LEVEL, Values, above, corrected, judged

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
    """Judges it by the values, as `verdicts` describes. Empty where code does."""
    control: str = ""
    """What else would give the same numbers, and which measurement excludes it."""


@dataclass(frozen=True)
class _Claim:
    entry: str
    test: str | bool | None
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
        self, key: str, test: str | bool | None = None, *, entry: str = "", timed: bool = False, **words: Any
    ) -> None:
        """Add a claim, whose sentence, test and control are those of `entry`, or `key`, in claims.toml.

        A `test` takes the place of the one there; a truth value is for what no seed changes, such as a count of
        parameters. `words` are filled into the sentence.
        """
        self._claims[key] = _Claim(entry or key, test, timed, words)

    def gain(self, key: str, compared: Comparison) -> str:
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
    _judge(outcome, findings, sentences)


def _judge(outcome: Outcome, findings: Sequence[Findings], sentences: Mapping[str, Sentence]) -> None:
    """Judge all claims by the values over seeds, and correct their p-values together."""
    claims: dict[str, Claim] = {}
    for key in dict.fromkeys(key for each in findings for key in each._claims):
        made = [each._claims[key] for each in findings if key in each._claims]
        sentence, words = sentences[made[0].entry], made[0].words
        says, control, test = (text.format(**words) for text in (sentence.says, sentence.control, sentence.test))
        claims[key] = Claim(says, None, made[0].timed, control, seeds=len(made))
        if isinstance(made[0].test, bool):
            truths = {claim.test for claim in made}
            claims[key] = replace(claims[key], holds=made[0].test if len(truths) == 1 else None)
        else:
            claims[key] = replace(claims[key], test=made[0].test or test)
    outcome.claims = with_verdicts(claims, outcome.values)
    if count := sum(claim.p is not None for claim in outcome.claims.values()):
        outcome.notes.append(
            f"{count} claims are judged by intervals: their p-values are corrected together (Holm), so that any of "
            f"these verdicts is wrong by chance with a probability of at most {LEVEL:.0%}"
        )


def with_verdicts(claims: Mapping[str, Claim], values: Values) -> dict[str, Claim]:
    """Return claims with the verdicts that their tests give, and with p-values corrected together.

    Claims without a test keep the verdict that they have.
    """
    shown = {key: judged(claim.test, values) for key, claim in claims.items() if claim.test}
    levels = corrected({key: each.p for key, each in shown.items() if each.p is not None})
    results = {}
    for key, claim in claims.items():
        if key not in shown:
            results[key] = claim
            continue
        level = levels.get(key)
        holds = shown[key].holds if level is None or level <= LEVEL else None
        results[key] = replace(claim, holds=holds, p=level)
    return results


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
