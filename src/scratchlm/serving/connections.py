"""Connections that can be cut: of clients that send nothing, or do not read their answers.

uvicorn closes a connection once what was written is read, so a client that never reads would keep it open.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Client = tuple[str, int]


class Connections:
    """The open connections of a server, by the addresses of their clients."""

    def __init__(self, patience: float) -> None:
        """`patience` are the seconds in which a new connection must send the head of a request."""
        self.patience = patience
        self._open: dict[Client, asyncio.Transport] = {}

    def cut(self, client: Client) -> None:
        """Close a connection at once; what was not read is lost."""
        transport = self._open.pop(client, None)
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, which tells of each connection here."""
        connections = self

        class Known(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                self._waiting = self.loop.call_later(connections.patience, self._cut_if_silent)
                if self.client is not None:
                    connections._open[self.client] = transport

            def _cut_if_silent(self) -> None:
                if self.cycle is None:
                    self.transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                self._waiting.cancel()
                if self.client is not None:
                    connections._open.pop(self.client, None)
                super().connection_lost(exc)

        return Known
