"""The official client of OpenAI against the real server: its answers are those of the package."""

from __future__ import annotations

import base64
import json
import re
import threading
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from openai import OpenAI

from marks import slow
from scratchlm.generation.language_model import LanguageModel, load
from served import Server

MODEL = "talker"
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is the key? 🙂"}]


@pytest.fixture(scope="session")
def here(models: Path) -> LanguageModel:
    """The model that the server has, in this process."""
    return load(models / MODEL, "cpu")


@pytest.fixture(scope="session")
def client(server: Server) -> OpenAI:
    return server.client()


def test_models_are_listed_by_the_names_they_were_given(client: OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["talker", "caller", "other"]
    assert client.models.retrieve("other").id == "other"


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_completion_is_what_the_package_writes(client: OpenAI, here: LanguageModel, temperature: float) -> None:
    asked = {"max_tokens": 40, "temperature": temperature, "seed": 7}
    answer = client.completions.create(model=MODEL, prompt="Once the", **asked)
    assert answer.choices[0].text == here.generate("Once the", **asked)
    assert answer.usage.prompt_tokens == len(here.tokenizer.encode("Once the"))
    assert answer.usage.completion_tokens <= 40


def test_several_prompts_and_several_answers_keep_their_order(client: OpenAI, here: LanguageModel) -> None:
    prompts = ["Once", here.tokenizer.encode("the fox"), "key 🙂"]
    answer = client.completions.create(model=MODEL, prompt=["Once", "the fox", "key 🙂"], n=2, max_tokens=9, seed=3)
    assert [choice.index for choice in answer.choices] == list(range(6))
    expected = [
        here.generate(text, max_tokens=9, seed=3 + 2 * number + copy)
        for number, text in enumerate(["Once", "the fox", "key 🙂"])
        for copy in range(2)
    ]
    assert [choice.text for choice in answer.choices] == expected
    same = client.completions.create(model=MODEL, prompt=prompts[1], max_tokens=9, seed=5)
    assert same.choices[0].text == expected[2]


def test_an_answer_is_what_the_package_replies_whole_or_in_a_stream(client: OpenAI, here: LanguageModel) -> None:
    for seed in range(3):
        asked = {"max_tokens": 50, "temperature": 0.9, "seed": seed}
        expected = here.reply(TALK, **asked)
        whole = client.chat.completions.create(model=MODEL, messages=TALK, **asked)
        assert whole.choices[0].message.content == expected
        options = {"stream": True, "stream_options": {"include_usage": True}}
        parts = list(client.chat.completions.create(model=MODEL, messages=TALK, **asked, **options))
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == expected
        assert parts[0].choices[0].delta.role == "assistant"
        assert parts[-2].choices[0].finish_reason == whole.choices[0].finish_reason
        assert parts[-1].usage == whole.usage


def test_a_seed_is_drawn_where_none_is_given(client: OpenAI) -> None:
    asked = {"model": MODEL, "prompt": "Once", "max_tokens": 30, "temperature": 1.0}
    assert len({client.completions.create(**asked).choices[0].text for _ in range(4)}) > 1


@pytest.mark.parametrize("stream", [slow(False), True])
def test_a_stop_text_across_tokens_ends_the_answer_before_it(client: OpenAI, here: LanguageModel, stream: bool) -> None:
    for seed in range(5):
        asked = {"max_tokens": 40, "temperature": 1.2, "seed": seed}
        free = here.generate("Once", **asked)
        for at in range(4, min(len(free), 30), 9):
            stops = [free[at : at + 3], "never there"]
            expected = free[: min(free.index(text) for text in stops if text in free)]
            got = client.completions.create(model=MODEL, prompt="Once", stop=stops, stream=stream, **asked)
            pieces = list(got) if stream else [got]
            assert "".join(piece.choices[0].text for piece in pieces) == expected
            assert pieces[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("text", ["守灯塔 🙂🙃 naïve", "👩‍👩‍👧 é", "灯" * 9])
def test_characters_of_several_tokens_come_whole(client: OpenAI, here: LanguageModel, text: str) -> None:
    forced = {"extra_body": {"guided_regex": text}, "max_tokens": 200, "seed": 1, "temperature": 1.5}
    parts = list(client.completions.create(model=MODEL, prompt="Once", stream=True, **forced))
    assert "".join(part.choices[0].text for part in parts) == text
    assert not any("\ufffd" in part.choices[0].text for part in parts)
    whole = client.completions.create(model=MODEL, prompt="Once", logprobs=0, **forced).choices[0]
    assert len(whole.logprobs.tokens) == len(here.tokenizer.encode(text)) or len(whole.logprobs.tokens) > len(text)


def test_log_probabilities_are_those_of_the_model(client: OpenAI, here: LanguageModel) -> None:
    asked = {"max_tokens": 12, "temperature": 0.8, "seed": 2}
    answer = client.completions.create(model=MODEL, prompt="Once", logprobs=3, **asked).choices[0]
    assert len(answer.logprobs.tokens) == len(answer.logprobs.token_logprobs) == len(answer.logprobs.text_offset) == 12
    chat = client.chat.completions.create(model=MODEL, messages=TALK, logprobs=True, top_logprobs=2, **asked).choices[0]
    told = b"".join(bytes(each.bytes) for each in chat.logprobs.content)
    assert told.decode("utf-8", errors="replace").rstrip("\ufffd") == chat.message.content.rstrip("\ufffd")
    rendered = here.saved.template.render(TALK, reply=True).ids
    tokens = [
        next(id for id, each in enumerate(here.tokenizer.table) if each == bytes(entry.bytes))
        for entry in chat.logprobs.content
    ]
    with torch.no_grad():
        rows = here.decoder(torch.tensor([[*rendered, *tokens]]))[0, len(rendered) - 1 : -1].log_softmax(-1)
    for entry, row, token in zip(chat.logprobs.content, rows, tokens, strict=True):
        assert entry.logprob == pytest.approx(float(row[token]), abs=1e-3)
        assert [each.logprob for each in entry.top_logprobs] == pytest.approx(row.topk(2).values.tolist(), abs=1e-3)


def test_biases_and_penalties_steer_what_is_written(client: OpenAI, here: LanguageModel) -> None:
    id = here.tokenizer.encode("a")[0]
    asked = {"model": MODEL, "prompt": "Once", "max_tokens": 20, "temperature": 0.0}
    assert client.completions.create(**asked, logit_bias={str(id): 100}).choices[0].text == "a" * 20
    held = client.completions.create(**asked, logit_bias={str(id): 100}, frequency_penalty=2, logprobs=0)
    assert held.choices[0].text == "a" * 20  # 100 - 2 * 20 still leads
    once = client.completions.create(**asked, presence_penalty=2, frequency_penalty=2, logprobs=0).choices[0]
    free = client.completions.create(**asked, logprobs=0).choices[0]
    assert len(set(once.logprobs.tokens)) > len(set(free.logprobs.tokens))


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_an_answer_under_a_schema_is_valid_and_one_under_an_expression_matches(client: OpenAI) -> None:
    for seed in range(5):
        asked = {"model": MODEL, "messages": TALK, "seed": seed, "max_tokens": 120, "temperature": 1.0}
        format = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
        answer = client.chat.completions.create(**asked, response_format=format).choices[0]
        assert answer.finish_reason == "stop"
        jsonschema.validate(json.loads(answer.message.content), SCHEMA)
        any_json = client.chat.completions.create(**asked, response_format={"type": "json_object"}).choices[0]
        assert any_json.message.content.startswith("{")
        if any_json.finish_reason == "stop":
            assert isinstance(json.loads(any_json.message.content), dict)
        matched = client.chat.completions.create(**asked, extra_body={"guided_regex": "(yes|no), [0-9]{2}"}).choices[0]
        assert re.fullmatch("(yes|no), [0-9]{2}", matched.message.content)


def test_embeddings_are_mean_hidden_states_of_length_one(client: OpenAI, here: LanguageModel) -> None:
    texts = ["Once the fox", "found a key 🙂"]
    plain = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    coded = client.embeddings.create(
        model=MODEL, input=here.tokenizer.encode(texts[1])
    )  # base64, the client's own choice
    for text, entry in zip(texts, plain.data, strict=True):
        with torch.no_grad():
            hidden = here.decoder.hidden(torch.tensor([here.tokenizer.encode(text)]))[0].mean(0)
        assert entry.embedding == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-4)
    assert coded.data[0].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    raw = client.post("/embeddings", cast_to=object, body={"model": MODEL, "input": "x", "encoding_format": "base64"})
    assert len(np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4")) == here.decoder.config.width


def test_tools_reach_a_template_that_has_a_place_for_them_and_no_other(client: OpenAI, server: Server) -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    asked = {"messages": TALK[1:], "tools": tools, "max_tokens": 8, "seed": 1}
    without = client.chat.completions.create(
        model="caller", **{**asked, "tools": None, "extra_body": {}} | {"tools": []}
    )
    with_tools = client.chat.completions.create(model="caller", **asked)
    assert with_tools.usage.prompt_tokens > without.usage.prompt_tokens + 20
    streamed = list(client.chat.completions.create(model="caller", stream=True, **asked))
    assert "".join(part.choices[0].delta.content or "" for part in streamed) == with_tools.choices[0].message.content
    refused = server.post("/v1/chat/completions", {"model": MODEL, **asked})
    assert (refused.status_code, "has no place" in refused.text) == (400, True)
    talk = [
        *TALK[1:],
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "in the box", "tool_call_id": "1"},
    ]
    assert client.chat.completions.create(model="caller", messages=talk, max_tokens=4).usage.prompt_tokens > 40


def test_a_call_that_the_model_writes_is_read_back(client: OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    written = '<tool_call>\n{"name": "find", "arguments": {"what": "a key"}}\n</tool_call>'
    forced = {"extra_body": {"guided_regex": re.escape(written).replace("\\ ", " ")}, "max_tokens": 200}
    for stream in (False, True):
        got = client.chat.completions.create(model="caller", messages=TALK[1:], tools=tools, stream=stream, **forced)
        if stream:
            parts = list(got)
            (call,) = next(part.choices[0].delta.tool_calls for part in parts if part.choices[0].delta.tool_calls)
            reason = parts[-1].choices[0].finish_reason
        else:
            (call,), reason = got.choices[0].message.tool_calls, got.choices[0].finish_reason
        assert (call.function.name, json.loads(call.function.arguments)) == ("find", {"what": "a key"})
        assert reason == "tool_calls"


@pytest.mark.slow
def test_many_clients_at_once_get_each_its_own_answer(client: OpenAI, here: LanguageModel) -> None:
    prompts = [f"Once {number} the" for number in range(24)]
    asked = {"max_tokens": 24, "temperature": 0.9}
    expected = [here.generate(prompt, seed=number, **asked) for number, prompt in enumerate(prompts)]
    got = [""] * len(prompts)

    def ask(number: int) -> None:
        parts = client.completions.create(model=MODEL, prompt=prompts[number], seed=number, stream=True, **asked)
        got[number] = "".join(part.choices[0].text for part in parts)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected
