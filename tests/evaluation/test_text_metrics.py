"""F1 of the words that an answer shares with the reference, counted by hand."""

from __future__ import annotations

import pytest

from scratchlm.evaluation.text_metrics import token_f1


@pytest.mark.parametrize(
    ("given", "expected", "f1"),
    [
        ("The cat.", "a cat", 1.0),
        ("the black cat sat", "a black dog", 2 / 5),
        ("cat cat", "cat", 2 / 3),  # a word counts as often as both have it
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("the", "a", 1.0),  # nothing is left of either
    ],
)
def test_the_f1_of_shared_words(given: str, expected: str, f1: float) -> None:
    assert token_f1(given, expected) == pytest.approx(f1)
