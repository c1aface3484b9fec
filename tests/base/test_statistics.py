from __future__ import annotations

import math

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import Interval, Spread, bootstrap_interval, mean, spread, wilson_interval

MOUSE_DAYS = [94, 197, 16, 38, 99, 141, 23]
"""Survival of the treated mice, the running example of Efron & Tibshirani 1993; mean 86.86, standard error 23.36."""


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_intervals_printed_by_newcombe_in_1998(
    successes: int, n: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_wilson_ends_are_the_shares_whose_score_test_just_rejects(confidence: float) -> None:
    z = {0.5: 0.674490, 0.95: 1.959964, 0.999: 3.290527}[confidence]
    for end in wilson_interval(7, 40, confidence):
        assert abs(7 / 40 - end) / math.sqrt(end * (1 - end) / 40) == pytest.approx(z, abs=1e-5)


def test_wilson_stays_within_zero_and_one_and_mirrors_failures() -> None:
    for n in (1, 2, 10, 1000):
        for successes in {0, 1, n // 2, n}:
            low, high = wilson_interval(successes, n)
            assert 0 <= low <= successes / n <= high <= 1
            assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    assert wilson_interval(0, 5).low == 0.0
    assert wilson_interval(5, 5).high == 1.0


def test_wilson_covers_the_true_share_about_as_often_as_it_says() -> None:
    n = 50
    intervals = [wilson_interval(successes, n) for successes in range(n + 1)]
    coverage = []
    for share in np.linspace(0.02, 0.98, 97):
        chance = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
        coverage.append(sum(p for p, (low, high) in zip(chance, intervals, strict=True) if low <= share <= high))
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)
    assert min(coverage) > 0.9


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts_by_name(successes: int, n: int) -> None:
    with pytest.raises(UserError, match=f"{successes} successes of {n}"):
        wilson_interval(successes, n)


def test_the_bootstrap_of_a_mean_has_the_textbook_standard_error() -> None:
    # One standard error on each side is the central 68.27% of a normal curve.
    low, high = bootstrap_interval(MOUSE_DAYS, samples=20_000, confidence=0.6827)
    assert (high - low) / 2 == pytest.approx(23.36, rel=0.03)
    assert (high + low) / 2 == pytest.approx(86.86, abs=2)


def test_the_bootstrap_takes_any_statistic_and_a_constant_has_no_width() -> None:
    low, high = bootstrap_interval(MOUSE_DAYS, statistic=lambda values: float(np.median(values)))
    assert low in MOUSE_DAYS
    assert high in MOUSE_DAYS
    assert low < 94 < high
    assert bootstrap_interval([3.0] * 10) == Interval(3.0, 3.0)


def test_the_bootstrap_is_set_by_its_seed() -> None:
    assert bootstrap_interval(MOUSE_DAYS, seed=3) == bootstrap_interval(MOUSE_DAYS, seed=np.random.default_rng(3))
    assert bootstrap_interval(MOUSE_DAYS, seed=3) != bootstrap_interval(MOUSE_DAYS, seed=4)


def test_the_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        low, high = bootstrap_interval(generator.exponential(size=60), seed=generator, samples=300)
        covered += low <= 1.0 <= high
    assert 0.90 < covered / 400 < 0.98


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    for interval in (wilson_interval, lambda k, n, c: bootstrap_interval([1.0] * k + [0.0] * (n - k), confidence=c)):
        narrow, wide = interval(30, 100, 0.8), interval(30, 100, 0.99)
        assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(("values", "named"), [([], r"\(0,\)"), ([[1.0, 2.0]], r"\(1, 2\)"), ([1.0, math.nan], "nan")])
def test_values_that_are_no_row_of_numbers_are_refused(values: list, named: str) -> None:
    with pytest.raises(UserError, match=named):
        bootstrap_interval(values)
    with pytest.raises(UserError, match=named):
        spread(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_outside_zero_to_one_is_refused(confidence: float) -> None:
    with pytest.raises(UserError, match=f"confidence {confidence}"):
        wilson_interval(1, 2, confidence)
    with pytest.raises(UserError, match=f"confidence {confidence}"):
        bootstrap_interval([1.0, 2.0], confidence=confidence)


def test_fewer_than_one_resample_is_refused() -> None:
    with pytest.raises(UserError, match="samples 0"):
        bootstrap_interval([1.0], samples=0)


def test_spread_is_the_median_and_quartiles_and_one_slow_run_does_not_move_them() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0, measurements=5)
    assert spread([5000.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0, measurements=5)
    assert mean(np.array([1.0, 2.0])) == 1.5
