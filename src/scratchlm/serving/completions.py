"""`/v1/completions`: texts continued."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from scratchlm.generation.requests import Logprobs
from scratchlm.serving.answers import Answer, Answers, unless_gone
from scratchlm.serving.asked import engine_requests, most_tokens, stop_texts
from scratchlm.serving.grammars import GrammarCompiler
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import CompletionRequest
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

MAX_TOKENS = 16
"""Most tokens where a request does not say, as OpenAI's API has it."""


async def complete(
    body: CompletionRequest, served: Served, worker: Worker, compiler: GrammarCompiler, request: Request
) -> Response:
    """Answer a request. Raises `ApiError` and `UserError`."""
    require_sensible(body)
    require_room(body, len(body.prompt), worker)
    prompts = await asyncio.to_thread(_prompts, body, served)
    most = most_tokens(body.max_tokens, served, MAX_TOKENS)
    grammar = await compiler.compile(body, served, request)
    requests = await asyncio.to_thread(
        engine_requests, body, served, prompts, served.text_ends, most, body.logprobs, grammar
    )
    answers = Answers(worker, served, requests, stop_texts(body, served))
    if body.stream:
        return Events(_stream(body, served, prompts, answers), answers.cancel)
    written = await unless_gone(answers, leaving(request))
    return await asyncio.to_thread(_response, body, served, prompts, written)  # log-probabilities may be many megabytes


def _response(
    body: CompletionRequest, served: Served, prompts: Sequence[Sequence[int]], written: Sequence[Answer]
) -> JSONResponse:
    offsets = [0] * len(written)
    choices = [
        {
            "index": index,
            "text": answer.text,
            "logprobs": _logprobs(body, served.tokenizer, answer.tokens, answer.logprobs, offsets, index),
            "finish_reason": answer.finish_reason,
        }
        for index, answer in enumerate(written)
    ]
    counted = usage(prompts, sum(len(answer.tokens) for answer in written))
    return JSONResponse({**heading("cmpl", "text_completion", served), "choices": choices, "usage": counted})


async def _stream(
    body: CompletionRequest, served: Served, prompts: Sequence[Sequence[int]], answers: Answers
) -> AsyncIterator[dict[str, Any]]:
    head, written = heading("cmpl", "text_completion", served), 0
    offsets = [0] * len(answers.requests)
    async for piece in answers.pieces():
        written += len(piece.tokens)
        choice = {
            "index": piece.index,
            "text": piece.text,
            "logprobs": _logprobs(body, served.tokenizer, piece.tokens, piece.logprobs, offsets, piece.index),
            "finish_reason": piece.finish_reason,
        }
        yield {**head, "choices": [choice]}
    if wants_usage(body):
        yield {**head, "choices": [], "usage": usage(prompts, written)}


def _prompts(body: CompletionRequest, served: Served) -> list[list[int]]:
    """Return the ids of each prompt: texts are encoded after what begins a text, ids are taken as they are."""
    prompts = []
    for each in body.prompt:
        ids = served.ids(each)
        if not ids and served.tokenizer.end_of_text is not None:
            ids = [served.tokenizer.end_of_text]  # an empty prompt begins a document
        prompts.append(served.require_room(ids, "prompt"))
    return prompts


def _logprobs(
    body: CompletionRequest, tokenizer: Tokenizer, tokens: Sequence[int], logprobs: Sequence[Logprobs],
    offsets: list[int], index: int,
) -> dict[str, Any] | None:  # fmt: skip
    """Return the log-probabilities of tokens, where they are asked for; `offsets` are moved past them."""
    if body.logprobs is None:
        return None
    texts, places = [token_text(tokenizer, token) for token in tokens], []
    for text in texts:
        places.append(offsets[index])
        offsets[index] += len(text)
    return {
        "tokens": texts,
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": [
            {_key(tokenizer, at): value for at, value in ((token, each.logprob), *each.top)}
            for token, each in zip(tokens, logprobs, strict=True)
        ],
        "text_offset": places,
    }


def _key(tokenizer: Tokenizer, token: int) -> str:
    """Return a name for a token that no other token has: its text, or its bytes where these are no whole characters."""
    text, own = token_text(tokenizer, token), raw(tokenizer, token)
    return text if text.encode() == own else "bytes:" + "".join(f"\\x{each:02x}" for each in own)
