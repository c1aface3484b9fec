"""How sure a measured number is: intervals for shares and means, medians for timings.

None of these knows how the values were drawn. All assume independent draws: questions about one story, or timings on
one busy machine, vary together, and the true interval is then wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchlm.base.errors import UserError

Statistic = Callable[[NDArray[np.float64]], float]
"""A number computed from values of shape (n,)."""


class Interval(NamedTuple):
    """The two ends of a confidence interval, in the unit of what was measured."""

    low: float
    high: float


class Spread(NamedTuple):
    """The median and the quartiles of repeated measurements, in their unit, and how many there were."""

    median: float
    low: float
    high: float
    measurements: int


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(f"confidence {confidence}: must lie between 0 and 1; 0.95 is usual")


def _checked_values(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    checked = np.asarray(values, np.float64)
    if checked.ndim != 1 or checked.size == 0:
        raise UserError(f"values of shape {checked.shape}: give one row of at least one number")
    if not np.isfinite(checked).all():
        raise UserError(f"value {checked[~np.isfinite(checked)][0]}: not a finite number; leave it out or mend it")
    return checked


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the interval for a share of which `successes` of `n` were seen (Wilson 1927).

    It stays inside [0, 1] and is not empty at 0 or n successes, where the usual p ± z·sqrt(p(1-p)/n) is. No correction
    for continuity: it covers the truth about as often as `confidence` says on average, a little less for some shares.
    `UserError` where `n` is zero or `successes` lies outside 0..n.

    Source: E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    _check_confidence(confidence)
    if n < 1 or not 0 <= successes <= n:
        raise UserError(f"{successes} successes of {n}: at least one trial is needed, and successes from 0 to n")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding would leave 1e-17 where the formula gives exactly 0 or 1.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Interval(low, high)


def mean(values: NDArray[np.float64]) -> float:
    """Return the arithmetic mean of values of shape (n,)."""
    return float(values.mean())


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating],
    statistic: Statistic = mean,
    seed: int | np.random.Generator = 0,
    samples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return the percentile bootstrap interval of `statistic` (Efron 1979): resample, recompute, take quantiles.

    For a paired comparison give the differences. With fewer than about 20 values it is too narrow, and it says nothing
    about extremes such as the maximum. It costs `samples` calls of `statistic`; the same seed gives the same interval.
    `UserError` where there are no values, one is not finite, or `samples` is below 1.

    Source: B. Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    _check_confidence(confidence)
    if samples < 1:
        raise UserError(f"samples {samples}: must be at least 1; 2000 is usual")
    drawn_from = _checked_values(values)
    generator = np.random.default_rng(seed)
    size = len(drawn_from)
    results = [statistic(drawn_from[generator.integers(size, size=size)]) for _ in range(samples)]
    low, high = np.quantile(results, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def spread(values: Sequence[float] | NDArray[np.floating]) -> Spread:
    """Return the median and quartiles of repeated measurements; one slow run moves neither.

    `UserError` where there are no values or one is not finite.
    """
    checked = _checked_values(values)
    low, median, high = np.quantile(checked, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), len(checked))
