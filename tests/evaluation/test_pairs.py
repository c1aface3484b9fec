"""Sentence likelihoods by hand, whatever the batch; pairs that a model prefers or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.evaluation import pairs
from scratchlm.evaluation.pairs import Pair, log_likelihoods, pair_accuracy, read_pairs
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

ROWS = [[3], [5, 1, 4, 1, 5, 9, 2, 6], [7, 7], [8, 2, 8], [1, 4, 1, 4]]


@pytest.mark.parametrize("batch_tokens", [1, 9, 16, 8192])
def test_a_likelihood_is_the_sum_over_tokens_whatever_stands_beside_it(
    batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BATCH_TOKENS", batch_tokens)
    decoder = random_decoder(toy_config("default"))
    expected = []
    with torch.no_grad():
        for row in ROWS:
            logs = decoder(torch.tensor([[11, *row]])).log_softmax(-1)[0]
            expected.append(sum(float(logs[place, token]) for place, token in enumerate(row)))
    np.testing.assert_allclose(log_likelihoods(decoder, ROWS, 11), expected, atol=1e-4)


def test_accuracy_counts_the_pairs_whose_good_sentence_is_likelier_and_half_of_ties() -> None:
    decoder, tokenizer = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer()
    texts = ["a cat", "cats", "the dog"]
    first = tokenizer.end_of_text
    assert first is not None
    scores = log_likelihoods(decoder, [tokenizer.encode(text) for text in texts], first)
    best, middle, worst = (texts[i] for i in np.argsort(-scores))
    chosen = [Pair(best, worst), Pair(best, middle), Pair(worst, middle), Pair(best, best)]
    assert pair_accuracy(decoder, tokenizer, chosen) == 2.5 / 4


def test_pairs_are_read_and_a_line_without_them_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "field": "x"}\n')
    assert read_pairs(path) == [Pair("Cats sleep.", "Cats sleeps.")]
    path.write_text('{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."}\n{"sentence_good": "A"}\n')
    with pytest.raises(UserError, match=r"set\.jsonl, line 2"):
        read_pairs(path)
