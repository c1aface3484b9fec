from __future__ import annotations

import inspect
import json
import lzma
import math
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import measured
from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import (
    FALLBACK_DISCOUNTS,
    NgramModel,
    PlainKneserNey,
    one_discount,
    three_discounts,
)
from scratchlm.classic.ngram_fast import KneserNey

BOTH = pytest.mark.parametrize("kind", [PlainKneserNey, KneserNey])
Kind = type[PlainKneserNey] | type[KneserNey]

DATA = os.environ.get("SCRATCHLM_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="SCRATCHLM_DATA does not name the folder of real texts")


def skewed_documents(seed: int, vocabulary_size: int, documents: int, length: int) -> list[list[int]]:
    """Rows in which each token depends on the one before it, with common and rare steps: counts of 1 to 4 occur."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(documents):
        steps = generator.geometric(0.3, size=int(generator.integers(length))) - 1
        rows.append((np.cumsum(steps) % vocabulary_size).tolist())
    return rows


def assert_equal_models(plain: NgramModel, fast: NgramModel, texts: Sequence[Sequence[int]]) -> None:
    for text in texts:
        np.testing.assert_allclose(
            fast.token_log_probabilities(text), plain.token_log_probabilities(text), rtol=0, atol=1e-9
        )


@BOTH
def test_a_text_small_enough_for_paper_gives_the_probabilities_worked_out_on_paper(kind: Kind) -> None:
    # Documents "a b" and "c b b", order 2. Left neighbours: a 1, c 1 (starts), b 3 (a, c, b); discounts 1/2, 1/2, 3/2
    # leave 1/10, 1/10, 3/10 and give 1/2 to the uniform 1/3: a 4/15, c 4/15, b 7/15. After "a" came only "b", once:
    # (1 - 1/2) / 1 + 1/2 * 7/15 = 11/15. After "c" likewise.
    model = kind.fit([[0, 1], [2, 1, 1]], vocabulary_size=3, order=2)
    np.testing.assert_allclose(model.distribution([]), [4 / 15, 7 / 15, 4 / 15], atol=1e-12)
    np.testing.assert_allclose(model.distribution([0]), [2 / 15, 11 / 15, 2 / 15], atol=1e-12)
    assert model.probability(1, [2]) == pytest.approx(11 / 15, abs=1e-12)
    assert model.log_likelihood([0, 1]) == pytest.approx(math.log(4 / 15 * 11 / 15), abs=1e-12)


@BOTH
def test_the_longest_grams_are_counted_by_occurrence_and_the_shorter_by_left_neighbours(kind: Kind) -> None:
    # After id 0 come 1 (three times) and 2 (once): 3 - 3/2 and 1 - 1/2 of 4, and (3/2 + 1/2) / 4 to the unigrams.
    # Among the unigrams 1 and 2 each have one left neighbour, 0, and 0 has the start of a document alone.
    model = kind.fit([[0, 1], [0, 1], [0, 1], [0, 2]], vocabulary_size=3, order=2)
    np.testing.assert_allclose(model.distribution([]), [1 / 3, 1 / 3, 1 / 3], atol=1e-12)
    np.testing.assert_allclose(model.distribution([0]), [1 / 6, 3 / 8 + 1 / 6, 1 / 8 + 1 / 6], atol=1e-12)


@BOTH
def test_a_token_that_follows_many_others_is_likelier_in_a_new_context_than_a_more_frequent_one(kind: Kind) -> None:
    san, francisco, bread = 0, 1, 2
    documents = [[san, francisco]] * 20 + [[other, bread] for other in (3, 4, 5, 6)]
    model = kind.fit(documents, vocabulary_size=8, order=2)
    unseen_context = [7]
    assert model.probability(bread, unseen_context) > 2 * model.probability(francisco, unseen_context)
    assert model.probability(francisco, [san]) > 0.9


@BOTH
@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_distribution_sums_to_one_and_leaves_no_id_out_after_seen_and_unseen_contexts(kind: Kind, order: int) -> None:
    documents = skewed_documents(0, vocabulary_size=12, documents=30, length=40)
    model = kind.fit(documents, vocabulary_size=15, order=order)
    for context in ([], documents[1][:1], documents[2][:4], documents[3][:9], [14], [14, 3, 14], [0, 14, 0, 1]):
        distribution = model.distribution(context)
        assert distribution.shape == (15,)
        assert distribution.min() > 0
        assert abs(distribution.sum() - 1) < 1e-9


@BOTH
def test_probability_distribution_and_log_likelihood_say_the_same(kind: Kind) -> None:
    documents = skewed_documents(1, vocabulary_size=10, documents=30, length=30)
    model = kind.fit(documents, vocabulary_size=10, order=3)
    text = [3, 4, 4, 5, 9, 0, 1]
    one_by_one = [model.distribution(text[:end])[token] for end, token in enumerate(text)]
    np.testing.assert_allclose([model.probability(t, text[:end]) for end, t in enumerate(text)], one_by_one, rtol=1e-12)
    np.testing.assert_allclose(model.token_log_probabilities(text), np.log(one_by_one), rtol=1e-12)
    assert model.log_likelihood(text) == pytest.approx(sum(np.log(one_by_one)), rel=1e-12)
    assert model.log_likelihood([]) == 0.0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_fast_model_equals_the_plain_one_on_any_small_corpus(data: st.DataObject) -> None:
    vocabulary_size = data.draw(st.integers(1, 5))
    order = data.draw(st.integers(1, 6))
    row = st.lists(st.integers(0, vocabulary_size - 1), max_size=12)
    documents = data.draw(st.lists(row, max_size=8))
    held_out = data.draw(row)
    plain = PlainKneserNey.fit(documents, vocabulary_size, order)
    fast = KneserNey.fit(documents, vocabulary_size, order)
    assert_equal_models(plain, fast, [*documents, held_out])
    np.testing.assert_allclose(fast.distribution(held_out), plain.distribution(held_out), rtol=0, atol=1e-9)


@pytest.mark.parametrize("estimate", [one_discount, three_discounts])
def test_the_fast_model_equals_the_plain_one_where_discounts_are_estimated(estimate: object) -> None:
    documents = skewed_documents(2, vocabulary_size=60, documents=80, length=120)
    held_out = skewed_documents(3, vocabulary_size=60, documents=10, length=120)
    plain = PlainKneserNey.fit(documents, 70, estimate=estimate)
    fast = KneserNey.fit(documents, 70, estimate=estimate)
    assert sum(each != FALLBACK_DISCOUNTS for each in fast.discounts) >= 3
    np.testing.assert_allclose(fast.discounts, list(plain.discounts.values()))
    assert_equal_models(plain, fast, [*documents[:10], *held_out])
    for context in (documents[0][:5], held_out[0][:3], [69]):
        np.testing.assert_allclose(fast.distribution(context), plain.distribution(context), rtol=0, atol=1e-9)


@BOTH
@pytest.mark.parametrize("documents", [[], [[]], [[0]], [[0], [0]], [[0] * 50], [[0, 1, 2]], [[], [2], []]])
@pytest.mark.parametrize("order", [1, 5])
def test_degenerate_corpora_give_finite_probabilities(kind: Kind, documents: list[list[int]], order: int) -> None:
    model = kind.fit(documents, vocabulary_size=3, order=order)
    for context in ([], [0], [0, 0, 0, 0, 0], [2, 1]):
        distribution = model.distribution(context)
        assert np.isfinite(distribution).all()
        assert distribution.min() > 0
        assert abs(distribution.sum() - 1) < 1e-9
    if documents == [] or documents == [[]]:
        np.testing.assert_allclose(model.distribution([1]), np.full(3, 1 / 3))


@BOTH
def test_a_vocabulary_of_one_id_is_certain(kind: Kind) -> None:
    assert kind.fit([[0, 0, 0]], vocabulary_size=1).log_likelihood([0, 0]) == pytest.approx(0, abs=1e-12)


@BOTH
def test_no_gram_spans_two_documents(kind: Kind) -> None:
    apart = kind.fit([[0, 1], [2, 3]], vocabulary_size=4, order=2)
    together = kind.fit([[0, 1, 2, 3]], vocabulary_size=4, order=2)
    np.testing.assert_array_equal(apart.distribution([1]), apart.distribution([]))
    assert together.probability(2, [1]) > together.probability(2, [])


@BOTH
def test_only_the_last_tokens_of_a_context_matter_and_an_unseen_older_one_changes_nothing(kind: Kind) -> None:
    documents = skewed_documents(4, vocabulary_size=6, documents=20, length=30)
    model = kind.fit(documents, vocabulary_size=7, order=3)
    np.testing.assert_array_equal(model.distribution([5, 0, 1, 2]), model.distribution([1, 2]))
    np.testing.assert_array_equal(model.distribution([6, 2]), model.distribution([2]))
    assert not np.allclose(model.distribution([1, 2]), model.distribution([2]))


@BOTH
def test_the_order_of_the_documents_and_the_type_of_the_ids_do_not_matter(kind: Kind) -> None:
    documents = skewed_documents(5, vocabulary_size=9, documents=20, length=30)
    text = documents[3][:20]
    as_lists = kind.fit(documents, 9).token_log_probabilities(text)
    as_arrays = kind.fit((np.array(row, np.uint16) for row in reversed(documents)), 9)
    np.testing.assert_allclose(as_arrays.token_log_probabilities(np.array(text, np.uint32)), as_lists, atol=1e-12)


@BOTH
def test_samples_are_new_tokens_set_by_the_seed_and_follow_the_distribution(kind: Kind) -> None:
    model = kind.fit([[0, 1, 2] * 40], vocabulary_size=3, order=3)
    sampled = model.sample([0, 1], length=300, seed=7)
    assert len(sampled) == 300
    assert sampled == model.sample(np.array([0, 1]), length=300, seed=np.random.default_rng(7))
    assert sampled != model.sample([0, 1], length=300, seed=8)
    followed = sum(after == (before + 1) % 3 for before, after in pairwise(sampled))
    assert followed > 280
    assert model.sample([], length=0) == []
    first = [model.sample([], length=1, seed=seed)[0] for seed in range(600)]
    np.testing.assert_allclose(np.bincount(first, minlength=3) / 600, model.distribution([]), atol=0.07)


def test_both_models_draw_the_same_samples() -> None:
    documents = skewed_documents(6, vocabulary_size=20, documents=30, length=50)
    plain, fast = PlainKneserNey.fit(documents, 20), KneserNey.fit(documents, 20)
    assert plain.sample([3], 100, seed=1) == fast.sample([3], 100, seed=1)


def test_discounts_follow_the_published_formulas() -> None:
    # n1..n4 = 6, 3, 2, 1: Y = 6 / (6 + 2*3) = 1/2; 1 - 2Y*3/6, 2 - 3Y*2/3, 3 - 4Y*1/2.
    assert three_discounts([6, 3, 2, 1]) == pytest.approx((0.5, 1.0, 2.0))
    assert one_discount([6, 3, 2, 1]) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("counts", [[0, 0, 0, 0], [5, 0, 0, 0], [5, 2, 1, 0], [0, 3, 2, 1]])
def test_discounts_fall_back_where_a_count_of_counts_is_zero(counts: list[int]) -> None:
    assert three_discounts(counts) == FALLBACK_DISCOUNTS


def test_discounts_fall_back_where_the_estimate_would_not_be_positive() -> None:
    assert three_discounts([5, 2, 40, 1]) == FALLBACK_DISCOUNTS
    assert three_discounts([50, 20, 1, 40]) == FALLBACK_DISCOUNTS
    assert one_discount([5, 0, 1, 1]) == FALLBACK_DISCOUNTS


@BOTH
@pytest.mark.parametrize(
    ("documents", "named"),
    [([[0, 4]], "4"), ([[0], [-1]], "-1"), ([[0.5, 1.0]], "float64"), ([[[0, 1]]], r"\(1, 2\)")],
)
def test_ids_that_are_none_of_the_vocabulary_are_refused_by_name(kind: Kind, documents: list, named: str) -> None:
    with pytest.raises(UserError, match=named):
        kind.fit(documents, vocabulary_size=4)
    model = kind.fit([[0, 1]], vocabulary_size=4)
    with pytest.raises(UserError, match=named):
        model.token_log_probabilities(documents[-1])
    with pytest.raises(UserError, match=named):
        model.distribution(documents[-1])


@BOTH
def test_settings_below_one_are_refused_by_name(kind: Kind) -> None:
    with pytest.raises(UserError, match="order 0"):
        kind.fit([[0]], vocabulary_size=1, order=0)
    with pytest.raises(UserError, match="vocabulary_size 0"):
        kind.fit([], vocabulary_size=0)


def test_ids_too_large_to_pack_into_64_bits_are_refused_rather_than_mixed_up() -> None:
    with pytest.raises(UserError, match="too large to pack"):
        KneserNey.fit([[0, 1, 2]], vocabulary_size=2**62)


def test_both_models_offer_the_same_methods() -> None:
    assert inspect.signature(PlainKneserNey.fit).parameters == inspect.signature(KneserNey.fit).parameters
    public = [name for name in dir(NgramModel) if not name.startswith("_")]
    assert set(public) >= {"distribution", "log_likelihood", "probability", "sample", "token_log_probabilities"}


def words_of_books(books: int) -> tuple[list[list[int]], int]:
    """Ids of the words and marks of the first real books, one document a book."""
    assert DATA is not None
    ids: dict[str, int] = {}
    documents = []
    with (Path(DATA) / "pretrain" / "books.jsonl").open(encoding="utf-8") as file:
        for line, _ in zip(file, range(books), strict=False):
            words = json.loads(line)["text"].replace(",", " , ").replace(".", " . ").split()
            documents.append([ids.setdefault(word, len(ids)) for word in words])
    return documents, len(ids)


@needs_data
def test_on_real_words_fast_equals_plain_longer_contexts_help_and_three_discounts_beat_one() -> None:
    documents, vocabulary_size = words_of_books(4)
    held_out = documents.pop()[:4000]
    plain = PlainKneserNey.fit([documents[0][:20_000]], vocabulary_size)
    assert_equal_models(plain, KneserNey.fit([documents[0][:20_000]], vocabulary_size), [held_out, documents[0][:2000]])
    loss = {order: -KneserNey.fit(documents, vocabulary_size, order).log_likelihood(held_out) for order in (1, 2, 5)}
    assert loss[1] > loss[2] > loss[5]
    assert -KneserNey.fit(documents, vocabulary_size, 5, one_discount).log_likelihood(held_out) > loss[5]


@pytest.mark.slow
@needs_data
def test_on_real_bytes_fast_equals_plain_and_a_megabyte_predicts_better_than_xz_compresses() -> None:
    assert DATA is not None
    text = (Path(DATA) / "pretrain" / "tinyshakespeare.txt").read_bytes()
    split = len(text) * 9 // 10
    train, held_out = list(text[:split]), list(text[split:])
    plain, fast = PlainKneserNey.fit([train[:100_000]], 256), KneserNey.fit([train[:100_000]], 256)
    assert_equal_models(plain, fast, [held_out[:10_000]])
    # The bytes that xz adds for the held-out text after the training text, so that it too learns from the first part.
    compressed = len(lzma.compress(text, preset=9)) - len(lzma.compress(text[:split], preset=9))
    bits = -KneserNey.fit([train], 256).log_likelihood(held_out) / math.log(2)
    assert bits < 8 * compressed


COUNT_BOOKS = """
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.lab.shared.small_model import pieces_of_books
from scratchlm.tokens.fast import FastBPE

texts = pieces_of_books(Path(sys.argv[1]), 10_000_000)
tokenizer = FastBPE.train(texts, 4096)
KneserNey.fit(tokenizer.encode_batch(texts), tokenizer.vocabulary_size, 5)
print(peak())
"""


@pytest.mark.slow
@needs_data
def test_order_five_on_ten_megabytes_of_books_is_counted_in_two_gigabytes() -> None:
    (peak,) = measured(COUNT_BOOKS, Path(str(DATA)) / "pretrain" / "books.jsonl")
    assert peak < 2e9


@pytest.mark.slow
@pytest.mark.alone
def test_a_million_tokens_are_fitted_within_four_seconds_and_200_000_scored_within_two() -> None:
    generator = np.random.default_rng(0)
    tokens = np.minimum(generator.zipf(1.3, size=1_200_000), 8192) - 1
    began = time.process_time()
    model = KneserNey.fit([tokens[:1_000_000]], 8192)
    fitted = time.process_time()
    model.log_likelihood(tokens[1_000_000:])
    assert fitted - began < 4
    assert time.process_time() - fitted < 2
