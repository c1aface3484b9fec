"""Texts that an engine continues together are those that it continues alone, however they come and go."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marks import slow
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.generate import generate_ids
from scratchlm.generation.paging import Content, Pool, contents
from scratchlm.generation.requests import Request
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder
from toys import random_decoder, random_ids, toy_config

CONTEXT = 3 * BLOCK


def model(name: str = "default") -> Decoder:
    return random_decoder(toy_config(name, context=CONTEXT, tied=False))


def some_requests(count: int, seed: int = 0, most: int = 2 * BLOCK) -> list[Request]:
    """Return requests with prompts that share beginnings, and settings of all kinds."""
    chance, shared = random.Random(seed), random_ids(1, 200, seed=seed)[0].tolist()
    found = []
    for number in range(count):
        own = random_ids(1, chance.randrange(1, 20), seed=1000 + number)[0].tolist()
        config = SamplingConfig(
            max_tokens=chance.randrange(1, most),
            temperature=chance.choice([0.0, 0.9]),
            top_k=chance.choice([0, 20]),
            repetition_penalty=chance.choice([1.0, 1.2]),
            seed=number,
        )
        found.append(Request([*shared[: chance.randrange(0, 2 * BLOCK)], *own], config))
    return found


def alone(decoder: Decoder, request: Request) -> list[int]:
    return list(generate_ids(decoder, request.prompt, request.config, request.stop_ids))


@pytest.mark.parametrize(
    "name",
    [slow("tiny"), "default", slow("speedrun"), slow("gpt2"), "latent"],
)
def test_texts_that_come_and_go_at_any_step_are_written_as_if_alone(name: str) -> None:
    decoder, chance = model(name), random.Random(1)
    engine, coming, all_of = Engine(decoder, rows=5), some_requests(14), []
    while coming or engine.busy:
        if coming and chance.random() < 0.3:
            all_of.append(coming.pop())
            engine.add(all_of[-1])
        engine.step()
    assert {len(request.prompt) + len(request.new) > CONTEXT for request in all_of} == {True, False}
    for request in all_of:
        assert request.new == alone(decoder, request)
        assert request.finish_reason == "length"


def test_texts_that_must_wait_for_memory_are_written_as_if_they_had_it() -> None:
    decoder = model()
    engine, requests = Engine(decoder, rows=8), some_requests(10, seed=3)
    assert engine.blocks.count < sum(-(-min(CONTEXT, len(each.prompt) + each.room) // BLOCK) for each in requests)
    preempted = 0
    engine.add(*requests)
    while engine.busy:
        begun = [request for request in engine.running if request.new]
        engine.step()
        preempted += sum(request in engine.waiting for request in begun)
    assert preempted > 0
    assert [request.new for request in requests] == [alone(decoder, request) for request in requests]


def test_a_cancelled_text_frees_what_it_held_and_leaves_the_others_alone() -> None:
    decoder = model()
    engine, (kept, cancelled, waiting) = Engine(decoder, rows=2), some_requests(3, seed=5)
    engine.add(kept, cancelled, waiting)
    for _ in range(3):
        engine.step()
    engine.cancel(cancelled)
    assert cancelled.finish_reason == "cancelled"
    engine.finish([])
    while engine.busy:
        engine.step()
    assert (kept.new, waiting.new) == (alone(decoder, kept), alone(decoder, waiting))
    assert engine.pool.available == engine.blocks.count


def test_a_stop_id_is_kept_where_that_is_asked_for() -> None:
    decoder = model()
    prompt, config = random_ids(1, 5)[0].tolist(), SamplingConfig(max_tokens=30, temperature=1.0, seed=2)
    free = list(generate_ids(decoder, prompt, config))
    ends, keeps = (
        Request(prompt, config, frozenset({free[9]})),
        Request(prompt, config, frozenset({free[9]}), keep_stop=True),
    )
    Engine(decoder).finish([ends, keeps])
    at = free.index(free[9])
    assert (ends.new, keeps.new) == (free[:at], free[: at + 1])
    assert ends.finish_reason == keeps.finish_reason == "stop"


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_a_pool_never_gives_a_block_to_two_and_never_loses_one(actions: list[tuple[int, int, int]]) -> None:
    pool, held = Pool(5), []
    texts = [random_ids(1, 2 * BLOCK, seed=seed % 2)[0].tolist() for seed in range(6)]
    for what, which, length in actions:
        content = list(contents(texts[which][: length + 1]))[-1]
        if what == 0 and (block := pool.take()) is not None:
            assert block not in held
            held.append(block)
            pool.know(block, content)
        elif what == 1 and (block := pool.find(content)) is not None:
            held.append(block)
        elif what == 2 and held:
            pool.drop(held.pop(which % len(held)))
        elif what == 3:
            found = pool.alike(content)
            assert found is None or 0 <= found[1] <= len(content.tokens)
        assert pool.available == 5 - len(set(held))


def test_a_block_is_known_by_all_tokens_up_to_its_end() -> None:
    first, second = list(range(BLOCK)), list(range(BLOCK, 2 * BLOCK))
    whole, other = list(contents([*first, *second, 1])), list(contents([*second, *second]))
    assert [len(each.tokens) for each in whole] == [BLOCK, BLOCK, 1]
    assert whole[1].tokens == other[1].tokens
    assert whole[1].name != other[1].name
    assert dataclasses.replace(whole[1]) == whole[1]
    assert Content(b"", tuple(first)).name == whole[0].name
