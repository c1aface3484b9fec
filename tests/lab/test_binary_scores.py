"""F1 and average precision: equal to scikit-learn's, with intervals and comparisons by resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import f1_score as reference_f1

from scratchlm.base.statistics import compare_statistics
from scratchlm.evaluation.classes import f1_interval
from scratchlm.lab.shared.binary_scores import Ranking, average_precision, compare_f1, compare_rankings, f1_score


def classes(rate: float, seed: int, size: int = 500) -> np.ndarray:
    return (np.random.default_rng(seed).random(size) < rate).astype(np.int64)


def test_f1_equals_that_of_scikit_learn_and_its_interval_that_of_resampled_texts() -> None:
    truth = classes(0.3, 0)
    given = np.where(classes(0.2, 1) == 1, 1 - truth, truth)
    found = f1_score(truth, given)
    assert found.value == pytest.approx(reference_f1(truth, given))
    assert found.ends == pytest.approx(tuple(f1_interval(truth, given, 2, 1)), abs=0.005)


def test_without_a_true_or_predicted_positive_f1_is_0() -> None:
    assert f1_score(np.zeros(9, np.int64), np.zeros(9, np.int64)).value == 0
    assert f1_score(np.array([1, 0, 1]), np.array([0, 0, 0])).value == 0
    assert f1_score(np.array([1, 0, 1]), np.array([1, 0, 1])).value == 1


def test_a_comparison_of_f1_is_that_of_resampled_texts() -> None:
    truth = classes(0.3, 0)
    one, other = (np.where(classes(rate, seed) == 1, 1 - truth, truth) for rate, seed in ((0.2, 1), (0.1, 2)))
    found = compare_f1(truth, one, other)
    assert found.difference == pytest.approx(reference_f1(truth, other) - reference_f1(truth, one))
    slow = compare_statistics(500, lambda at: reference_f1(truth[at], other[at]) - reference_f1(truth[at], one[at]),
                              samples=400)  # fmt: skip
    assert found.interval == pytest.approx(slow.interval, abs=0.01)
    assert compare_f1(truth, one, one).difference == 0
    assert compare_f1(truth, other, one).difference == -found.difference


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_equals_that_of_scikit_learn_on_all_texts_and_on_resamples(ties: bool) -> None:
    draw, truth = np.random.default_rng(0), classes(0.2, 3, 200)
    given = draw.random(200) + 0.4 * truth
    given = given.round(1) if ties else given
    ranking = Ranking(truth, given)
    assert ranking.average_precision() == pytest.approx(average_precision_score(truth, given))
    for _ in range(20):
        rows = draw.integers(200, size=200)
        assert ranking.average_precision(rows) == pytest.approx(average_precision_score(truth[rows], given[rows]))


def test_without_a_positive_text_average_precision_is_0_and_in_perfect_order_1() -> None:
    assert Ranking(np.array([0, 0]), np.array([0.1, 0.9])).average_precision() == 0
    assert Ranking(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.8])).average_precision() == 1
    assert Ranking(np.array([0, 1]), np.array([0.5, 0.5])).average_precision() == 0.5


def test_the_interval_of_average_precision_holds_it_and_a_better_ranking_is_found() -> None:
    draw, truth = np.random.default_rng(1), classes(0.3, 4)
    weak, strong = draw.random(500) + 0.3 * truth, draw.random(500) + 0.9 * truth
    value = average_precision(truth, weak)
    assert value.ends[0] < value.value < value.ends[1]
    assert compare_rankings(truth, weak, strong).interval.low > 0
    assert compare_rankings(truth, weak, weak).difference == 0
