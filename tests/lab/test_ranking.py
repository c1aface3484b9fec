"""Average precision of rankings: equal to scikit-learn's, with intervals and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from scratchlm.lab.shared.ranking import Ranking, average_precision, compare_rankings


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_equals_that_of_scikit_learn_on_all_items_and_on_resamples(ties: bool) -> None:
    draw = np.random.default_rng(0)
    truth = (draw.random(200) < 0.2).astype(np.int64)
    given = draw.random(200) + 0.4 * truth
    given = given.round(1) if ties else given
    ranking = Ranking(given, truth)
    assert ranking.average_precision() == pytest.approx(average_precision_score(truth, given))
    for _ in range(20):
        rows = draw.integers(200, size=200)
        assert ranking.average_precision(rows) == pytest.approx(average_precision_score(truth[rows], given[rows]))


def test_without_a_positive_item_it_is_0_and_in_perfect_order_1() -> None:
    assert Ranking(np.array([0.1, 0.9]), np.array([0, 0])).average_precision() == 0
    assert Ranking(np.array([0.1, 0.9, 0.8]), np.array([0, 1, 1])).average_precision() == 1
    assert Ranking(np.array([0.5, 0.5]), np.array([0, 1])).average_precision() == 0.5


def test_its_interval_holds_it_and_a_comparison_is_positive_for_the_better_ranking() -> None:
    draw = np.random.default_rng(1)
    truth = (draw.random(400) < 0.3).astype(np.int64)
    weak, strong = draw.random(400) + 0.3 * truth, draw.random(400) + 0.9 * truth
    value = average_precision(weak, truth, samples=200)
    assert value.low is not None
    assert value.high is not None
    assert value.low < value.value < value.high
    compared = compare_rankings(weak, strong, truth)
    assert compared.interval.low > 0
    assert compare_rankings(weak, weak, truth).difference == 0
