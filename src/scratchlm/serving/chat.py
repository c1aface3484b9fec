"""`/v1/chat/completions`: conversations answered, with tools as far as the model's template carries them."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from scratchlm.generation.requests import Logprobs
from scratchlm.serving.answers import Answer, Answers, unless_gone
from scratchlm.serving.asked import engine_requests, most_tokens, stop_texts
from scratchlm.serving.errors import ApiError
from scratchlm.serving.grammars import GrammarCompiler
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import ChatRequest, Message
from scratchlm.serving.streams import (
    Events,
    heading,
    leaving,
    raw,
    require_room,
    require_sensible,
    token_text,
    usage,
    wants_usage,
)
from scratchlm.serving.worker import Worker
from scratchlm.tokens.base import Tokenizer

CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
"""A call of a tool as models of the Qwen and Hermes families write it."""


async def answer(
    body: ChatRequest, served: Served, worker: Worker, compiler: GrammarCompiler, request: Request
) -> Response:
    """Answer a request. Raises `ApiError` and `UserError`."""
    require_sensible(body)
    require_room(body, 1, worker)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs = true; set it or leave this out", param="top_logprobs")
    prompt = await asyncio.to_thread(_prompt, body, served)
    template = served.require_template()
    most = most_tokens(body.max_completion_tokens or body.max_tokens, served, served.context)
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    grammar = await compiler.compile(body, served, request)
    requests = await asyncio.to_thread(
        engine_requests, body, served, [prompt], template.stop_ids, most, logprobs, grammar
    )
    answers = Answers(worker, served, requests, stop_texts(body, served))
    if body.stream and not _offered(body):
        return Events(_stream(body, served, prompt, answers), answers.cancel)
    written = await unless_gone(answers, leaving(request))
    counted = usage([prompt], sum(len(each.tokens) for each in written))
    choices = await asyncio.to_thread(_choices, body, served, written)  # log-probabilities may be many megabytes
    if body.stream:
        return Events(_whole_as_stream(body, served, choices, counted), answers.cancel)
    whole_body = {**heading("chatcmpl", "chat.completion", served), "choices": choices, "usage": counted}
    return await asyncio.to_thread(JSONResponse, whole_body)


def _choices(body: ChatRequest, served: Served, written: Sequence[Answer]) -> list[dict[str, Any]]:
    choices = []
    for index, each in enumerate(written):
        text, calls = _calls(each.text) if _offered(body) else (each.text, [])
        message: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text, "refusal": None}
        choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": each.finish_reason}
        if calls:
            message["tool_calls"], choice["finish_reason"] = calls, "tool_calls"
        choices.append(choice | {"logprobs": _logprobs(body, served.tokenizer, each.tokens, each.logprobs)})
    return choices


async def _stream(
    body: ChatRequest, served: Served, prompt: Sequence[int], answers: Answers
) -> AsyncIterator[dict[str, Any]]:
    head, written, begun = heading("chatcmpl", "chat.completion.chunk", served), 0, set()
    async for piece in answers.pieces():
        written += len(piece.tokens)
        if piece.index not in begun:
            begun.add(piece.index)
            first = {"index": piece.index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            yield {**head, "choices": [first]}
        if piece.text or piece.tokens:
            choice: dict[str, Any] = {"index": piece.index, "delta": {"content": piece.text}, "finish_reason": None}
            choice["logprobs"] = _logprobs(body, served.tokenizer, piece.tokens, piece.logprobs)
            yield {**head, "choices": [choice]}
        if piece.finish_reason is not None:  # apart: some clients read no text beside it
            yield {**head, "choices": [{"index": piece.index, "delta": {}, "finish_reason": piece.finish_reason}]}
    if wants_usage(body):
        yield {**head, "choices": [], "usage": usage([prompt], written)}


async def _whole_as_stream(
    body: ChatRequest, served: Served, choices: Sequence[dict[str, Any]], counted: dict[str, int]
) -> AsyncIterator[dict[str, Any]]:
    """Yield whole answers as parts of a stream: where tools are offered, only the end shows whether one is called."""
    head = heading("chatcmpl", "chat.completion.chunk", served)
    for choice in choices:
        message = choice["message"]
        calls = [{"index": at, **call} for at, call in enumerate(message.get("tool_calls", []))]
        delta = {"role": "assistant", "content": message["content"], **({"tool_calls": calls} if calls else {})}
        part = {"index": choice["index"], "delta": delta, "finish_reason": None, "logprobs": choice["logprobs"]}
        yield {**head, "choices": [part]}
        last = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield {**head, "choices": [last]}
    if wants_usage(body):
        yield {**head, "choices": [], "usage": counted}


def _offered(body: ChatRequest) -> bool:
    """Return whether the model may call tools."""
    return bool(body.tools) and body.tool_choice != "none"


def _prompt(body: ChatRequest, served: Served) -> list[int]:
    """Lay a conversation out as the model learned it."""
    template = served.require_template()
    tools = [each.model_dump(exclude_none=True) for each in body.tools or []] if _offered(body) else []
    if (tools or any(each.role == "tool" or each.tool_calls for each in body.messages)) and not template.knows_tools:
        raise ApiError(400, f"tools: the chat template of {served.name!r} has no place for them", param="tools")
    messages = [_message(each, number) for number, each in enumerate(body.messages)]
    rendered = template.render(messages, reply=True, tools=tools)
    return served.require_room(rendered.ids, "messages")


def _message(message: Message, number: int) -> dict[str, Any]:
    """Return a message as templates take it."""
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content or [])
    if content is None and not message.tool_calls:
        raise ApiError(400, f"messages.{number}: has no content; give some text", param="messages")
    entry: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role, "content": text}
    if message.tool_call_id is not None:
        entry["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {**called.model_dump(), "arguments": _arguments(called.arguments)},
            }
            for call, called in ((each, each.function) for each in message.tool_calls)
        ]
    return entry


def _arguments(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            400, f"messages: arguments of a tool call are no JSON: {arguments[:60]!r}", param="messages"
        ) from error


def _calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return an answer without the calls of tools in it, and these; what is no call stays text."""
    calls: list[dict[str, Any]] = []

    def take(match: re.Match[str]) -> str:
        try:
            call = json.loads(match[1])
            arguments = call.get("arguments", {})
            coded = arguments if isinstance(arguments, str) else json.dumps(arguments)
            function = {"name": str(call["name"]), "arguments": coded}
        except (ValueError, KeyError, RecursionError):
            return match[0]
        calls.append({"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function})
        return ""

    rest = CALL.sub(take, text)
    return (rest.strip() if calls else text), calls


def _logprobs(
    body: ChatRequest, tokenizer: Tokenizer, tokens: Sequence[int], logprobs: Sequence[Logprobs]
) -> dict[str, Any] | None:
    """Return the log-probabilities of tokens, where they are asked for."""
    if not body.logprobs:
        return None

    def entry(token: int, value: float) -> dict[str, Any]:
        return {"token": token_text(tokenizer, token), "logprob": value, "bytes": list(raw(tokenizer, token))}

    content = [
        {**entry(token, each.logprob), "top_logprobs": [entry(*likely) for likely in each.top]}
        for token, each in zip(tokens, logprobs, strict=True)
    ]
    return {"content": content, "refusal": None}
