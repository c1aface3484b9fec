"""Guesses before an experiment: asked before the run, shown beside the measured values after it, and scored.

A reader gives a 90% interval for each value, or a single number. The interval score is the width of the interval, plus
20 times the distance by which it misses the value (Gneiting and Raftery 2007, "Strictly proper scoring rules,
prediction, and estimation", section 6.2). It is divided here by the width of the range in the hint, so that values with
different units can be averaged: 0 is best, and the whole range as a guess scores 1. The error of a single number is
divided by the same width. The first guess of each value counts, because the answer is known afterwards.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path

from scratchlm.base.config import from_dict, read_toml
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.lab.harness.outcome import Outcome, Value
from scratchlm.lab.quiz.numbers import parse_number
from scratchlm.lab.quiz.progress import usual_place

FORMAT = 1
CONFIDENCE = 0.9
"""Fraction of the reader's intervals that should contain the value."""
NOT_COUNTED = "; not counted, because an earlier guess was"
_BOUNDS = re.compile(r"\s+to\s+|\s*\.\.+\s*|\s*–\s*|(?<=[\d%])\s*-\s*(?=[\d.])|\s*;\s*|(?<=[\d%])\s+(?=[-\d.])")


@dataclass(frozen=True)
class GuessQuestion:
    """A question about a value of an experiment's result."""

    key: str
    asks: str
    unit: str
    """With %, the value is a fraction and the reader's numbers are percentages."""
    low: float
    """Lower end of the plausible range, in the unit."""
    high: float
    form: str
    """Format of the value, such as .3f or .1%."""

    @property
    def scale(self) -> float:
        """What a number of the reader is multiplied by to give the value."""
        return 0.01 if self.unit == "%" else 1.0

    @property
    def hint(self) -> str:
        """The plausible range with its unit."""
        return f"{self.low:g} to {self.high:g}{'%' if self.unit == '%' else f' {self.unit}'}"

    def shown(self, value: float) -> str:
        """Return a value as text."""
        return format(value, self.form)


@dataclass
class Guess:
    """A guess of one value, in the value's unit; a single number has equal bounds."""

    low: float
    high: float
    value: float | None = None
    """What was measured; None until then."""
    width: float = 1.0
    """Width of the plausible range."""

    @property
    def single(self) -> bool:
        """Whether it is one number and no interval."""
        return self.low == self.high

    @property
    def contains(self) -> bool:
        """Whether the interval contains the value; raises `ValueError` before it was measured."""
        return self.low <= self._measured <= self.high

    @property
    def score(self) -> float:
        """The interval score, or the error of a single number, divided by the width of the plausible range."""
        value = self._measured
        missed = max(self.low - value, value - self.high, 0.0)
        if self.single:
            return missed / self.width
        return (self.high - self.low + 2 / (1 - CONFIDENCE) * missed) / self.width

    @property
    def _measured(self) -> float:
        if self.value is None:
            raise ValueError("the value was not measured yet")
        return self.value


def questions_of(name: str) -> list[GuessQuestion]:
    """Read the questions of an experiment; there are none for an unknown name. Imports no torch."""
    with resources.as_file(resources.files("scratchlm.lab.experiments") / "guesses.toml") as file:
        tables = read_toml(file).get(name, [])
    return [from_dict(GuessQuestion, table, f"guesses of {name}") for table in tables]


def parse_guess(text: str, question: GuessQuestion) -> Guess:
    """Return a guess of text such as `20 to 40`, `20..40` or `30`.

    Raises `UserError` for other text, for bounds in the wrong order, and for a guess outside of the plausible range.
    """
    parts = _BOUNDS.split(text.strip())
    if len(parts) > 2:
        raise UserError(f"{text.strip()!r}: holds {len(parts)} numbers; give two, as in {question.hint!r}, or one")
    low, high = (parse_number(part) * question.scale for part in (parts[0], parts[-1]))
    if low > high:
        raise UserError(f"{text.strip()!r}: the first number is the larger one; give the lower bound first")
    least, most = question.low * question.scale, question.high * question.scale
    if low > most or high < least:
        raise UserError(f"{text.strip()!r}: lies outside of {question.hint}; check the unit")
    return Guess(low, high, width=most - least)


