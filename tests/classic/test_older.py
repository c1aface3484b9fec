"""Rules, the majority baseline, and linear classifiers on counted features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scratchlm.classic.bayes import NaiveBayes
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.protocol import TextClassifier
from scratchlm.classic.rules import Majority, SpamRules

SPAM = ["WINNER! Claim your prize, txt 80082", "free cash £100 now, call 09061701461", "urgent: win a free ringtone"]
HAM = ["see you at lunch", "I am home", "ok, call me later", "are you coming tonight?"]
LABELS = [1] * len(SPAM) + [0] * len(HAM)
MAKERS: list[Callable[[], TextClassifier]] = [
    Majority,
    SpamRules,
    NaiveBayes,
    LinearTexts,
    lambda: LinearTexts("words", "logistic"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_each_gives_probabilities_and_learns_the_same_twice(make: Callable[[], TextClassifier]) -> None:
    model = make()
    assert isinstance(model, TextClassifier)
    chances = model.fit([*SPAM, *HAM], LABELS).predict_proba([*SPAM, *HAM, "xyzzy"])
    assert chances.shape == (8, 2)
    np.testing.assert_allclose(chances.sum(1), 1)
    assert (chances >= 0).all()
    np.testing.assert_array_equal(chances, make().fit([*SPAM, *HAM], LABELS).predict_proba([*SPAM, *HAM, "xyzzy"]))
    assert model.size() > 0


@pytest.mark.parametrize("make", MAKERS[1:])
def test_all_but_the_majority_baseline_distinguish_these(make: Callable[[], TextClassifier]) -> None:
    given = make().fit([*SPAM, *HAM], LABELS).predict_proba([*SPAM, *HAM])[:, 1] >= 0.5
    assert given.tolist() == [bool(label) for label in LABELS]


def test_the_majority_baseline_gives_the_fraction_of_each_class() -> None:
    np.testing.assert_allclose(Majority().fit(HAM, [0, 0, 0, 1]).predict_proba(["anything"]), [[0.75, 0.25]])


def test_rules_count_distinct_keywords_and_a_long_number_once() -> None:
    rules = SpamRules()
    assert rules.keywords("Free! free FREE") == 1
    assert rules.keywords("free, call 09061701461 or 12345") == 2
    assert rules.keywords("freedom of the winter") == 0
    assert rules.keywords("a gift of £5") == 1
    assert rules.keywords("only for 18+.") == 1
    no, one, two = rules.predict_proba(["hello", "free", "free prize"])[:, 1]
    assert no == 0 < one < 0.5 < two


def test_character_features_recognise_a_misspelling_that_word_features_do_not() -> None:
    texts, labels = ["freeee prize", "freee cash", "dinner time", "sleep time"], [1, 1, 0, 0]
    both = LinearTexts("words + characters").fit(texts, labels).predict_proba(["fre3 freeeee"])[0, 1]
    words = LinearTexts("words").fit(texts, labels).predict_proba(["fre3 freeeee"])[0, 1]
    assert both > words


def test_more_than_two_classes_sum_to_one() -> None:
    texts, labels = ["red apple", "blue sky", "green grass", "red rose"], [0, 1, 2, 0]
    for classifier in ("svm", "logistic"):
        chances = LinearTexts("words", classifier).fit(texts, labels).predict_proba(texts)
        np.testing.assert_allclose(chances.sum(1), 1)
        assert chances.argmax(1).tolist() == labels
