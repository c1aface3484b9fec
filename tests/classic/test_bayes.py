"""Naive Bayes by hand, and against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from scratchlm.classic.bayes import NaiveBayes, word_grams

TEXTS = ["win a prize now", "win now", "see you at lunch", "lunch at one", "Win lunch"]
LABELS = [1, 1, 0, 0, 1]


def test_features_are_words_in_lower_case_and_their_n_grams() -> None:
    assert list(word_grams("Win a  Prize", 2)) == ["win", "a", "prize", "win a", "a prize"]
    assert list(word_grams("", 2)) == []


def test_a_case_computed_by_hand() -> None:
    model = NaiveBayes(longest=1, alpha=1.0).fit(["a a b", "b c"], [0, 1])
    # three different grams; class 0 has a 2, b 1 of 3 words, class 1 has b 1, c 1 of 2; prior one half each
    zero, one = 0.5 * (2 + 1) / (3 + 3) * (1 + 1) / (3 + 3), 0.5 * (0 + 1) / (2 + 3) * (1 + 1) / (2 + 3)
    np.testing.assert_allclose(model.predict_proba(["a b"]), [[zero / (zero + one), one / (zero + one)]], rtol=1e-12)


def test_an_unseen_word_is_ignored() -> None:
    model = NaiveBayes().fit(TEXTS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(["win xylophone"]), model.predict_proba(["win"]))
    np.testing.assert_allclose(model.predict_proba([""]), [[2 / 5, 3 / 5]])


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_it_gives_the_numbers_of_scikit_learn(alpha: float) -> None:
    table = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    theirs = MultinomialNB(alpha=alpha).fit(table.fit_transform(TEXTS), LABELS)
    asked = ["win a lunch", "see prize now you", "at", "nothing known"]
    ours = NaiveBayes(alpha=alpha).fit(TEXTS, LABELS)
    np.testing.assert_allclose(ours.predict_proba(asked), theirs.predict_proba(table.transform(asked)), rtol=1e-10)


def test_a_second_fit_starts_from_scratch() -> None:
    model = NaiveBayes().fit(["x y", "z"], [0, 1]).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), NaiveBayes().fit(TEXTS, LABELS).predict_proba(TEXTS))
    assert model.size() > NaiveBayes(longest=1).fit(TEXTS, LABELS).size() > 0