class Guesses:
    """The reader's first guess of each value, in a file beside the progress of the quiz."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, or start one. Raises `UserError` for a file of another kind or format."""
        self.path = path or usual_place().with_name("guesses.json")
        self.made: dict[str, Guess] = {}
        self.asked: dict[str, Guess] = {}
        """Guesses of this call, by key."""
        if not self.path.exists():
            return
        stored = read_json(self.path)
        guesses = stored.get("guesses") if isinstance(stored, dict) and stored.get("format") == FORMAT else None
        if not isinstance(guesses, dict):
            raise UserError(f"{self.path}: is no file of guesses in format {FORMAT}; move it away")
        self.made = {place: from_dict(Guess, each, str(self.path)) for place, each in guesses.items()}

    def keep(self) -> None:
        """Write the file."""
        write_json(self.path, {"format": FORMAT, "guesses": {place: asdict(each) for place, each in self.made.items()}})

    def summary(self) -> str:
        """Return the calibration over all guesses as one line; empty before the first measured one."""
        known = [each for each in self.made.values() if each.value is not None]
        intervals, singles = [each for each in known if not each.single], [each for each in known if each.single]
        parts = []
        if intervals:
            hits, mean = sum(each.contains for each in intervals), _mean(intervals)
            parts.append(
                f"{hits} of {len(intervals)} of your 90% intervals so far contained the value (calibrated: 9 of 10); "
                f"mean interval score {mean:.2f} (0 is best, 1 is the whole range of the hint)"
            )
        if singles:
            parts.append(f"{len(singles)} single numbers were off by {_mean(singles):.0%} of the range on average")
        return "; ".join(parts)

    def reveal(self, outcome: Outcome) -> list[str]:
        """Score the guesses of this call by the values of a run and store them.

        Return a line for each guess, and one on all guesses so far.
        """
        lines = []
        for question in questions_of(outcome.name):
            guess, place = self.asked.get(question.key), f"{outcome.name} {question.key}"
            if guess is None:
                continue
            value = outcome.values.get(question.key)
            if value is None or not math.isfinite(value.value):
                lines.append(f"{question.key}: you guessed {_bounds(guess, question)}; this run has no such value")
                continue
            scored = replace(guess, value=value.value)
            first = self.made[place].value is None
            if first:
                self.made[place] = scored
            lines.append(f"{question.key}: {_compared(scored, question, value)}{'' if first else NOT_COUNTED}")
        self.keep()
        summary = self.summary()
        return [*lines, f"{summary}; kept in {self.path}"] if summary else lines


def _mean(guesses: Sequence[Guess]) -> float:
    return math.fsum(each.score for each in guesses) / len(guesses)


def ask(name: str) -> Guesses:
    """Ask all questions of an experiment on stderr, and read a line of stdin for each; return all guesses.

    A guess that was made before a run that did not end is kept, not asked again. On a terminal a line that is no guess
    is asked again. Raises `UserError` elsewhere, with one line, for such a line and for too few of them; no guess is
    stored then.
    """
    questions, guesses = questions_of(name), Guesses()
    if not questions:
        raise UserError(f"--guess: {name} has no questions; leave it out")
    _say(f"{len(questions)} guesses before the run. Give two bounds that hold the value in 9 of 10 cases, as 20 to 40,")
    _say("or one number. Enter leaves a question out. In brackets: a plausible range.")
    for number, question in enumerate(questions, 1):
        _say(f"\n{number}. {question.asks} [{question.hint}]")
        earlier = guesses.made.get(f"{name} {question.key}")
        if earlier is not None and earlier.value is None:
            _say(f"kept from before: {_bounds(earlier, question)}")
            guesses.asked[question.key] = earlier
        elif (guess := _read_guess(name, question)) is not None:
            guesses.asked[question.key] = guess
    for key, guess in guesses.asked.items():
        guesses.made.setdefault(f"{name} {key}", guess)
    guesses.keep()
    return guesses


def _read_guess(name: str, question: GuessQuestion) -> Guess | None:
    """Read a guess; None if the question is left out."""
    terminal = sys.stdin.isatty()
    while True:
        if terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UserError(f"--guess: the input ended before the guess of {question.key}; give one line for each")
        if not line.strip():
            return None
        try:
            return parse_guess(line, question)
        except UserError as error:
            if not terminal:
                raise UserError(f"--guess: {name} {question.key}: {error}") from None
            _say(str(error))


def _compared(guess: Guess, question: GuessQuestion, value: Value) -> str:
    """Return a guess beside the measured value."""
    if guess.single:
        verdict = f"off by {guess.score:.0%} of the range"
    else:
        verdict = f"{'inside' if guess.contains else 'outside'}, interval score {guess.score:.2f}"
    return f"your guess was {_bounds(guess, question)}, measured {value.shown(question.form)}: {verdict}"


def _bounds(guess: Guess, question: GuessQuestion) -> str:
    low, high = question.shown(guess.low), question.shown(guess.high)
    return low if guess.single else f"{low} to {high}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
