"""Minimal pairs: accuracy, and reading of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.evaluation.pairs import Pair, pair_accuracy, read_pairs
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


def test_accuracy_counts_the_pairs_whose_good_sentence_is_likelier_and_half_of_ties() -> None:
    decoder, tokenizer = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer()
    texts = ["a cat", "cats", "the dog"]
    scores = [each.nats for each in likelihoods(decoder, encode_requests(tokenizer, [("", text) for text in texts]))]
    best, middle, worst = (texts[i] for i in np.argsort(scores)[::-1])
    chosen = [Pair(best, worst), Pair(best, middle), Pair(worst, middle), Pair(best, best)]
    assert pair_accuracy(decoder, tokenizer, chosen) == 2.5 / 4


def test_pairs_are_read_and_a_line_without_them_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "field": "x"}\n')
    assert read_pairs(path) == [Pair("Cats sleep.", "Cats sleeps.")]
    path.write_text('{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."}\n{"sentence_good": "A"}\n')
    with pytest.raises(UserError, match=r"set\.jsonl, line 2"):
        read_pairs(path)
