"""Plain and cached generation are one and the same, whatever was cached before."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable

import pytest

from scratchlm.generation import engine as engine_module
from scratchlm.generation.batch import continue_batch, greedy_batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.generation.generate import generate_ids, window_start
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder
from toys import CONTEXT, TOYS, VOCABULARY, random_decoder, random_ids, toy_config

GREEDY = SamplingConfig(max_tokens=70, temperature=0.0, repetition_penalty=1.2)  # penalised, lest it loops
SAMPLED = SamplingConfig(
    max_tokens=70, temperature=0.9, top_k=20, top_p=0.95, min_p=0.02, repetition_penalty=1.1, seed=4
)


def prompt_of(length: int, seed: int = 1) -> list[int]:
    return random_ids(1, length, seed=seed)[0].tolist()


@pytest.mark.parametrize("config", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("length", [1, 10, CONTEXT - 1, CONTEXT])
@pytest.mark.parametrize("name", TOYS)
def test_cached_equals_plain_token_for_token_far_past_the_context(name: str, length: int, config) -> None:
    decoder = random_decoder(toy_config(name))
    prompt = prompt_of(length)
    plain = list(generate_ids(decoder, prompt, config))
    assert len(plain) == 70
    assert len(set(plain)) > 3
    assert list(stream_ids(Engine(decoder), prompt, config)) == plain


@pytest.mark.slow
def test_a_reused_engine_equals_a_new_one_whatever_the_prompts_share() -> None:
    decoder = random_decoder(toy_config("default"))
    engine, chance, long, written = Engine(decoder), random.Random(0), prompt_of(90), prompt_of(3)
    for turn in range(40):
        kept = chance.randrange(0, 60)
        prompt = long[:kept] + prompt_of(chance.randrange(1, 20), seed=turn)
        if turn % 5 == 0:
            prompt = written  # all that was written before, as in a chat
        config = SamplingConfig(max_tokens=chance.randrange(1, 30), temperature=chance.choice([0.0, 1.0]), seed=turn)
        expected = list(generate_ids(decoder, prompt, config))
        taken = chance.choice([None, 1, 2])  # a reader may leave early
        assert list(itertools.islice(stream_ids(engine, prompt, config), taken)) == expected[:taken]
        written = [*prompt, *expected[:taken]]


def read_by(decoder: Decoder, run: Callable[[], object]) -> list[tuple[int, int]]:
    """Return the shape of the ids of each forward pass while `run` is called."""
    read = []
    handle = decoder.embedding.register_forward_pre_hook(lambda module, given: read.append(tuple(given[0].shape)))
    with handle:
        run()
    return read


@pytest.mark.parametrize("length", [15, BLOCK, 3 * BLOCK + 7])
def test_a_shared_beginning_is_not_computed_again(length: int) -> None:
    decoder = random_decoder(toy_config("default", context=200))
    engine, prompt, one = Engine(decoder), prompt_of(length), SamplingConfig(max_tokens=1)
    assert read_by(decoder, lambda: list(stream_ids(engine, prompt, one))) == [(1, length)]
    assert read_by(decoder, lambda: list(stream_ids(engine, [*prompt, 7, 8], one))) == [(1, 2)]
    assert read_by(decoder, lambda: list(stream_ids(engine, [*prompt[:-3], 7, 8], one))) == [(1, 2)]
    assert read_by(decoder, lambda: list(stream_ids(engine, prompt, one))) == [(1, 1)]


def test_a_long_prompt_is_read_in_chunks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, prompt = random_decoder(toy_config("default")), prompt_of(20)
    expected = list(generate_ids(decoder, prompt, GREEDY))
    monkeypatch.setattr(engine_module, "PREFILL_CHUNK", 3)
    written: list[int] = []
    engine = Engine(decoder)
    read = read_by(decoder, lambda: written.extend(stream_ids(engine, prompt, GREEDY)))
    assert read[:7] == [(1, 3)] * 6 + [(1, 2)]
    assert written == expected


def test_the_window_moves_by_half_a_context_and_always_holds_the_newest_half() -> None:
    for context in (1, 2, 7, 24):
        for length in range(1, 100):
            start = window_start(length, context)
            assert 1 <= length - start <= context
            assert length - start >= min(length, context // 2)
            assert start % max(1, context // 2) == 0
            assert start <= window_start(length + 1, context)


@pytest.mark.parametrize("way", ["plain", "cached"])
def test_a_stop_id_ends_the_text_and_is_not_yielded(way: str) -> None:
    decoder, prompt = random_decoder(toy_config("default")), prompt_of(5)

    def write(stop_ids: frozenset[int]) -> list[int]:
        if way == "plain":
            return list(generate_ids(decoder, prompt, SAMPLED, stop_ids))
        return list(stream_ids(Engine(decoder), prompt, SAMPLED, stop_ids))

    free = write(frozenset())
    stop = free[20]
    assert write(frozenset({stop})) == free[: free.index(stop)]


def test_seeds_decide_the_draw() -> None:
    decoder, prompt = random_decoder(toy_config("default")), prompt_of(5)
    texts = [
        list(generate_ids(decoder, prompt, SamplingConfig(max_tokens=30, temperature=1.0, seed=s))) for s in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("name", TOYS)
def test_a_greedy_batch_equals_each_prompt_alone(name: str) -> None:
    decoder = random_decoder(toy_config(name, tied=False))  # a tied toy repeats itself
    prompts = [prompt_of(length, seed) for seed, length in enumerate([3, 7, 3, 1, 7, 7, 12])]
    config = SamplingConfig(max_tokens=12, temperature=0.0)
    alone = [list(generate_ids(decoder, prompt, config)) for prompt in prompts]
    assert greedy_batch(decoder, prompts, 12, frozenset()) == alone
    stop_ids = frozenset({alone[0][2], alone[3][5], alone[5][8]})
    stopped = [list(generate_ids(decoder, prompt, config, stop_ids)) for prompt in prompts]
    assert len({len(ids) for ids in stopped}) > 1
    assert greedy_batch(decoder, prompts, 12, stop_ids) == stopped


@pytest.mark.parametrize("name", TOYS)
def test_rows_of_a_batch_draw_as_if_they_were_alone(name: str) -> None:
    decoder = random_decoder(toy_config(name, tied=False))
    prompts = [prompt_of(length, seed) for seed, length in enumerate([3, 9, 1, 5, 12])]
    config = SamplingConfig(max_tokens=12, temperature=0.9, top_k=20, seed=4)
    alone = [
        list(generate_ids(decoder, prompt, dataclasses.replace(config, seed=4 + index)))
        for index, prompt in enumerate(prompts)
    ]
    assert continue_batch(decoder, prompts, config) == alone
    assert continue_batch(decoder, prompts, config, rows=2) == alone


def test_a_batch_with_a_window_and_scores_past_the_first_room() -> None:
    base = toy_config("default", tied=False)
    config = dataclasses.replace(base, attention=dataclasses.replace(base.attention, window=5), context=700)
    decoder = random_decoder(config)
    prompts = [prompt_of(length, length) for length in (640, 2, 300)]
    greedy = SamplingConfig(max_tokens=8, temperature=0.0)
    alone = [list(generate_ids(decoder, prompt, greedy)) for prompt in prompts]
    assert greedy_batch(decoder, prompts, 8, frozenset()) == alone


def test_a_greedy_batch_stays_within_the_context() -> None:
    decoder = random_decoder(toy_config("default"))
    answers = greedy_batch(decoder, [prompt_of(CONTEXT - 2), prompt_of(CONTEXT), prompt_of(2)], 100, frozenset())
    assert [len(answer) for answer in answers] == [2, 0, CONTEXT - 2]
    assert all(0 <= token < VOCABULARY for answer in answers for token in answer)
