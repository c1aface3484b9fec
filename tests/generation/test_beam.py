"""Beam search against all continuations there are."""

from __future__ import annotations

import itertools

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.generation.beam import beam_search
from scratchlm.generation.engine import Engine
from scratchlm.model.decoder import Decoder
from toys import random_decoder, toy_config

TOKENS, LENGTH, PROMPT, STOP = 4, 3, [1, 2, 3], 2


@torch.no_grad()
def logprob(decoder: Decoder, ids: tuple[int, ...]) -> float:
    logits = decoder(torch.tensor([[*PROMPT, *ids]]))[0, len(PROMPT) - 1 : -1].log_softmax(-1)
    return float(logits[range(len(ids)), list(ids)].sum())


def all_continuations(decoder: Decoder) -> list[tuple[float, list[int]]]:
    """Return mean log-probability and tokens of every continuation, ended by STOP or of full length."""
    found = {}
    for whole in itertools.product(range(TOKENS), repeat=LENGTH):
        ids = whole[: whole.index(STOP) + 1] if STOP in whole else whole
        found[ids] = logprob(decoder, ids) / len(ids)
    return sorted(((score, [id for id in ids if id != STOP]) for ids, score in found.items()), reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_with_a_beam_for_each_continuation_it_is_exhaustive_search(seed: int) -> None:
    decoder = random_decoder(toy_config("default", vocabulary_size=TOKENS, tied=False), seed)
    best = all_continuations(decoder)
    found = beam_search(Engine(decoder), PROMPT, len(best), LENGTH, frozenset({STOP}))
    assert [each.ids for each in found] == [ids for _, ids in best]
    assert [each.score for each in found] == pytest.approx([score for score, _ in best], abs=1e-5)


def test_one_beam_is_greedy_and_more_never_score_less() -> None:
    decoder = random_decoder(toy_config("default", tied=False))
    scores = [beam_search(Engine(decoder), PROMPT, beams, 8)[0] for beams in (1, 3, 9)]
    with torch.no_grad():
        ids = list(PROMPT)
        for _ in range(8):
            ids.append(int(decoder(torch.tensor([ids]))[0, -1].argmax()))
    assert scores[0].ids == ids[len(PROMPT) :]
    assert scores[0].score < scores[2].score


def test_what_cannot_be_searched_is_refused() -> None:
    engine = Engine(random_decoder(toy_config("default")))
    with pytest.raises(UserError, match="beams: 0"):
        beam_search(engine, PROMPT, 0, 4)
    with pytest.raises(UserError, match="lower max_tokens"):
        beam_search(engine, PROMPT, 2, 40)
