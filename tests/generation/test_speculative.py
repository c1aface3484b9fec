"""What is proposed changes how fast a text comes, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from marks import slow
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.generate import generate_ids
from scratchlm.generation.requests import Extras, Request
from scratchlm.generation.speculative import (
    COMPARED,
    FEWEST,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    DraftModel,
    PromptLookup,
    WhileFaster,
)
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder
from toys import random_decoder, random_ids, toy_config

LENGTH = 3 * BLOCK


def model(name: str = "default", seed: int = 0) -> Decoder:
    return random_decoder(toy_config(name, context=2 * BLOCK, tied=False), seed)


class Foreseen:
    """Proposes what it knows will come, with a wrong token now and then."""

    def __init__(self, coming: list[int], wrong: int) -> None:
        self.coming, self.wrong = coming, wrong

    def propose(self, ids, most: int) -> list[int]:
        found = self.coming[len(ids) : len(ids) + min(4, most)]
        return [(id + 1) % 61 if (len(ids) + at) % self.wrong == 0 else id for at, id in enumerate(found)]


@pytest.mark.parametrize(
    "name",
    [slow("tiny"), "default", slow("speedrun"), slow("gpt2")],
)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_proposals_right_and_wrong_leave_the_output_as_it_is(name: str, compiled: bool, temperature: float) -> None:
    decoder, prompt = model(name), random_ids(1, 7)[0].tolist()
    config = SamplingConfig(max_tokens=LENGTH, temperature=temperature, repetition_penalty=1.1, seed=3)
    plain = list(generate_ids(decoder, prompt, config))
    engine = Engine(decoder, blocks=16, compiled=compiled)
    requests = [
        Request(prompt, config, extras=Extras(drafter=Foreseen([*prompt, *plain], wrong))) for wrong in (3, 5, 1000)
    ]
    engine.finish([*requests, Request(prompt, config)])
    for request in requests:
        assert request.new == plain
        assert 0 < request.agreed <= request.proposed
    assert requests[2].agreed == requests[2].proposed
    assert requests[0].agreed < requests[0].proposed


@pytest.mark.parametrize("name", ["default", slow("speedrun")])
def test_texts_that_wait_for_memory_and_prefixes_left_behind_are_right_too(name: str) -> None:
    decoder = model(name)
    engine, config = Engine(decoder, rows=6), SamplingConfig(max_tokens=40, temperature=0.9, seed=3)
    shared = random_ids(1, 20, seed=7)[0].tolist()
    for turn in range(3):
        requests, right = [], []
        for number in range(6):
            prompt = [*shared, number, turn]
            right.append(list(generate_ids(decoder, prompt, config)))
            requests.append(Request(prompt, config, extras=Extras(drafter=Foreseen([*prompt, *right[-1]], 3 + number))))
        engine.finish(requests)
        assert [request.new for request in requests] == right
        shared += right[0][:5]  # the next texts begin with what was written here, drafts refused among it


@pytest.mark.parametrize("at", [3, 20])
def test_a_stop_id_within_a_draft_ends_the_text_there(at: int) -> None:
    decoder, prompt = model(), random_ids(1, 7)[0].tolist()
    config = SamplingConfig(max_tokens=40, temperature=1.0, seed=5)
    plain = list(generate_ids(decoder, prompt, config))
    stops = frozenset({plain[at]})
    request = Request(prompt, config, stops, extras=Extras(drafter=Foreseen([*prompt, *plain], 1000)))
    Engine(decoder).finish([request])
    assert request.new == plain[: plain.index(plain[at])]
    assert request.finish_reason == "stop"


def test_prompt_lookup_finds_what_stood_before() -> None:
    lookup = PromptLookup(guesses=3)
    assert lookup.propose([1, 2, 3, 4, 5, 6, 1, 2], 10) == [3, 4, 5]
    assert lookup.propose([1, 2, 3, 4, 5, 6, 1, 2], 2) == [3, 4]
    assert lookup.propose([1, 2, 3, 4, 5, 6, 1, 2, 9, 9], 10) == []
    assert lookup.propose([1, 2, 7, 8, 0, 0, 0, 1, 2], 10) == [7, 8, 0]  # another text
    assert lookup.propose([5, 1, 2, 8, 6, 1, 2, 9, 5, 1, 2], 10) == [8, 6, 1]  # the longest end counts
    assert lookup.propose([4], 10) == []


def test_prompt_lookup_and_a_draft_model_agree_with_plain_generation() -> None:
    decoder, draft, prompt = model(), model(), random_ids(1, 7)[0].tolist()
    config = SamplingConfig(max_tokens=LENGTH, temperature=0.0)
    plain = list(generate_ids(decoder, prompt, config))
    for drafter in (PromptLookup(), DraftModel(draft), DraftModel(model(seed=1))):
        request = Request(prompt, config, extras=Extras(drafter=drafter))
        Engine(decoder).finish([request])
        assert request.new == plain
    same = Request(prompt, SamplingConfig(max_tokens=BLOCK, temperature=0.0), extras=Extras(drafter=DraftModel(draft)))
    Engine(decoder).finish([same])
    assert same.agreed == same.proposed > 0


class Always:
    """Proposes three tokens each time."""

    def propose(self, ids, most: int) -> list[int]:
        return [1, 2, 3][:most]


def guessed_steps(cost: float, grown: int, steps: int) -> tuple[list[bool], WhileFaster]:
    """Return which steps had guesses, where such a step costs and writes this much, and others 1 second and token."""
    now = 0.0
    drafter = WhileFaster(Always(), clock=lambda: now)
    ids, guessed = [0], []
    for _ in range(steps):
        guessed.append(bool(drafter.propose(ids, 3)))
        now += cost if guessed[-1] else 1.0
        ids += [0] * (grown if guessed[-1] else 1)
    return guessed, drafter


def test_guesses_go_on_while_they_write_more_tokens_a_second() -> None:
    guessed, drafter = guessed_steps(cost=2.0, grown=3, steps=200)
    assert guessed == [False] * (COMPARED + 1) + [True] * (199 - COMPARED)
    assert drafter.pauses == 0


def test_guesses_that_cost_more_than_they_save_pause_longer_each_time() -> None:
    guessed, drafter = guessed_steps(cost=3.1, grown=3, steps=3000)
    spans = [(kind, sum(1 for _ in steps)) for kind, steps in itertools.groupby(guessed)]
    assert [size for kind, size in spans if kind][:-1] == [COMPARED] * (len(spans) // 2 - 1)
    pauses = [size for kind, size in spans[1:] if not kind]
    assert pauses[:5] == [FIRST_PAUSE * 2**number for number in range(5)]
    assert max(pauses) == LONGEST_PAUSE
    assert drafter.pauses >= len(pauses)
    assert sum(guessed) < len(guessed) // 20


def test_guesses_that_are_much_slower_are_given_up_sooner() -> None:
    guessed, _ = guessed_steps(cost=4.5, grown=3, steps=40)
    assert guessed[: COMPARED + 1 + FEWEST + 10] == [False] * (COMPARED + 1) + [True] * FEWEST + [False] * 10


def test_one_step_that_the_system_held_up_decides_nothing() -> None:
    now, slow_step = 0.0, COMPARED + 3
    drafter = WhileFaster(Always(), clock=lambda: now)
    ids = [0]
    for number in range(60):
        guesses = drafter.propose(ids, 3)
        now += 50.0 if number == slow_step else 1.5 if guesses else 1.0
        ids += [0] * (3 if guesses else 1)
    assert drafter.pauses == 0


def test_the_output_is_that_without_guesses_whatever_the_clock_says() -> None:
    decoder, prompt = model(), random_ids(1, 7)[0].tolist()
    config = SamplingConfig(max_tokens=LENGTH, temperature=0.9, seed=3)
    plain = list(generate_ids(decoder, prompt, config))
    ticks = itertools.count()
    drafter = WhileFaster(Foreseen([*prompt, *plain], 5), clock=lambda: float(next(ticks) ** 2 % 7))
    request = Request(prompt, config, extras=Extras(drafter=drafter))
    Engine(decoder).finish([request])
    assert request.new == plain
    assert request.proposed > 0
