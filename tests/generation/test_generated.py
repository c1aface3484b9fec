"""One text or many, with the probabilities of their tokens, typed keywords, and as a notebook shows them."""

from __future__ import annotations

import inspect
import math
import pickle
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import pytest
import torch
from IPython.core.formatters import HTMLFormatter

from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.config.field_docs import field_docs
from scratchlm.generation.config import SamplingConfig, SamplingSettings
from scratchlm.generation.generated import GeneratedText
from scratchlm.generation.language_model import LanguageModel
from scratchlm.generation.requests import Extras
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

PROMPTS = ["Once", "", "Once upon a time there", "Once"]
TALK = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY))
    return LanguageModel(SavedModel(decoder, tokenizer, ChatTemplate(tokenizer)))


@pytest.mark.parametrize(
    "settings", [slow({"temperature": 0.0}), {"temperature": 1.0, "seed": 5}, {"stop": "e"}], ids=str
)
def test_a_list_is_continued_together_and_each_text_is_as_if_alone(model: LanguageModel, settings: dict) -> None:
    settings = {"max_tokens": 70, **settings}  # more than the context holds beside the prompt
    seed = settings.pop("seed", 0)
    alone = [model.generate(prompt, seed=seed + place, **settings) for place, prompt in enumerate(PROMPTS)]
    together = model.generate(PROMPTS, seed=seed, **settings)
    assert together == alone == model.generate(tuple(PROMPTS), seed=seed, **settings)
    assert [text.finish_reason for text in together] == [text.finish_reason for text in alone]
    assert [text.ids for text in together] == [text.ids for text in alone]
    assert together == model.generate(PROMPTS, seed=seed, cached=False, **settings)
    assert model.generate([]) == []


def test_a_string_is_what_a_user_says_and_the_pieces_join_to_the_reply(model: LanguageModel) -> None:
    settings = {"max_tokens": 12, "temperature": 1.0, "seed": 3}
    reply = model.reply("Hi", **settings)
    assert isinstance(reply, str)
    assert reply == model.reply(TALK, **settings) == "".join(model.stream_reply("Hi", **settings)) != ""
    assert model.replies(["Hi", TALK], **settings) == [reply, model.reply("Hi", **{**settings, "seed": 4})]
    assert model.generate("Hi", **settings) == "".join(model.stream_generate("Hi", **settings))


def test_log_probabilities_are_those_of_the_decoder(model: LanguageModel) -> None:
    text = model.generate("Once", max_tokens=9, temperature=1.3, top_k=4, logprobs=True, top_logprobs=3)
    ids = [*model.prompt_ids("Once"), *text.ids]
    with torch.no_grad():
        expected = model.decoder(torch.tensor([ids]))[0].log_softmax(-1)[-len(text.ids) - 1 : -1]
    assert text.logprobs is not None
    assert len(text.logprobs) == len(text.ids) == 9
    for token, row, id in zip(text.logprobs, expected, text.ids, strict=True):
        assert token.id == id
        assert math.isclose(token.logprob, row[id].item(), abs_tol=1e-4)
        assert [each.id for each in token.top_logprobs] == row.topk(3).indices.tolist()
        assert math.isclose(token.top_logprobs[0].logprob, row.max().item(), abs_tol=1e-4)
    assert model.generate("Once", max_tokens=2).logprobs is None
    assert [len(each.top_logprobs) for each in model.reply("Hi", max_tokens=2, logprobs=True).logprobs or ()] == [5, 5]
    many = model.generate(["Once", "x"], max_tokens=9, temperature=1.3, top_k=4, logprobs=True, top_logprobs=0)
    assert [each.logprob for each in many[0].logprobs or ()] == pytest.approx(
        [each.logprob for each in text.logprobs], abs=1e-4
    )


def test_a_stop_text_ends_the_text_and_its_probabilities(model: LanguageModel) -> None:
    whole = model.generate("Once", max_tokens=30, temperature=1.0)
    assert whole.finish_reason == "length"
    stop = whole[10:12]
    for text in (
        model.generate("Once", max_tokens=30, temperature=1.0, stop=stop, logprobs=True),
        model.generate(["Once"], max_tokens=30, temperature=1.0, stop=[stop], logprobs=True)[0],
    ):
        assert text == whole[: whole.index(stop)]
        assert text.finish_reason == "stop"
        assert text.logprobs is not None
        assert [each.id for each in text.logprobs] == text.ids == whole.ids[: len(text.ids)]
        assert len(text.ids) < 30


