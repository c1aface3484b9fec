"""An engine that writes by compiled code writes what plain generation writes, whatever happens to its decoder."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from scratchlm.compiled.decoder import CompiledDecoder
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.generation.generate import generate_ids
from scratchlm.generation.requests import Request
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import add_adapter, use_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantized import pack, quantizable, replace
from toys import random_decoder, random_ids, toy_config

pytestmark = pytest.mark.xdist_group("compiled")
GREEDY = SamplingConfig(max_tokens=12, temperature=0.0, repetition_penalty=1.3)
PROMPT = random_ids(1, 9)[0].tolist()


def toy(name: str = "default", seed: int = 0) -> Decoder:
    return random_decoder(toy_config(name, context=3 * BLOCK, tied=False), seed)


def written(engine: Engine) -> list[int]:
    return list(stream_ids(engine, PROMPT, GREEDY))


def plainly(decoder: Decoder) -> list[int]:
    return list(generate_ids(decoder, PROMPT, GREEDY))


@pytest.mark.parametrize("name", ["default", "speedrun", "gpt2"])
def test_texts_of_one_compiled_engine_are_those_of_plain_generation(name: str) -> None:
    decoder, chance = toy(name), random.Random(0)
    engine, requests = Engine(decoder, rows=5, compiled=True), []
    for number in range(10):
        prompt = random_ids(1, chance.randrange(1, 90), seed=number)[0].tolist()
        config = SamplingConfig(
            max_tokens=chance.randrange(1, 90), temperature=chance.choice([0.0, 0.8]), top_k=20, seed=number
        )
        requests.append(Request(prompt, config))
    engine.finish(requests)
    for request in requests:
        assert request.new == list(generate_ids(decoder, request.prompt, request.config))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["int8", "int4"])
def test_texts_of_a_quantized_engine_are_those_that_each_is_alone(to: str) -> None:
    decoder, chance, shared = toy(), random.Random(0), random_ids(1, 100, seed=99)[0].tolist()
    for path, part in quantizable(decoder).items():
        replace(decoder, path, pack(path, part, to))
    requests = []
    for number in range(12):  # some begin alike, most prompts are longer than what is read beside other texts
        begun = shared[: chance.choice([0, 40, 90])]
        prompt = begun + random_ids(1, chance.randrange(1, 90), seed=number)[0].tolist()
        config = SamplingConfig(max_tokens=chance.randrange(1, 60), temperature=chance.choice([0.0, 0.8]), seed=number)
        requests.append((prompt, config))

    def all_of(engine: Engine, chosen: list[tuple[list[int], SamplingConfig]]) -> list[list[int]]:
        asked = [Request(prompt, config) for prompt, config in chosen]
        engine.finish(asked)
        return [request.new for request in asked]

    together = all_of(Engine(decoder, rows=5, blocks=12, compiled=True), requests)
    assert together == [all_of(Engine(decoder, compiled=True), [each])[0] for each in requests]
    plain = all_of(Engine(decoder, rows=5), requests)
    assert [len(each) for each in plain] == [len(each) for each in together]
    assert sum(one[:3] == other[:3] for one, other in zip(plain, together, strict=True)) > 6


def test_weights_that_change_between_two_texts_are_the_ones_that_write() -> None:
    decoder, other = toy(), toy(seed=1)
    engine, state = Engine(decoder, compiled=True), other.state_dict()
    first = written(engine)
    decoder.load_state_dict(state, assign=True)
    second = written(engine)
    assert second == plainly(decoder) == plainly(other) != first
    with torch.no_grad():
        decoder.final_norm.weight.mul_(-1.0)
    assert written(engine) == plainly(decoder) != second


def test_an_adapter_that_is_chosen_between_two_texts_writes() -> None:
    decoder = toy()
    engine = Engine(decoder, compiled=True)
    before = written(engine)
    add_adapter(decoder, "poet", LoRAConfig(rank=2))
    for path, parameter in decoder.named_parameters():
        if ".lora_b" in path:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(len(path)))
    assert written(engine) == plainly(decoder) != before
    use_adapter(decoder, None)
    assert written(engine) == before


def test_a_hook_acts_on_every_token() -> None:
    decoder = toy()
    engine = Engine(decoder, compiled=True)
    before = written(engine)
    with decoder.blocks[0].register_forward_hook(lambda module, given, answer: answer * 0.5):
        assert written(engine) == plainly(decoder) != before
    assert written(engine) == before


def test_other_number_formats_are_written_plainly() -> None:
    decoder = copy.deepcopy(toy()).to(torch.bfloat16)
    assert written(Engine(decoder, compiled=True)) == plainly(decoder)


def test_an_interrupted_step_leaves_the_engine_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = toy()
    engine, real, calls = Engine(decoder, compiled=True), CompiledDecoder.step, [0]

    def interrupted(*arguments: object) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(CompiledDecoder, "step", interrupted)
    stream, beside = stream_ids(engine, PROMPT, GREEDY), stream_ids(engine, [*PROMPT, 1], GREEDY)
    begun = [next(beside)]
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    assert begun + list(beside) == list(generate_ids(decoder, [*PROMPT, 1], GREEDY))
    assert engine.pool.available == engine.blocks.count
