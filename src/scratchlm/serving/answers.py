"""The answers to one HTTP request as they come: pieces of text with what belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scratchlm.generation.assembling import TextWriter
from scratchlm.generation.requests import Logprobs, Request
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.worker import Event, Ticket, Worker


@dataclass(frozen=True)
class Piece:
    """A piece of one answer."""

    index: int
    """Which answer, of those that one request asks for."""
    text: str
    tokens: Sequence[int] = ()
    logprobs: Sequence[Logprobs] = ()
    finish_reason: str | None = None
    """Why the answer ends with this piece: stop or length; None where it goes on."""


@dataclass
class Answer:
    """One answer, whole."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)
    finish_reason: str = "length"


class Answers:
    """The answers to one request: they are written from its making on, until all have ended or it is cancelled."""

    def __init__(self, worker: Worker, served: Served, requests: Sequence[Request], stop: Sequence[str]) -> None:
        """Submit requests. Raises `ApiError` where the worker has no room for them."""
        self._worker, self.requests = worker, requests
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._writers = [TextWriter(served.tokenizer, stop) for _ in requests]
        self._open = set(range(len(requests)))
        deliver = [self._taker(index) for index in range(len(requests))]
        self._tickets: list[Ticket] = worker.submit(served.engine, requests, deliver)

    def _taker(self, index: int) -> Callable[[Event], None]:
        return lambda event: self._events.put_nowait((index, event))

    def cancel(self) -> None:
        """Stop writing: nobody reads any more."""
        for ticket in self._tickets:
            self._worker.cancel(ticket)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield pieces as they come, of all answers. Raises the `ApiError` that ended one of them."""
        try:
            while self._open:
                index, event = await self._events.get()
                if index in self._open:
                    if event.error is not None:
                        raise event.error
                    piece = self._piece(index, event)
                    if piece.finish_reason is not None:
                        self._open.discard(index)
                        self._worker.cancel(self._tickets[index])
                    if piece.text or piece.tokens or piece.finish_reason:
                        yield piece
        finally:
            self.cancel()

    def _piece(self, index: int, event: Event) -> Piece:
        writer, text = self._writers[index], ""
        for used, token in enumerate(event.tokens, 1):
            text += writer.feed(token)
            if writer.stopped:
                return Piece(index, text, event.tokens[:used], event.logprobs[:used], "stop")
        if event.finish_reason is not None:
            text += writer.rest()
        reason = "stop" if event.finish_reason == "cancelled" else event.finish_reason
        return Piece(index, text, event.tokens, event.logprobs, reason)

    async def complete(self) -> list[Answer]:
        """Return all answers at their ends. Raises the `ApiError` that ended one of them."""
        answers = [Answer() for _ in self.requests]
        async for piece in self.pieces():
            answer = answers[piece.index]
            answer.text += piece.text
            answer.tokens += piece.tokens
            answer.logprobs += piece.logprobs
            answer.finish_reason = piece.finish_reason or answer.finish_reason
        return answers


async def unless_gone(answers: Answers, gone: asyncio.Future[None]) -> list[Answer]:
    """Return all answers; where the client leaves before, cancel them and raise `ApiError`."""
    writing = asyncio.ensure_future(answers.complete())
    try:
        both: set[asyncio.Future[Any]] = {writing, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            return writing.result()
        raise ApiError(499, "the client has left")
    finally:
        writing.cancel()
        gone.cancel()
        answers.cancel()
