"""How sure a measured number is: intervals for shares and means, medians for timings.

None of these knows how the values were drawn. All assume independent draws, except those that take clusters: questions
about one story, or timings on one busy machine, vary together, and the true interval is then wider.

Not scipy's: its Wilson and bootstrap ends differ in the last digit from those that stored results hold, its bootstrap
refuses a single value, and importing it takes most of a second.
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

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantile 0.975 of Student's t for 2, 3, ... 10 values."""


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
        raise UserError(f"value {checked[~np.isfinite(checked)][0]}: not a finite number; leave it out or fix it")
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


class Comparison(NamedTuple):
    """How two systems differ on the same items, second less first."""

    difference: float
    interval: Interval
    p_value: float
    """Chance of a difference at least as large, to either side, if the systems were equally good."""
    detectable: float
    """The smallest true difference that would have been found with a chance of 0.8, at the same confidence."""


def standard_error(values: Sequence[float] | NDArray[np.floating], clusters: Sequence[object] | None = None) -> float:
    """Return the standard error of a mean; items of one cluster, such as questions on one passage, vary together.

    Of a single value, or cluster, it is infinite: one says nothing about others.

    Source: E. Miller 2024, "Adding error bars to evals", arXiv 2411.00640, equations 2 and 4.
    """
    checked = _checked_values(values)
    residuals = checked - checked.mean()
    named = range(len(checked)) if clusters is None else [repr(cluster) for cluster in clusters]
    groups = np.unique(np.array(named), return_inverse=True)[1]
    if len(groups) != len(checked):
        raise UserError(f"{len(groups)} clusters for {len(checked)} values: each value belongs to one cluster")
    sums = np.bincount(groups, weights=residuals)
    if len(sums) < 2:
        return math.inf
    # n / (n - 1) for n clusters, so that without clusters this is the usual estimate.
    return float(math.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(checked))


def student_quantile(count: int) -> float:
    """Return the quantile 0.975 of Student's t for the mean of `count` values; above 10 that of 10, a little wide."""
    return STUDENT[min(count, len(STUDENT) + 1) - 2]


def compare_statistics(
    size: int,
    difference: Callable[[NDArray[np.intp]], float],
    seed: int = 0,
    samples: int = 2000,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two systems by a statistic that is no mean, such as F1: its error is that of resampled items.

    `difference` gets the places of `size` resampled items and returns second less first.
    """
    generator = np.random.default_rng(seed)
    drawn = [difference(generator.integers(size, size=size)) for _ in range(samples)]
    return comparison_of(difference(np.arange(size)), float(np.std(drawn, ddof=1)), confidence)


def comparison_of(difference: float, error: float, confidence: float = 0.95) -> Comparison:
    """Return the comparison that a mean of paired differences and its standard error make, by the normal approximation.

    Source: E. Miller 2024, arXiv 2411.00640, section 4; the smallest difference by its equation 9, with power 0.8.
    """
    _check_confidence(confidence)
    normal = NormalDist()
    z = normal.inv_cdf((1 + confidence) / 2)
    p_value = float(difference == 0) if error == 0 else 2 * normal.cdf(-abs(difference) / error)
    interval = Interval(difference - z * error, difference + z * error)
    return Comparison(difference, interval, p_value, (z + normal.inv_cdf(0.8)) * error)
