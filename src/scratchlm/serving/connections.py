"""Connections that can be cut: of clients that do not finish their requests, or do not read their answers.

uvicorn closes a connection once what was written is read, so a client that never reads would keep it open; and it waits
for the rest of a request as long as its client likes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

Client = tuple[str, int]
GRACE = 1.0
"""Seconds that the answer to a request that came too slowly has to leave."""


class Connections:
    """The open connections of a server, by the addresses of their clients."""

    def __init__(self, patience: float) -> None:
        """`patience` are the seconds in which a request must have come, the first of a connection or a later one."""
        self.patience = patience
        self._open: dict[Client, asyncio.Transport] = {}

    def cut(self, client: Client) -> None:
        """Close a connection at once; what was not read is lost."""
        transport = self._open.pop(client, None)
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, which reports each connection here."""
        connections = self

        class Known(H11Protocol):
            _deadline: asyncio.TimerHandle | None = None

            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if self.client is not None:
                    connections._open[self.client] = transport
                self._follow()

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self._follow()

            def on_response_complete(self) -> None:
                super().on_response_complete()
                self._follow()

            def _follow(self) -> None:
                """Let the time run while a request is not complete: of its head, or, once that is there, of its body.

                Between two requests uvicorn's own timer runs, which the first byte of the next one ends.
                """
                state = self.conn.their_state
                resting = self.timeout_keep_alive_task is not None and not self.conn.trailing_data[0]
                if state is h11.SEND_BODY or (state is h11.IDLE and not resting):
                    self._deadline = self._deadline or self.loop.call_later(connections.patience, self._give_up)
                elif self._deadline is not None:
                    self._deadline.cancel()
                    self._deadline = None

            def _give_up(self) -> None:
                answering = self.cycle is not None and not self.cycle.response_complete
                if answering:  # by status 408: let it be read
                    self._deadline = self.loop.call_later(GRACE, self._give_up)
                else:
                    self.transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                if self._deadline is not None:
                    self._deadline.cancel()
                if self.client is not None:
                    connections._open.pop(self.client, None)
                super().connection_lost(exc)

        return Known
