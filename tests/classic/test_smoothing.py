"""Add-k and Katz: worked out by hand, summing to one, and the fast forms equal to the plain ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import NgramModel
from scratchlm.classic.smoothing import AddK, Katz, PlainAddK, PlainKatz, katz_discounts

Documents = Sequence[Sequence[int]]
Maker = Callable[[Documents, int, int], NgramModel]
KINDS: dict[str, tuple[Maker, Maker]] = {
    "add-k": (lambda d, v, n: PlainAddK(d, v, n, k=0.3), lambda d, v, n: AddK.fit(d, v, n, k=0.3)),
    "Katz": (PlainKatz, Katz.fit),
}
EACH = pytest.mark.parametrize("kind", KINDS)
DOCUMENTS = st.lists(st.lists(st.integers(0, 6), max_size=14), max_size=6)


def test_add_one_by_hand() -> None:
    # "a b" and "a c" over a, b, c: after "a" b and c came once each of 2, so each (1 + 1) / (2 + 3), a 1 / 5.
    for model in (PlainAddK([[0, 1], [0, 2]], 3, 2), AddK.fit([[0, 1], [0, 2]], 3, 2)):
        np.testing.assert_allclose(model.distribution([0]), [1 / 5, 2 / 5, 2 / 5])
        np.testing.assert_allclose(model.distribution([1]), [1 / 3, 1 / 3, 1 / 3])
        np.testing.assert_allclose(model.distribution([]), [3 / 7, 2 / 7, 2 / 7])


def test_discounts_are_good_and_turings() -> None:
    # 100 grams once, 40 twice, 20 thrice, ... : d(1) = (2 * 40 / 100 - 6 * 5 / 100) / (1 - 6 * 5 / 100)
    factors = katz_discounts([100, 40, 20, 14, 9, 5])
    assert factors[1] == pytest.approx((0.8 - 0.3) / 0.7)
    assert factors[2] == pytest.approx((3 * 20 / (2 * 40) - 0.3) / 0.7)
    assert factors[6] == 1.0
    assert katz_discounts([0, 0, 0, 0, 0, 0]).tolist() == [1, 0.5, 0.75, 0.875, 0.9375, 0.96875, 1]


def test_katz_by_hand() -> None:
    # One document "a b a c" over a, b, c, order 2; counts are too few for Good and Turing, so 1 becomes 1/2. All three
    # were seen, so alone they keep 2, 1 and 1 of 4. After "a": b and c keep 1/2 of 2 each; the rest goes to a.
    for model in (PlainKatz([[0, 1, 0, 2]], 3, 2), Katz.fit([[0, 1, 0, 2]], 3, 2)):
        np.testing.assert_allclose(model.distribution([]), [1 / 2, 1 / 4, 1 / 4])
        np.testing.assert_allclose(model.distribution([0]), [1 / 2, 1 / 4, 1 / 4])
    # Over four: alone, a's 2 becomes 3/2 (3/8), b and c 1/2 (1/8 each), and d gets the rest, 3/8. After "a": b and c
    # 1/4 each; the other half is shared by a and d as they are alone, 3/8 to 3/8.
    for model in (PlainKatz([[0, 1, 0, 2]], 4, 2), Katz.fit([[0, 1, 0, 2]], 4, 2)):
        np.testing.assert_allclose(model.distribution([]), [3 / 8, 1 / 8, 1 / 8, 3 / 8])
        np.testing.assert_allclose(model.distribution([0]), [1 / 4, 1 / 4, 1 / 4, 1 / 4])


@EACH
@settings(max_examples=60, deadline=None)
@given(documents=DOCUMENTS, order=st.integers(1, 4), context=st.lists(st.integers(0, 6), max_size=5))
def test_the_fast_form_equals_the_plain_one(
    kind: str, documents: list[list[int]], order: int, context: list[int]
) -> None:
    plain, fast = (make(documents, 7, order) for make in KINDS[kind])
    np.testing.assert_allclose(fast.distribution(context), plain.distribution(context), rtol=1e-9, atol=1e-12)
    text = [*context, 3, 1, 1]
    np.testing.assert_allclose(fast.token_log_probabilities(text), plain.token_log_probabilities(text), atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(documents=DOCUMENTS, order=st.integers(1, 4), context=st.lists(st.integers(0, 6), max_size=5))
@pytest.mark.parametrize("size", [7, 8])  # id 7 occurs in no document
def test_probabilities_sum_to_one_and_none_is_zero(
    size: int, documents: list[list[int]], order: int, context: list[int]
) -> None:
    for model in (AddK.fit(documents, size, order), Katz.fit(documents, size, order)):
        distribution = model.distribution(context)
        assert distribution.sum() == pytest.approx(1, abs=1e-9)
        assert (distribution > 0).all()


def test_a_longer_context_sharpens_what_follows_it() -> None:
    documents = [[0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 1, 4]] * 3
    one, three = Katz.fit(documents, 5, 1), Katz.fit(documents, 5, 3)
    assert three.probability(2, [0, 1]) > 0.8 > one.probability(2, [0, 1])
    text = documents[0]
    assert three.log_likelihood(text) > one.log_likelihood(text)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UserError, match="k 0: must be over 0"):
        AddK.fit([[1]], 3, 2, k=0)
    with pytest.raises(UserError, match="token id 3: ids go from 0 to 2"):
        Katz.fit([[3]], 3, 2)
    with pytest.raises(UserError, match="order 0: must be at least 1"):
        PlainKatz([[1]], 3, 0)
