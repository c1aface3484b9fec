"""Loss and bits per byte, with their denominators checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import HeldOutLoss, count_text_bytes, held_out_loss, token_nats, token_sizes
from scratchlm.tokens.fast import FastBPE
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

TOKENIZER = byte_tokenizer()
END = TOKENIZER.end_of_text
TEXT = "Der Bär 🐻 schläft. 熊はねむる。"


@pytest.fixture
def decoder():
    return random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, dropout=0.5))


@pytest.mark.parametrize(("length", "rows"), [(None, 16), (5, 1), (7, 3)])
def test_an_untrained_model_has_a_loss_of_the_logarithm_of_the_vocabulary(decoder, length, rows) -> None:
    with torch.no_grad():
        decoder.embedding.weight.zero_()  # all logits equal
    ids = [*TOKENIZER.encode(TEXT), END, *TOKENIZER.encode("ab"), END]
    result = held_out_loss(decoder, TOKENIZER, ids, length=length, rows=rows)
    size = len(TEXT.encode()) + 2
    assert result.tokens == size + 2
    assert result.text_bytes == size  # ends of documents add to the loss and count no bytes
    assert result.loss == pytest.approx(math.log(BYTE_VOCABULARY), rel=1e-5)
    assert result.perplexity == pytest.approx(BYTE_VOCABULARY, rel=1e-4)
    assert result.bits_per_byte == pytest.approx((size + 2) * math.log2(BYTE_VOCABULARY) / size, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_the_loss_is_that_of_windows_scored_one_by_one(decoder, rows: int) -> None:
    ids = [*TOKENIZER.encode(TEXT), END]
    nats, before = 0.0, END
    with torch.no_grad():
        for start in range(0, len(ids), 7):
            window = ids[start : start + 7]
            logits = decoder(torch.tensor([[before, *window[:-1]]]))[0].log_softmax(-1)
            nats -= sum(logits[place, id].item() for place, id in enumerate(window))
            before = window[-1]
    decoder.train()  # it must be switched to evaluation, or dropout would be in it
    result = held_out_loss(decoder, TOKENIZER, ids, length=7, rows=rows)
    assert result.nats == pytest.approx(nats, rel=1e-5)
    assert result.tokens == len(ids)


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_with_a_stride_each_token_is_scored_with_the_context_that_its_window_holds(decoder, stride: int) -> None:
    ids = [*TOKENIZER.encode(TEXT), END]
    found = token_nats(decoder, TOKENIZER, ArrayTokens(np.array(ids)), length=7, stride=stride, rows=3)
    assert len(found) == len(ids)
    for place, id in enumerate(ids):
        start = 0 if place < 7 else -(-(place - 6) // stride) * stride  # of the first window that holds the token
        window = [END, *ids][start : place + 1]
        with torch.no_grad():
            logits = decoder(torch.tensor([window]))[0, -1].log_softmax(-1)
        assert found[place] == pytest.approx(-logits[id].item(), rel=1e-4, abs=1e-5)


def test_bytes_are_those_of_the_text_whatever_the_tokenizer() -> None:
    merged = FastBPE.train([TEXT * 5], 280)
    for tokenizer in (TOKENIZER, merged):
        ids = np.array([*tokenizer.encode(TEXT), tokenizer.end_of_text])
        assert count_text_bytes(ArrayTokens(ids), tokenizer) == len(TEXT.encode())
        assert token_sizes(tokenizer)[list(tokenizer.specials.values())].sum() == 0


def test_the_figures_of_an_empty_text_are_zero_not_an_error(decoder) -> None:
    result = held_out_loss(decoder, TOKENIZER, [])
    assert (result.nats, result.tokens, result.text_bytes) == (0.0, 0, 0)
    assert result.bits_per_byte == 0.0


def test_figures_by_hand() -> None:
    figures = HeldOutLoss(nats=8 * math.log(2), tokens=4, text_bytes=16).as_dict()
    assert figures == pytest.approx(
        {"loss": 2 * math.log(2), "perplexity": 4.0, "bits_per_byte": 0.5, "tokens": 4, "bytes": 16}
    )
