"""Verdicts of claims: a test over values, its p-value, and a correction for all claims of an experiment.

A test is text, which a result file stores: comparisons such as `loss.1 > loss.16` or `rise < 0.01 * loss`, joined by
`and` or by `or`. A comparison is shown at a level if the interval of the value, at this level, lies on one side of the
limit; where the limit is a value too, if the two intervals do not meet.

Of twenty differences that are none, one would seem to be shown at the level of 5%, by chance. So the p-values of an
experiment are corrected together (Holm 1979, "A simple sequentially rejective multiple test procedure"): any verdict of
it is then wrong by chance with a probability of at most 5%.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scratchlm.lab.harness.outcome import Value

LEVEL = 0.05
"""Probability of a wrong verdict in an experiment, at most."""
LEAST = 1e-12
"""Smallest p-value that is distinguished from zero."""
COMPARISON = re.compile(r"(\S+) ([<>]) (?:(-?\d\S*)(?: \* (\S+))?|(\S+))")
Values = Mapping[str, Value]


class Shown(NamedTuple):
    """What values speak for, and how easily they would do so by chance."""

    holds: bool
    p: float | None
    """Smallest level at which it is shown; None where no compared value has an interval."""


def above(key: str, limit: float | str = 0.0) -> str:
    """Return the test that a value lies above a number, or above another value."""
    return f"{key} > {limit if isinstance(limit, str) else f'{limit:g}'}"


def below(key: str, limit: float | str = 0.0) -> str:
    """Return the test that a value lies below a number, or below another value."""
    return above(key, limit).replace(" > ", " < ")


def every(*tests: str) -> str:
    """Return the test that all of several hold."""
    return " and ".join(tests)


def judged(test: str, values: Values) -> Shown:
    """Return what a test shows. Raises `ValueError` for text that is no test, and `KeyError` for an unknown value.

    That all of several comparisons hold is shown when the weakest is; that one of them fails, by the strongest that
    does, times their number (Bonferroni). With `or` it is the other way round.
    """
    word = " or " if " or " in test else " and "
    parts = [_compared(part, values) for part in test.split(word)]
    if all(part.p is None for part in parts):
        holds = [part.holds for part in parts]
        return Shown(any(holds) if word == " or " else all(holds), None)
    for_all = word == " and "  # what all parts must show; the other side needs one
    others = [part.p or 0.0 for part in parts if part.holds is not for_all]
    if others:
        return Shown(not for_all, min(1.0, min(others) * len(parts)))
    return Shown(for_all, max(part.p or 0.0 for part in parts))


def _compared(part: str, values: Values) -> Shown:
    match = COMPARISON.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is no comparison such as `loss.1 > loss.16` or `rise < 0.01 * loss`")
    key, sign, number, scaled, other = match.groups()
    value = values[key]
    factor = values[scaled].value if scaled else 1.0
    limit = values[other] if number is None else Value(float(number) * factor)
    if {*value.ends, *limit.ends} == {limit.value}:  # equal, without any doubt
        return Shown(False, None)
    over = value.value > limit.value
    return Shown(over is (sign == ">") and value.value != limit.value, _p(value, limit))


def _p(value: Value, limit: Value) -> float | None:
    """Return the smallest level at which the intervals of two values do not meet, by bisection; 1 if they are equal."""
    if value.low is None and limit.low is None:
        return None
    lower, upper = (value, limit) if value.value < limit.value else (limit, value)

    def apart(level: float) -> bool:
        return lower.at(1 - level).ends[1] < upper.at(1 - level).ends[0]

    if not apart(1 - LEAST):
        return 1.0
    low, high = LEAST, 1 - LEAST
    if apart(low):
        return low
    for _ in range(60):
        middle = (low * high) ** 0.5 if high / low > 2 else (low + high) / 2
        low, high = (low, middle) if apart(middle) else (middle, high)
    return high


def corrected(levels: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values of several claims, corrected together by Holm's procedure."""
    ranked: Sequence[str] = sorted(levels, key=lambda key: levels[key])
    results: dict[str, float] = {}
    reached = 0.0
    for place, key in enumerate(ranked):
        reached = max(reached, min(1.0, (len(ranked) - place) * levels[key]))
        results[key] = reached
    return results
