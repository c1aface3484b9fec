"""What completions and chat tell alike: streams of events, usage, tokens with their log-probabilities."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import Sampled
from scratchlm.tokens.base import Tokenizer

END = "[DONE]"
"""Ends a stream."""


def events(objects: AsyncIterator[Mapping[str, Any]]) -> StreamingResponse:
    """Answer with server-sent events, one object each; an error in between is the last."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for each in objects:
                yield line(each)
        except ApiError as error:
            yield line(error.body())
        yield line(END)

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def line(told: Mapping[str, Any] | str) -> str:
    """Return one server-sent event."""
    return f"data: {told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)}\n\n"


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
    """Tell whether a stream ends with the usage."""
    return body.stream_options is not None and bool(body.stream_options.include_usage)


def require_sensible(body: Sampled) -> None:
    """Refuse options of a stream where there is none."""
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options: needs stream = true; set it or leave this out", param="stream_options")


def told(tokenizer: Tokenizer, token: int) -> str:
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
