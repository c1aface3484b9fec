"""The thread that computes: it moves the engines on, and hands what they write to the loop that answers clients.

Engines share the processor, so one thread for all of them is as fast as several. Between two steps it takes up what
came meanwhile, so nothing else touches an engine or a model.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scratchlm.base.errors import UserError
from scratchlm.generation.engine import Engine
from scratchlm.generation.requests import Logprobs, Request
from scratchlm.serving.errors import CLOSED, FAILED, ApiError

T = TypeVar("T")
STALLED = 60.0
"""Seconds after which a step is called stuck; one on a slow machine takes a few."""


@dataclass(frozen=True)
class Event:
    """What became of a request since the event before."""

    tokens: Sequence[int] = ()
    logprobs: Sequence[Logprobs] = ()
    finish_reason: str | None = None
    error: ApiError | None = None


@dataclass(eq=False)
class Ticket:
    """A request that the worker has."""

    engine: Engine
    request: Request
    deliver: Callable[[Event], None]
    """Called in the loop of who submitted it."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    reported: int = 0
    """Tokens that were delivered."""

    def news(self) -> Event | None:
        """Return what is new, or None."""
        tokens = list(self.request.unread)
        self.request.unread.clear()
        reason, error = self.request.finish_reason, self.request.error
        if not tokens and reason is None:
            return None
        logprobs = self.request.logprobs[self.reported : self.reported + len(tokens)]
        self.reported += len(tokens)
        return Event(tokens, logprobs, reason, None if error is None else ApiError(400, str(error)))


class Worker:
    """Moves engines on in a thread of its own. Its methods are called from the loop that answers clients."""

    def __init__(self, engines: Sequence[Engine], most: int) -> None:
        """`most` texts may be written or wait at the same time."""
        self.engines, self.most = engines, most
        self.tickets: dict[Ticket, None] = {}
        """What is written or waits."""
        self._coming: list[Ticket] = []
        self._leaving: list[Ticket] = []
        self._jobs: list[tuple[Callable[[], None], Callable[[], None]]] = []
        """What computes, and what notes that it will not."""
        self._closing = self._refusing = False
        self._began: float | None = None
        """When the step or job in hand began, by `time.monotonic`; None while there is nothing to do."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="scratchlm-engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step in hand; what is not finished ends by an error."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def refuse_new(self) -> None:
        """Refuse what comes from now on, and go on with what is there."""
        with self._changed:
            self._refusing = True

    @property
    def refusing(self) -> bool:
        """Whether nothing new is taken."""
        return self._closing or self._refusing

    @property
    def stalled(self) -> float:
        """Seconds for which a step or job has been in hand, where these are over `STALLED`; else 0."""
        began = self._began
        seconds = 0.0 if began is None else time.monotonic() - began
        return seconds if seconds > STALLED else 0.0

    def require_room(self, count: int) -> None:
        """Raise `ApiError` where `count` texts more cannot be taken."""
        if self.refusing:
            raise ApiError(503, CLOSED)
        if len(self.tickets) + count > self.most:
            raise ApiError(
                429, f"{len(self.tickets)} texts are being written or wait, and at most {self.most} may; ask later"
            )

    def submit(
        self, engine: Engine, requests: Sequence[Request], deliver: Sequence[Callable[[Event], None]]
    ) -> list[Ticket]:
        """Take requests; what becomes of each is delivered. Raises `ApiError` where there is no room for them."""
        tickets = [Ticket(engine, request, each) for request, each in zip(requests, deliver, strict=True)]
        with self._changed:
            self.require_room(len(tickets))
            self.tickets.update(dict.fromkeys(tickets))
            self._coming += tickets
            self._changed.notify()
        return tickets

    def cancel(self, ticket: Ticket) -> None:
        """End a request that nobody waits for any more."""
        with self._changed:
            if ticket in self.tickets:
                self._leaving.append(ticket)
                self._changed.notify()

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job between two steps and return what it returns."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            try:
                result, error = job(), None
            except Exception as raised:  # handed to the caller
                result, error = None, raised
            loop.call_soon_threadsafe(_settle, done, result, error)

        def drop() -> None:
            loop.call_soon_threadsafe(_settle, done, None, ApiError(503, CLOSED))

        with self._changed:
            if self.refusing:
                raise ApiError(503, CLOSED)
            if len(self._jobs) >= self.most:
                raise ApiError(
                    429, f"{len(self._jobs)} texts wait to be embedded, and at most {self.most} may; ask later"
                )
            self._jobs.append((run, drop))
            self._changed.notify()
        return await done

    def _work(self) -> None:
        try:
            while self._take_up():
                for engine in self.engines:
                    if engine.busy:
                        self._step(engine)
                self._tell()
        finally:  # nobody must wait for a thread that has ended
            with self._changed:
                self._closing = True
                tickets, jobs = list(self.tickets), self._jobs
            for ticket in tickets:
                _deliver(ticket, Event(finish_reason="error", error=ApiError(503, CLOSED)))
                self._forget(ticket)
            for _, drop in jobs:
                drop()

    def _take_up(self) -> bool:
        """Wait until there is something to do, take up what came, and return whether to go on."""
        with self._changed:
            self._began = None
            while not (self._coming or self._leaving or self._jobs or self._closing or self._busy()):
                self._changed.wait()
            self._began = time.monotonic()
            if self._closing:
                return False
            coming, self._coming = self._coming, []
            leaving, self._leaving = self._leaving, []
            job = self._jobs.pop(0) if self._jobs else None  # one at a time: texts go on between them
        for engine in self.engines:
            self._add(engine, [ticket for ticket in coming if ticket.engine is engine])
        for ticket in leaving:
            ticket.engine.cancel(ticket.request)
        if job is not None:
            job[0]()
        return True

    def _add(self, engine: Engine, tickets: Sequence[Ticket]) -> None:
        """Give an engine what came for it, at once: it looks for changed weights each time."""
        try:
            if tickets:
                engine.add(*[ticket.request for ticket in tickets])
        except UserError as error:
            for ticket in tickets:
                ticket.request.fail(error)

    def _busy(self) -> bool:
        return any(engine.busy for engine in self.engines)

    def _step(self, engine: Engine) -> None:
        """Move an engine on. Where that fails, its texts end by an error, and it begins anew."""
        try:
            engine.step()
        except Exception:  # the server outlives it
            with contextlib.suppress(OSError, ValueError):  # stderr may be closed
                traceback.print_exc(file=sys.stderr)
            with self._changed:
                tickets = [each for each in self.tickets if each.engine is engine]
            for ticket in tickets:
                _deliver(ticket, Event(finish_reason="error", error=ApiError(500, FAILED)))
                engine.cancel(ticket.request)
                self._forget(ticket)

    def _tell(self) -> None:
        """Deliver what is new."""
        with self._changed:
            tickets = list(self.tickets)
        for ticket in tickets:
            event = ticket.news()
            if event is not None:
                _deliver(ticket, event)
                if event.finish_reason is not None:
                    self._forget(ticket)

    def _forget(self, ticket: Ticket) -> None:
        with self._changed:
            self.tickets.pop(ticket, None)


def _deliver(ticket: Ticket, event: Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and its clients with it
        ticket.loop.call_soon_threadsafe(ticket.deliver, event)


def _settle(done: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    """Give a job's result to who waits for it, if anybody still does."""
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
