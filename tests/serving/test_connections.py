"""Clients that begin a request and never end it: their connections are closed, and others do not notice."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from served import Server, serving

WHOLE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
HALVES = {
    "nothing": b"",
    "half a head": HEAD,
    "half a body": HEAD + b"\r\n{",
    "half a body that nobody reads": WHOLE[:-2] + b"Content-Length: 1000\r\n\r\n{",
    "half a body of what is not there": HEAD.replace(b"completions", b"nothing") + b"\r\n{",
    "empty lines": b"\r\n",
}


def connected(server: Server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(60)
    return client


def rest(client: socket.socket) -> bytes:
    """What comes until the connection is closed; an error where it stays open."""
    received = b""
    try:
        while part := client.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.fixture(scope="module")
def hasty(models: Path):
    with serving(models / "talker", "--patience", "1") as server:
        yield server


@pytest.mark.parametrize("requests_before", [0, 1, 2])
@pytest.mark.parametrize("half", HALVES)
def test_a_connection_whose_request_never_ends_is_closed(hasty: Server, half: str, requests_before: int) -> None:
    if half == "nothing" and requests_before:
        pytest.skip("between two requests a connection may rest for longer")
    with connected(hasty) as client:
        for _ in range(requests_before):
            client.sendall(WHOLE)
            answer = b""
            while b'{"status":"ok"}' not in answer:
                answer += client.recv(65_536)
        client.sendall(HALVES[half])
        answers = rest(client)
    assert (b" 408 " in answers) == (half == "half a body")


def test_two_requests_at_once_are_both_answered_and_half_a_third_is_closed(hasty: Server) -> None:
    with connected(hasty) as client:
        client.sendall(WHOLE + WHOLE + HEAD)
        assert rest(client).count(b" 200 ") == 2


@pytest.mark.slow
def test_many_that_never_end_keep_nobody_out(hasty: Server) -> None:
    clients = [connected(hasty) for _ in range(300)]
    for client in clients:
        client.sendall(WHOLE + HEAD + b"\r\n{")
    for _ in range(20):
        assert httpx.get(f"{hasty.url}/health", timeout=60).status_code == 200
    for client in clients:
        assert b" 200 " in rest(client)
        client.close()
