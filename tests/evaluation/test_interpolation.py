"""A network interpolated with the n-grams of its training text."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram import PlainKneserNey
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.interpolation import BLOCK, count_ngrams, interpolate, ngram_loss, ngram_nats
from scratchlm.tokens.base import first_token
from scratchlm.tokens.bpe import ReadableBPE
from toys import byte_tokenizer

TOKENIZER = byte_tokenizer()
END = TOKENIZER.end_of_text


def ids_of(*texts: str) -> np.ndarray:
    return np.array([id for text in texts for id in (*TOKENIZER.encode(text), END)])


TRAINING, HELD_OUT = ids_of("the cat sat on the mat. " * 5, "the dog sat."), ids_of("the cat sat on the dog. " * 8)


def test_the_loss_of_each_token_is_that_of_the_plain_model_after_all_before_it() -> None:
    found = ngram_nats(count_ngrams(ArrayTokens(TRAINING), TOKENIZER, 3), TOKENIZER, ArrayTokens(HELD_OUT))
    plain = PlainKneserNey.fit([[END, *TRAINING]], TOKENIZER.vocabulary_size, 3)
    assert len(found) == len(HELD_OUT)
    for place in (0, 1, 2, 30, len(HELD_OUT) - 1):
        expected = -math.log(plain.probability(int(HELD_OUT[place]), [END, *map(int, HELD_OUT[:place])]))
        assert found[place] == pytest.approx(expected, abs=1e-12)


def test_each_weight_is_learned_from_the_tokens_before_alone() -> None:
    random = np.random.default_rng(0)
    network, ngrams = random.exponential(2.0, (2, 5 * BLOCK + 7))
    found, last = interpolate(network, ngrams)
    trusted = []
    for place in range(len(network)):
        start = place // BLOCK * BLOCK
        weight = (1 + sum(trusted[:start])) / (2 + start)
        both = (1 - weight) * math.exp(-network[place]) + weight * math.exp(-ngrams[place])
        assert found[place] == pytest.approx(-math.log(both), abs=1e-12)
        trusted.append(weight * math.exp(-ngrams[place]) / both)
    assert last == pytest.approx((1 + sum(trusted)) / (2 + len(network)))
    cut = 3 * BLOCK
    assert np.array_equal(interpolate(network[:cut], ngrams[:cut])[0], found[:cut]), "later tokens were looked at"


def test_probabilities_of_all_tokens_sum_to_one() -> None:
    random = np.random.default_rng(2)
    before, after = random.exponential(2.0, (2, 2 * BLOCK + 5)), random.dirichlet(np.ones(9), 2)
    total = 0.0
    for token in range(9):
        network, ngrams = np.append(before, -np.log(after[:, token])[:, None], axis=1)
        total += math.exp(-interpolate(network, ngrams)[0][-1])
    assert total == pytest.approx(1.0, abs=1e-12)


def test_losses_of_two_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="64 tokens and of 65"):
        interpolate(np.ones(BLOCK), np.ones(BLOCK + 1))


def test_a_model_beside_its_equal_stays_as_it_is_and_one_that_is_always_better_is_trusted() -> None:
    nats = np.random.default_rng(1).exponential(2.0, 10_000)
    assert interpolate(nats, nats)[0] == pytest.approx(nats, abs=1e-12)
    both, weight = interpolate(nats + 3, nats)
    assert weight > 0.99
    assert nats.sum() < both.sum() < nats.sum() + 100, "a few nats are paid until the weight is learned"


def test_an_interpolated_loss_is_below_both_where_each_knows_what_the_other_does_not() -> None:
    ngrams = count_ngrams(ArrayTokens(TRAINING), TOKENIZER, 4)
    counted = ngram_nats(ngrams, TOKENIZER, ArrayTokens(HELD_OUT))
    network = np.where(counted > np.median(counted), 0.1, 4.0)  # right where counts are wrong
    found = ngram_loss(network, ngrams, TOKENIZER, ArrayTokens(HELD_OUT), len(HELD_OUT) - 1)
    assert found.order == 4
    assert found.alone.nats == pytest.approx(counted.sum())
    assert found.interpolated.nats < min(network.sum(), found.alone.nats)
    assert found.interpolated.bits_per_byte == pytest.approx(
        found.interpolated.nats / math.log(2) / (len(HELD_OUT) - 1)
    )


def test_texts_of_no_token_and_of_one_are_scored() -> None:
    ngrams = count_ngrams(ArrayTokens(TRAINING), TOKENIZER, 3)
    none, one = (ArrayTokens(np.array(ids, dtype=np.int64)) for ids in ([], HELD_OUT[:1]))
    assert ngram_loss(np.zeros(0), ngrams, TOKENIZER, none, 0).interpolated.nats == 0
    expected = ngram_nats(ngrams, TOKENIZER, one)[0]
    both = (math.exp(-5.0) + math.exp(-expected)) / 2
    found = ngram_loss(np.full(1, 5.0), ngrams, TOKENIZER, one, 1)
    assert (found.alone.nats, found.interpolated.nats) == (pytest.approx(expected), pytest.approx(-math.log(both)))


def test_a_tokenizer_without_a_first_token_begins_with_the_empty_context() -> None:
    tokenizer = ReadableBPE(dataclasses.replace(TOKENIZER.vocabulary, specials={}))
    assert first_token(tokenizer) is None
    text = ArrayTokens(np.array(tokenizer.encode("the cat sat on the cat ")))
    ngrams = count_ngrams(text, tokenizer, 3)
    found = ngram_nats(ngrams, tokenizer, text)
    assert len(found) == len(text)
    assert found == pytest.approx(-ngrams.token_log_probabilities(text.read(0, len(text))))


def test_too_much_text_for_the_memory_is_refused_in_one_line(monkeypatch) -> None:
    monkeypatch.setattr("scratchlm.base.memory.available_memory", lambda: 1 << 30)

    class Long(ArrayTokens):
        def __len__(self) -> int:
            return 100_000_000

    with pytest.raises(UserError, match=r"counting 5-grams in 100,000,000 tokens: .*give a lower --ngrams"):
        count_ngrams(Long(TRAINING), TOKENIZER, 5)
