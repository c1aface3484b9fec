"""What stands before every request: names and sites, key, size of the body, patience, a line in the log."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scratchlm.base.terminal import one_line
from scratchlm.serving.connections import Connections
from scratchlm.serving.errors import FAILED, ApiError
from scratchlm.serving.metrics import Metrics
from scratchlm.serving.origins import Origins
from scratchlm.serving.pages import FILES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PART = 1 << 16
"""Bytes of an answer that are sent at once."""
OPEN = frozenset({"/health", *FILES})
"""Paths that need no key."""


@dataclass(frozen=True)
class Limits:
    """What a server allows a client."""

    body: int
    """Bytes."""
    patience: float
    """Seconds."""
    origins: Origins
    """By which names, and for which web pages, the server answers."""
    key: str = ""
    """What a client must send; empty: nothing."""
    log: bool = True
    """Write a line to stderr for each request: never what it says."""


class Guard:
    """An application with its limits, as an ASGI middleware."""

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, paths: frozenset[str], connections: Connections
    ) -> None:
        """`paths` are those that are counted by their names; others are counted together."""
        self.app, self.limits, self.metrics, self.paths, self.connections = app, limits, metrics, paths, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within the limits."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        try:
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            self.limits.origins.require_allowed(headers.get(b"host", ""), headers.get(b"origin", ""))
            await self.app(scope, exchange.receive, exchange.send)
        except ApiError as error:  # found before the application answered
            if not exchange.status:
                await error.answer()(scope, receive, exchange.send)
        except Exception:
            if not exchange.given_up:
                traceback.print_exc(file=sys.stderr)
                if not exchange.status:
                    await ApiError(500, FAILED).answer()(scope, receive, exchange.send)
        finally:
            exchange.record()


class Gate:
    """An application behind a key, and a limit on the bodies that requests announce, as an ASGI middleware."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it may not pass."""
        try:
            if scope["type"] == "http":
                self._require_entry(scope)
        except ApiError as error:
            await error.answer()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _require_entry(self, scope: Scope) -> None:
        sent = dict(scope["headers"]).get(b"authorization", b"")
        known = secrets.compare_digest(sent, b"Bearer " + self.limits.key.encode())
        if self.limits.key and scope["path"] not in OPEN and not known:
            raise ApiError(401, "the key is missing or wrong; send it as Authorization: Bearer KEY")
        if (size := _told_size(scope)) > self.limits.body:
            raise _too_large(size, self.limits.body)


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self._started, self._first = time.perf_counter(), 0.0
        self._size = 0
        self._read = False
        self.status = 0
        self.given_up = False
        """Whether the client did not read its answer in time: then the connection is closed."""

    async def receive(self) -> Message:
        """Return the next part of the request. Raises `ApiError` where it is too large or comes too slowly."""
        if self._read:
            return await self._receive()  # waits until the client leaves
        limits = self._guard.limits
        left = self._started + limits.patience - time.perf_counter()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            raise ApiError(408, f"the request took over {limits.patience:g} s to come; send it faster") from None
        self._size += len(message.get("body", b""))
        self._read = not message.get("more_body", False)
        if self._size > limits.body:
            raise _too_large(self._size, limits.body)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer. Raises `OSError` where the client does not read it, whose connection is cut."""
        if message["type"] == "http.response.start":
            self.status, self._first = message["status"], time.perf_counter()
        for part in _parts(message):
            try:
                await asyncio.wait_for(self._send(part), self._guard.limits.patience)
            except TimeoutError:
                self.given_up = True
                self._guard.connections.cut(tuple(self._scope["client"] or ("", 0)))
                raise OSError("the client does not read its answer") from None

    def record(self) -> None:
        """Count the request and write its line."""
        now, path = time.perf_counter(), self._scope["path"]
        known = path if path in self._guard.paths else "other"
        metrics = self._guard.metrics
        metrics.requests.labels(known, str(self.status)).inc()
        metrics.seconds.labels(known).observe(now - self._started)
        if self._first:
            metrics.first.labels(known).observe(self._first - self._started)
        if self._guard.limits.log:
            shown = one_line(path[:100])
            milliseconds = 1000 * (now - self._started)
            print(f"{self._scope['method']} {shown} {self.status or 'left'} {milliseconds:.0f} ms", file=sys.stderr)


def _parts(message: Message) -> Iterator[Message]:
    """Cut a long body into parts: only between two of them is it noticed that a client does not read."""
    body = message.get("body", b"")
    if len(body) <= PART:
        yield message
        return
    for start in range(0, len(body), PART):
        more = message.get("more_body", False) or start + PART < len(body)
        yield {**message, "body": body[start : start + PART], "more_body": more}


def _told_size(scope: Scope) -> int:
    """Return the size of the body that a request announces."""
    header = dict(scope["headers"]).get(b"content-length", b"0")
    return int(header) if header.isdigit() else 0


def _too_large(size: int, limit: int) -> ApiError:
    return ApiError(413, f"the body has {size:,} bytes or more; at most {limit:,}; send less")
