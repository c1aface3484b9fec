"""What completions and chat have in common: streams of events, usage, tokens with their log-probabilities."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from scratchlm.base.errors import UserError
from scratchlm.serving.errors import FAILED, ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import MOST_TEXTS, Sampled
from scratchlm.serving.worker import Worker
from scratchlm.tokens.base import Tokenizer

END = "[DONE]"
"""Ends a stream."""


class Events(StreamingResponse):
    """An answer in server-sent events, one object each; an error in between is the last.

    Whatever becomes of the client, the answers are cancelled at the end: an iterator that was never begun would not do
    it, as where a client leaves while its request is prepared.
    """

    def __init__(self, objects: AsyncIterator[Mapping[str, Any]], cancel: Callable[[], None]) -> None:
        super().__init__(_lines(objects), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._cancel = cancel

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._cancel()


async def _lines(objects: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[str]:
    try:
        async for each in objects:
            yield line(each)
    except ApiError as error:
        yield line(error.body())
    except UserError as error:
        yield line(ApiError(400, str(error)).body())
    except Exception:
        traceback.print_exc(file=sys.stderr)
        yield line(ApiError(500, FAILED).body())
    yield line(END)


def line(data: Mapping[str, Any] | str) -> str:
    """Return one server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"  # in ASCII: no other line ends


def heading(kind: str, object_: str, served: Served) -> dict[str, Any]:
    """Return what each answer and each part of a stream begins with."""
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": object_,
        "created": int(time.time()),
        "model": served.name,
    }


def usage(prompts: Iterable[Sequence[int]], written: int) -> dict[str, int]:
    """Return the numbers of tokens read and written."""
    read = sum(map(len, prompts))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def wants_usage(body: Sampled) -> bool:
    """Return whether a stream ends with the usage."""
    return body.stream_options is not None and bool(body.stream_options.include_usage)


def require_sensible(body: Sampled) -> None:
    """Refuse options of a stream where there is none."""
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options: needs stream = true; set it or leave this out", param="stream_options")


def require_room(body: Sampled, prompts: int, worker: Worker) -> None:
    """Refuse what cannot be taken before work is spent on it. Raises `ApiError`."""
    count = body.n or 1
    if prompts * count > MOST_TEXTS:
        raise ApiError(400, f"{prompts} prompts with n = {count}: at most {MOST_TEXTS} texts a request", param="n")
    worker.require_room(prompts * count)


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """Return a token's text; bytes that form no character become U+FFFD."""
    return raw(tokenizer, token).decode("utf-8", errors="replace")


def raw(tokenizer: Tokenizer, token: int) -> bytes:
    """Return a token's bytes; none for an id that the vocabulary leaves unused."""
    return (tokenizer.table[token] if token < len(tokenizer.table) else None) or b""


def leaving(request: Request) -> asyncio.Future[None]:
    """Return what is done when the client leaves."""

    async def wait() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return asyncio.ensure_future(wait())
