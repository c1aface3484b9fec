"""What a request may ask for beside its sampling settings, in a batch of requests that ask for other things."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.grammar import Grammars
from scratchlm.generation.requests import Extras, Request
from scratchlm.tokens.fast import FastBPE
from toys import random_decoder, random_ids, toy_config

PROMPT = random_ids(1, 5)[0].tolist()
HOT = SamplingConfig(max_tokens=120, temperature=1.5, seed=1)


@pytest.fixture(scope="module")
def tokenizer() -> FastBPE:
    text = '{"name": "Ann", "age": 12, "tags": ["naïve", "守灯塔"]} 2024-11-29 true false null ' * 20
    return FastBPE.train([text], 290)


@pytest.fixture(scope="module")
def engine(tokenizer: FastBPE) -> Engine:
    return Engine(random_decoder(toy_config("default", vocabulary_size=tokenizer.vocabulary_size, context=160)))


@pytest.fixture(scope="module")
def grammars(tokenizer: FastBPE) -> Grammars:
    return Grammars(tokenizer, tokenizer.vocabulary_size, frozenset({tokenizer.end_of_text}))


def test_log_probabilities_are_those_of_the_model_whatever_the_settings(engine: Engine) -> None:
    config = SamplingConfig(max_tokens=12, temperature=0.7, top_k=5, repetition_penalty=1.3, seed=2)
    asks, none = (
        Request(PROMPT, config, extras=Extras(logprobs=4, logit_bias={3: 2.0})),
        Request(PROMPT, config, extras=Extras(logit_bias={3: 2.0})),
    )
    engine.finish([asks, none, Request(PROMPT, config)])
    assert asks.new == none.new
    assert none.logprobs == []
    with torch.no_grad():
        expected = engine.decoder(torch.tensor([asks.ids]))[0, len(PROMPT) - 1 : -1].log_softmax(-1)
    assert [each.logprob for each in asks.logprobs] == pytest.approx(expected[range(12), asks.new].tolist(), abs=1e-4)
    for each, row in zip(asks.logprobs, expected, strict=True):
        assert [token for token, _ in each.top] == row.topk(4).indices.tolist()
        assert [value for _, value in each.top] == pytest.approx(row.topk(4).values.tolist(), abs=1e-4)


def test_a_bias_rules_tokens_out_and_in_for_its_own_request_alone(engine: Engine) -> None:
    free, banned, forced = (Request(PROMPT, HOT, extras=Extras(logit_bias=bias)) for bias in ({}, {7: -1e4}, {7: 1e4}))
    engine.finish([free, banned, forced])
    assert forced.new == [7] * HOT.max_tokens
    assert 7 not in banned.new
    again = Request(PROMPT, HOT)
    engine.finish([again])
    assert again.new == free.new


@pytest.mark.parametrize(
    "pattern", ["[0-9]{4}-[0-9]{2}-[0-9]{2}", "(yes|no)", "[a-z]+@[a-z]+\\.(org|com)", "(守|灯)+塔"]
)
def test_an_output_matches_its_regular_expression(
    pattern: str, engine: Engine, grammars: Grammars, tokenizer: FastBPE
) -> None:
    stops = frozenset({tokenizer.end_of_text})
    for seed in range(3):
        config = SamplingConfig(max_tokens=60, temperature=1.5, seed=seed)
        request = Request(PROMPT, config, stops, extras=Extras(grammar=grammars.regex(pattern)))
        engine.finish([request, Request(PROMPT, config)])
        text = tokenizer.decode(request.new)
        if request.finish_reason == "stop":
            assert re.fullmatch(pattern, text)
        else:
            assert request.finish_reason == "length"


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["old", "new"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def test_an_output_is_valid_under_its_schema(engine: Engine, grammars: Grammars, tokenizer: FastBPE) -> None:
    import jsonschema

    ended = 0
    for seed in range(10):
        config = SamplingConfig(max_tokens=140, temperature=1.0, seed=seed)
        extras = Extras(grammar=grammars.json_schema(SCHEMA))
        request = Request(PROMPT, config, frozenset({tokenizer.end_of_text}), extras=extras)
        engine.finish([request])
        if request.finish_reason == "stop":
            jsonschema.validate(json.loads(tokenizer.decode(request.new)), SCHEMA)
            ended += 1
    assert ended >= 5


@pytest.mark.parametrize("pattern", ["[0-9", "(?=a)b", "a" * 200_000, "(a{1000}){1000}", "(.*a){1000}b{999}"])
def test_an_expression_that_cannot_be_used_is_an_error_and_not_a_hang(
    pattern: str, engine: Engine, grammars: Grammars
) -> None:
    with pytest.raises(UserError, match=r"^regular expression: .*(correct|simpl|at most)"):  # noqa: PT012
        request = Request(PROMPT, HOT, extras=Extras(grammar=grammars.regex(pattern)))
        engine.finish([request])
        if request.finish_reason == "length":  # one that can be held is held
            raise UserError("regular expression: fine; correct")


@pytest.mark.parametrize("schema", [{"type": "nothing"}, {"$ref": "#/$defs/none"}, {"type": "string", "pattern": "["}])
def test_a_schema_that_cannot_be_used_is_an_error(schema: dict[str, object], grammars: Grammars) -> None:
    with pytest.raises(UserError, match=r"^JSON schema: "):
        grammars.json_schema(schema)


def test_a_schema_of_itself_is_held_to(engine: Engine, grammars: Grammars, tokenizer: FastBPE) -> None:
    tree = {"type": "object", "properties": {"sub": {"$ref": "#"}}, "additionalProperties": False}
    request = Request(
        PROMPT, HOT, frozenset({tokenizer.end_of_text}), extras=Extras(grammar=grammars.json_schema(tree))
    )
    engine.finish([request])
    text = tokenizer.decode(request.new)
    if request.finish_reason == "stop":
        assert json.loads(text) is not None
    else:
        assert text.startswith('{"sub": {"sub": {')


def test_a_tokenizer_without_an_end_takes_no_grammar(tokenizer: FastBPE) -> None:
    endless = FastBPE(dataclasses.replace(tokenizer.vocabulary, specials={}))
    with pytest.raises(UserError, match="no output can end"):
        Grammars(endless, endless.vocabulary_size).regex("a+")
