"""IBM models 1 and 2: worked out by hand, and what they learn."""

from __future__ import annotations

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.classic.alignment import EMPTY, learn_translation, words_of

HOUSE = [(["das", "haus"], ["the", "house"]), (["das", "buch"], ["the", "book"])]
FROM_GERMAN = [*HOUSE, (["ein", "buch"], ["a", "book"])]


def test_one_round_of_model_1_by_hand() -> None:
    # Two pairs: e "b c" with f "x y", e "b" with f "y". At first t is 1/2 for each word that is seen with two.
    # Sums for x, y of the first pair and y of the second: b, c and the empty word see {x, y}, so each is 1/2.
    # First pair: each of the three words of e takes 1/3 of x and of y. Second: the empty word and b take 1/2 of y.
    # Counts: b: x 1/3, y 1/3 + 1/2; c: x 1/3, y 1/3; empty as b.
    learned = learn_translation([(["b", "c"], ["x", "y"]), (["b"], ["y"])], rounds=1)
    for source in ("b", EMPTY):
        assert learned.probability("x", source) == pytest.approx((1 / 3) / (7 / 6))
        assert learned.probability("y", source) == pytest.approx((5 / 6) / (7 / 6))
    assert learned.probability("x", "c") == pytest.approx(1 / 2)
    # The likelihood before it: each word is a mean over the words of e of 1/2, so 1/2 each: three words.
    assert learned.log_likelihoods == [pytest.approx(3 * np.log(0.5))]


def test_two_rounds_of_model_1_by_hand() -> None:
    learned = learn_translation([(["b", "c"], ["x", "y"]), (["b"], ["y"])], rounds=2)
    b = {"x": 2 / 7, "y": 5 / 7}
    x = {"b": b["x"], "c": 0.5, "": b["x"]}
    y = {"b": b["y"], "c": 0.5, "": b["y"]}
    taken = {f: {e: p / sum(of.values()) for e, p in of.items()} for f, of in (("x", x), ("y", y))}
    count_bx, count_by = taken["x"]["b"], taken["y"]["b"] + 1 / 2
    assert learned.probability("x", "b") == pytest.approx(count_bx / (count_bx + count_by))
    count_cx, count_cy = taken["x"]["c"], taken["y"]["c"]
    assert learned.probability("x", "c") == pytest.approx(count_cx / (count_cx + count_cy))


def test_words_that_always_occur_together_are_aligned() -> None:
    learned = learn_translation(FROM_GERMAN, rounds=40)
    assert learned.word_for_word(["das", "buch"]) == ["the", "book"]
    assert learned.word_for_word(["ein", "haus"]) == ["a", "house"]
    assert learned.word_for_word(["ein", "auto"]) == ["a", "auto"]
    assert learned.align(["das", "haus"], ["the", "house"]) == [1, 2]


@pytest.mark.parametrize("place_rounds", [0, 8])
def test_the_likelihood_never_falls_and_probabilities_sum_to_one(place_rounds: int) -> None:
    draw = np.random.default_rng(0)
    sentences = [
        ([f"e{n}" for n in draw.integers(12, size=draw.integers(1, 6))], [f"f{n}" for n in draw.integers(9, size=4)])
        for _ in range(60)
    ]
    learned = learn_translation(sentences, rounds=8, place_rounds=place_rounds)
    assert len(learned.log_likelihoods) == 8 + place_rounds
    assert (np.diff(learned.log_likelihoods) >= -1e-9).all()
    assert all(sum(of.values()) == pytest.approx(1) for of in learned.words.values())
    assert all(sum(of.values()) == pytest.approx(1) for of in learned.places.values())
    assert bool(learned.places) == bool(place_rounds)


def test_model_2_learns_a_reversed_order() -> None:
    draw = np.random.default_rng(1)
    turned = []
    for _ in range(80):
        e = [f"w{n}" for n in draw.integers(20, size=3)]
        turned.append((e, [word.upper() for word in reversed(e)]))
    two = learn_translation(turned, rounds=3, place_rounds=5)
    assert two.align(["w1", "w2", "w3"], ["W3", "W2", "W1"]) == [3, 2, 1]
    # An unseen pairing of words is aligned by its position alone.
    places = two.places[0, 3, 3]
    assert max(places, key=lambda i: places[i]) == 3


def test_sentences_are_split_into_words_and_punctuation() -> None:
    assert words_of("I'm fine, Tom!") == ["i'm", "fine", ",", "tom", "!"]


def test_training_without_data_is_refused() -> None:
    with pytest.raises(UserError, match="none has words on both sides"):
        learn_translation([([], ["a"]), (["b"], [])])
