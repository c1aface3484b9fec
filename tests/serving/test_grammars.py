"""Schemas and expressions that would take for ever: they end by an error, and other clients do not notice."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest

from served import Server

CHAT = {"model": "talker", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
pytestmark = pytest.mark.slow


def under(schema: object) -> dict[str, object]:
    return {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}


ENDLESS = under({"type": "integer", "multipleOf": 62615533})


def test_eight_endless_schemas_are_refused_and_others_are_answered_meanwhile(server: Server) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(server.post("/v1/chat/completions", ENDLESS))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert server.post("/v1/chat/completions", CHAT).status_code == 200
    for thread in threads:
        thread.join()
    for answer in answers:
        assert answer.status_code == 400, answer.text
        message = answer.json()["error"]["message"]
        assert message.startswith("JSON schema: takes over ")
        assert "use a simpler one" in message
        assert "\n" not in message


def test_more_schemas_than_may_wait_are_refused_until_their_clients_leave(server: Server) -> None:
    body = json.dumps(ENDLESS).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    for client in clients:
        client.sendall(head.encode() + body)
    while (refused := server.post("/v1/chat/completions", under({"type": "integer"}))).status_code == 200:
        pass
    assert refused.status_code == 429
    assert "wait to be compiled" in refused.json()["error"]["message"]
    for client in clients:
        client.close()
    while (answer := server.post("/v1/chat/completions", under({"type": "integer"}))).status_code == 429:
        pass
    assert answer.status_code == 200