def test_a_generated_text_survives_pickling_with_what_it_knows(model: LanguageModel) -> None:
    text = model.generate("Once", max_tokens=3, logprobs=True)
    again = pickle.loads(pickle.dumps(text))
    assert (again, again.ids, again.logprobs, again.finish_reason) == (text, text.ids, text.logprobs, "length")


def test_the_typed_keywords_are_the_fields_of_the_sampling_settings() -> None:
    fields = inspect.signature(SamplingConfig).parameters
    assert list(typing.get_type_hints(SamplingSettings)) == list(fields)
    for name, hint in typing.get_type_hints(SamplingSettings).items():
        kind = typing.get_type_hints(SamplingConfig)[name]
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
        accepted = {kind} if item is None else {typing.get_origin(hint) or hint, *typing.get_args(hint)}
        assert hint == kind or item in {type for each in accepted for type in (each, *typing.get_args(each))}, name


@pytest.mark.parametrize("name", ["generate", "stream_generate", "reply", "stream_reply", "replies", "beams"])
def test_help_shows_each_setting_with_its_default_and_what_it_does(name: str) -> None:
    method = getattr(LanguageModel, name)
    shown = inspect.signature(method).parameters
    for setting, field in inspect.signature(SamplingConfig).parameters.items():
        assert shown[setting].default == field.default
        assert shown[setting].kind is inspect.Parameter.KEYWORD_ONLY
    told = " ".join(method.__doc__.split())
    assert [each for each in field_docs(SamplingConfig).values() if each not in told] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.generate("a", temprature=1), "did you mean 'temperature'"),
        (lambda model: model.generate("a", temperature="hot"), "temperature is 'hot': expected a number"),
        (lambda model: model.generate("a", top_p=3), "--top-p 3: must be at most 1"),
        (lambda model: model.generate("a", logprobs=True, top_logprobs=-1), "top_logprobs is -1: must be 0 or more"),
        (lambda model: model.generate("a", logprobs=True, cached=False), "the plain path has no logprobs"),
        (lambda model: model.generate("a", extras=Extras(logprobs=2), cached=False), "the plain path has no logprobs"),
        (lambda model: model.reply([]), "has no message"),
        (lambda model: model.reply([{"role": "user"}]), "message 0 has no text 'content'"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_answered_by_the_remedy(model: LanguageModel, call, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(model)


def test_a_prompt_or_a_message_of_another_kind_is_answered_by_the_remedy() -> None:
    code = """
        from scratchlm.generation.language_model import LanguageModel
        from scratchlm.tokens.chat import ChatTemplate
        from scratchlm.weights.checkpoint import SavedModel
        from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config
        decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY))
        model = LanguageModel(SavedModel(decoder, byte_tokenizer(), ChatTemplate(byte_tokenizer())))
        calls = [(model.generate, 3), (model.generate, ["a", 3]), (model.generate, None)]
        calls += [(model.reply, each) for each in (["Hi"], 3, {"role": "user", "content": "Hi"})]
        for method, value in calls:
            try:
                print(method(value))
            except ValueError as error:
                print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]  # without the checks of types that tests have
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout
    assert lines[0] == "prompt: is 3; give a text or a list of texts"
    assert [line for line in lines[:3] if "give a text or a list of texts" not in line] == []
    assert [line for line in lines[3:] if "give a text, or a list of messages such as" not in line] == []


def test_a_notebook_shows_texts_and_models_with_their_html_escaped(model: LanguageModel) -> None:
    html_of = HTMLFormatter()
    shown = html_of(GeneratedText("a <script>alert(1)</script>\n  & b"))
    assert "<script>" not in shown
    assert "a &lt;script&gt;alert(1)&lt;/script&gt;\n  &amp; b" in shown
    model.saved.provenance = {"source": "<img src=x>", "licence": None, "sources": [{"name": "a<b", "licence": "x"}]}
    table = html_of(model)
    assert "<img" not in table
    for part in (f"{model.decoder.parameter_count():,}", "context", "vocabulary", "&lt;img src=x&gt;", "a&lt;b"):
        assert part in table
    assert "None" not in table
    assert "color" not in table + shown  # those of the page, light or dark
