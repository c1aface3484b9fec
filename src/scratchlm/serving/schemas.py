"""Requests of OpenAI's API, as far as they are answered here.

Fields that change nothing in the answer, such as `user`, are passed over. Those that would change it and are not known
here are refused rather than passed over: they are declared with the only value that is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_STOPS, MOST_TEXTS = 64, 256
Name = Annotated[str, Field(min_length=1, max_length=256)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Ids = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 31)]], Field(min_length=1, max_length=1 << 17, fail_fast=True)]
"""The tokens of one text. The first that is none ends the check: a list of all would keep other clients waiting."""
Number = Annotated[float, Field(ge=-100, le=100)]


def _one_or_more(alone: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return what turns a value into a list of one, where it is not a list of values already."""
    return lambda value: [value] if alone(value) else value


def _is_one_text(value: Any) -> bool:
    """Return whether a value is one text, or the ids of one."""
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(each, int) for each in value)
    )


Stops = Annotated[
    Annotated[list[StopText], Field(max_length=MOST_STOPS)],
    BeforeValidator(
        _one_or_more(lambda value: isinstance(value, str)), json_schema_input_type=StopText | list[StopText]
    ),
]
"""One text or several, as a list."""
Texts = Annotated[
    Annotated[list[str | Ids], Field(min_length=1, max_length=2048)],
    BeforeValidator(_one_or_more(_is_one_text), json_schema_input_type=str | Ids | list[str] | list[Ids]),
]
"""One text or several, each as it is or as ids, as a list."""


class Asked(BaseModel):
    """A part of a request: types are not converted, numbers are finite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class JsonSchema(Asked):
    """A named JSON schema."""

    name: Name = "answer"
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Asked):
    """What an answer must be: any text, a JSON object, or JSON under a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Asked):
    """What a stream has beside the answer."""

    include_usage: bool | None = None


class Sampled(Asked):
    """What completions and chat share. A setting that is not given is as the model was saved with."""

    model: Name
    max_tokens: Annotated[int, Field(ge=-1, le=1_000_000_000)] | None = None
    """-1 is as many as the context holds, as llama.cpp has it."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None
    """0 and -1 keep all tokens."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stop: Stops | None = None
    logit_bias: Annotated[dict[str, Number], Field(max_length=1024)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    guided_regex: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None
    """A regular expression that the whole answer matches, as vLLM names it."""
    guided_json: None = None
    guided_choice: None = None
    guided_grammar: None = None
    grammar: None = None
    min_tokens: Literal[0] | None = None
    ignore_eos: Literal[False] | None = None
    stop_token_ids: Annotated[list[Any], Field(max_length=0)] | None = None


class CompletionRequest(Sampled):
    """Continue texts: `/v1/completions`."""

    prompt: Texts
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None


class TextPart(Asked):
    """A part of a message. Only text is understood."""

    type: Literal["text"]
    text: str


class CalledFunction(Asked):
    """A function that the model called."""

    name: Name
    arguments: str
    """JSON."""


class ToolCall(Asked):
    """A call that the model made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Asked):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class OfferedFunction(Asked):
    """A function that the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Asked):
    """A tool that the model may call."""

    type: Literal["function"]
    function: OfferedFunction


class ChatRequest(Sampled):
    """Answer a conversation: `/v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None


class EmbeddingRequest(Asked):
    """Turn texts into vectors: `/v1/embeddings`."""

    model: Name
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Literal[None] = None


class ClassifyRequest(Asked):
    """Put texts into classes: `/v1/classify`."""

    model: Name
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
