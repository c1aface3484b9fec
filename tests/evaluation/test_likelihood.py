"""Likelihoods of continuations: by hand, in any batch, with shared contexts read once or not."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.evaluation import likelihood
from scratchlm.evaluation.likelihood import LikelihoodRequest, encode_requests, likelihoods
from scratchlm.tokens.base import END_OF_TEXT, PAD, TURN_END, Ends, first_token, prefix_token
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.simple import CharacterTokenizer, WordTokenizer
from scratchlm.tokens.vocabulary import TURN_START
from toys import TOYS, byte_tokenizer, random_decoder, toy_config


def requests(seed: int = 0, texts: int = 7, vocabulary: int = 61) -> list[LikelihoodRequest]:
    """Texts of 1 to 18 tokens, each with one to four continuations."""
    draw = random.Random(seed)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(draw.randint(1, most)))

    return [
        LikelihoodRequest(text, ids(6)) for text in (ids(18) for _ in range(texts)) for _ in range(draw.randint(1, 4))
    ]


def by_hand(decoder: torch.nn.Module, request: LikelihoodRequest) -> tuple[float, bool]:
    row = [*request.context, *request.continuation]
    with torch.no_grad():
        logs = decoder(torch.tensor([row[:-1]])).double().log_softmax(-1)[0]
    places = range(len(request.context), len(row))
    nats = sum(float(logs[place - 1, row[place]]) for place in places)
    return nats, all(int(logs[place - 1].argmax()) == row[place] for place in places)


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_a_likelihood_is_the_sum_over_tokens_at_every_batch(name: str, shared: bool, rows: int) -> None:
    decoder = random_decoder(toy_config(name))
    asked = requests()
    found = likelihoods(decoder, asked, rows=rows, shared=shared)
    expected = [by_hand(decoder, request) for request in asked]
    np.testing.assert_allclose([each.nats for each in found], [nats for nats, _ in expected], rtol=1e-5, atol=1e-5)
    assert [each.greedy for each in found] == [greedy for _, greedy in expected]
    assert [each.tokens for each in found] == [len(each.continuation) for each in asked]


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, asked = random_decoder(toy_config("default")), requests(1)
    expected = likelihoods(decoder, asked)
    for name in ("BATCH_TOKENS", "TOGETHER"):
        monkeypatch.setattr(likelihood, name, 2)
    found = likelihoods(decoder, asked)
    np.testing.assert_allclose([each.nats for each in found], [each.nats for each in expected], rtol=1e-5)


def test_a_text_that_is_too_long_loses_its_beginning() -> None:
    decoder = random_decoder(toy_config("default"))
    context = decoder.config.context
    text = tuple(index % 50 for index in range(context + 30))
    asked = [LikelihoodRequest(text, (1, 2, 3)), LikelihoodRequest(text, (4, 5))]
    expected = [
        by_hand(decoder, LikelihoodRequest(text[-(context + 1 - size) :], each.continuation))[0]
        for each, size in zip(asked, (3, 2), strict=True)
    ]
    np.testing.assert_allclose([each.nats for each in likelihoods(decoder, asked)], expected, rtol=1e-5)
    with pytest.raises(UserError, match="the model sees"):
        likelihoods(decoder, [LikelihoodRequest((1,), text)])


def test_a_greedy_continuation_is_reported() -> None:
    decoder = random_decoder(toy_config("default"))
    with torch.no_grad():
        best = int(decoder(torch.tensor([[1, 2, 3]]))[0, -1].argmax())
    good, bad = likelihoods(
        decoder, [LikelihoodRequest((1, 2, 3), (best,)), LikelihoodRequest((1, 2, 3), ((best + 1) % 60,))]
    )
    assert good.greedy
    assert not bad.greedy


def test_texts_are_tokenized_as_running_text() -> None:
    tokenizer = byte_tokenizer()
    first = tokenizer.end_of_text
    plain, moved, empty = encode_requests(tokenizer, [("a b", " c"), ("a b ", "c"), ("", "c")])
    assert plain == moved == LikelihoodRequest(tuple(tokenizer.encode("a b")), tuple(tokenizer.encode(" c")))
    assert empty == LikelihoodRequest((first,), tuple(tokenizer.encode("c")))
    with pytest.raises(UserError, match="has no token of its own"):
        encode_requests(tokenizer, [("a", "")])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (Ends(), END_OF_TEXT),  # all tokenizers that are trained here
        (Ends(TURN_START, add_bos=False, last=TURN_END), TURN_START),  # SmolLM2
        (Ends(None, last=TURN_END), TURN_END),  # Qwen2.5-Instruct
        (Ends(PAD), PAD),  # inserted before every text, as Llama's is
    ],
)
def test_a_text_without_a_prompt_follows_bos_else_eos_as_in_the_harness(ends: Ends, expected: str) -> None:
    tokenizer = byte_tokenizer()
    tokenizer = ReadableBPE(replace(tokenizer.vocabulary, ends=ends))
    (request,) = encode_requests(tokenizer, [("", "c")])
    assert request.context == (tokenizer.specials[expected],)
    end = tokenizer.specials[END_OF_TEXT]
    assert encode_requests(tokenizer, [("", "c")], start=end)[0].context == (end,)


def test_a_text_without_a_prompt_follows_the_end_of_text_with_every_tokenizer_that_is_trained_here() -> None:
    texts = ["a b c", "b c d"]
    trained = [ReadableBPE.train(texts, 257), FastBPE.train(texts, 257)]
    for tokenizer in (*trained, CharacterTokenizer.train(texts), WordTokenizer.train(texts)):
        assert prefix_token(tokenizer) == first_token(tokenizer) == tokenizer.specials[END_OF_TEXT]
