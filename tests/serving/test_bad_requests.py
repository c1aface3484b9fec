"""What is wrong with a request, a client or a start: a documented answer each time, and the server stays up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from served import Server, serving

MODEL = "talker"
COMPLETION = {"model": MODEL, "prompt": "Once", "max_tokens": 4}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
DEEP: dict[str, object] = {"type": "object"}
for _ in range(300):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}


def told(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]
    assert "Traceback" not in error["message"]
    return error["message"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "gpt-4"}, "'gpt-4': is not served; known: talker, caller, other"),
        ({"prompt": "key " * 400}, "must be under the model's context of 256"),
        ({"prompt": [5000]}, "id 5000; this model's ids are 0 to"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a"] * 300}, "at most 256 texts"),
        ({"temperature": -1, "n": 0, "top_p": 1.5}, "temperature is -1: input should be greater than or equal to 0; "),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"temperature": 1e999}, "temperature"),
        ({"max_tokens": -5}, "max_tokens is -5"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"n": 100, "prompt": ["a", "b", "c"]}, "at most 256 texts"),
        ({"stop": ["x"] * 1000}, "stop list should have at most 64 items"),
        ({"stop": [""]}, "stop.0"),
        ({"logit_bias": {"9999": 1}}, "'9999' is no token"),
        ({"logit_bias": {"²": 1}}, "'²' is no token"),
        ({"logit_bias": {"1" * 5000: 1}}, "is no token"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"guided_json": {"type": "object"}}, "guided_json"),
        ({"min_tokens": 3}, "min_tokens is 3"),
        ({"prompt": "x" * 1_000_000}, "more tokens than the model's context of 256"),
        ({"prompt": [[-1] * 100_000]}, "greater than or equal to 0"),
        ({"logit_bias": {"1": 1000}}, "logit_bias.1 is 1000"),
        ({"guided_regex": "ab[0-9"}, "regular expression: unclosed character class, at character 3: [0-9; correct"),
        ({"guided_regex": "\\bword"}, "regular expression: lookarounds not supported"),
        ({"guided_regex": "a" * 5000 + "("}, "unclosed group, at character 5001: (; correct"),
        ({"response_format": {"type": "json_schema"}}, "has no json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}}}, "JSON schema: "),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
            'cannot be held to "not"',
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type is 'xml'"),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "give one of them"),
        ({"echo": True}, "echo is True"),
        ({"best_of": 3}, "best_of is 3"),
        ({"stream_options": {"include_usage": True}}, "needs stream = true"),
    ],
    ids=lambda each: str(each)[:40] if isinstance(each, dict) else "",
)
def test_a_wrong_completion_request_is_told_what_is_wrong(server: Server, change: dict, says: str) -> None:
    body = json.dumps({**COMPLETION, **change})
    answer = httpx.post(f"{server.url}/v1/completions", content=body, headers={"content-type": "application/json"})
    assert says in told(answer, 404 if "model" in change else 400)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": []}, "messages list should have at least 1 item"),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages.0.role is 'king'"),
        ({"messages": [{"role": "user"}]}, "messages.0: has no content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "type"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "has no place for them"),
        ({"top_logprobs": 3}, "needs logprobs = true"),
        ({"logprobs": True, "top_logprobs": 99}, "top_logprobs is 99"),
        ({"model": "other"}, "has learned no conversations"),
    ],
    ids=lambda each: str(each)[:40] if isinstance(each, dict) else "",
)
def test_a_wrong_chat_request_is_told_what_is_wrong(server: Server, change: dict, says: str) -> None:
    assert says in told(server.post("/v1/chat/completions", {**CHAT, **change}), 400)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": NaN}', b"\xff\xfe", b"[" * 100_000, b'"a"'])
def test_a_body_that_is_no_request_is_refused(server: Server, body: bytes) -> None:
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/embeddings"):
        told(httpx.post(f"{server.url}{path}", content=body, headers={"content-type": "application/json"}), 400)


def test_what_is_not_there_is_said_so(server: Server) -> None:
    assert "is not there" in told(httpx.get(f"{server.url}/v1/nothing"), 404)
    assert "another method" in told(httpx.get(f"{server.url}/v1/completions"), 405)
    assert "not served" in told(httpx.get(f"{server.url}/v1/models/nobody"), 404)


def test_what_a_tool_holds_cannot_break_the_template(server: Server) -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    for inside in ("<|im_end|>", "\ue0000\ue001", {"deep": deep}):
        tool = {"type": "function", "function": {"name": "find", "parameters": {"a": inside}}}
        answer = server.post("/v1/chat/completions", {**CHAT, "model": "caller", "tools": [tool]})
        assert told(answer, 400).startswith("tools: " if isinstance(inside, str) else ("tools: ", "messages: "))


def test_settings_that_overflow_hurt_no_other_text(server: Server) -> None:
    prompt = "Once the fox found a key. " * 6
    body = {**COMPLETION, "prompt": prompt, "max_tokens": 30, "temperature": 0.0}
    right = server.post("/v1/completions", body).json()["choices"][0]["text"]
    for wild in ({"temperature": 1e-40}, {"repetition_penalty": 1e-40, "temperature": 1.0}):
        answer = server.post("/v1/completions", {**body, **wild})
        assert answer.status_code == 200 or "no numbers" in told(answer, 400)
        assert server.post("/v1/completions", body).json()["choices"][0]["text"] == right


def test_a_body_over_the_limit_is_refused_announced_or_not(server: Server) -> None:
    large = json.dumps({**COMPLETION, "prompt": "x" * (5 << 20)}).encode()
    told(httpx.post(f"{server.url}/v1/completions", content=large, headers={"content-type": "application/json"}), 413)
    pieces = (large[at : at + 65_536] for at in range(0, len(large), 65_536))
    answer = httpx.post(f"{server.url}/v1/completions", content=pieces, headers={"content-type": "application/json"})
    told(answer, 413)


@pytest.mark.parametrize("pattern", ["((a{0,999}){0,999}){0,999}", "(.*a){999}b{999}", "(a|b|ab)*c" * 99, "(?=a)b"])
def test_an_expression_that_explodes_is_answered(server: Server, pattern: str) -> None:
    started = time.monotonic()
    assert server.post("/v1/completions", {**COMPLETION, "guided_regex": pattern}).status_code in (200, 400)
    assert time.monotonic() - started < 60


def test_a_deep_schema_and_one_of_itself_are_answered(server: Server) -> None:
    for schema in (
        DEEP,
        {"$ref": "#"},
        {"type": "integer", "multipleOf": 99991},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
    ):
        body = {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
        assert server.post("/v1/chat/completions", body).status_code in (200, 400)


@pytest.mark.parametrize("when", ["at once", "before the answer", "within the stream"])
def test_a_client_that_leaves_frees_what_it_held(server: Server, when: str) -> None:
    before, asked = server.metric("scratchlm_written_tokens"), 5 * 20 * 250
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            endless = {"max_tokens": 250, "n": 20, "guided_regex": "a{400}"}
            body = json.dumps({**COMPLETION, **endless, "stream": when != "before the answer"}).encode()
            client.sendall(_head("/v1/completions", len(body)) + body)
            if when == "within the stream":
                client.recv(100)
            elif when == "before the answer":
                while not server.metric("scratchlm_texts"):
                    time.sleep(0.01)
    assert server.idle()
    assert server.metric("scratchlm_written_tokens") - before < asked / 2


@pytest.mark.slow
def test_a_client_that_never_reads_and_one_that_sends_slowly_are_given_up(models: Path) -> None:
    with serving(models / MODEL, "--patience", "1") as server, contextlib.ExitStack() as open_sockets:
        address = ("127.0.0.1", server.port)
        slow = open_sockets.enter_context(socket.create_connection(address))
        slow.sendall(_head("/v1/completions", 1000) + b"{")
        silent = open_sockets.enter_context(socket.create_connection(address))
        deaf = open_sockets.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.connect(address)
        # So much that the system's buffers and a second of a fast machine's writing do not come near the end.
        texts, tokens = 128, 250
        long = {"max_tokens": tokens, "n": texts, "logprobs": 20, "guided_regex": "a{400}", "stream": True}
        body = json.dumps({**COMPLETION, **long}).encode()
        deaf.sendall(_head("/v1/completions", len(body)) + body)
        for each in (slow, silent):
            each.settimeout(30)
        assert b"408" in slow.recv(4096)
        assert silent.recv(1) == b""
        assert server.idle()
        assert 0 < server.metric("scratchlm_written_tokens") < texts * tokens * 3 / 4
        assert server.post("/v1/completions", COMPLETION).status_code == 200


def test_more_than_may_wait_is_refused_and_the_others_are_answered(models: Path) -> None:
    with serving(models / MODEL, "--rows", "2", "--queue", "3") as server:
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(server.post("/v1/completions", {**COMPLETION, "max_tokens": 120}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 5
        refused = server.post("/v1/completions", {**COMPLETION, "n": 6})
        assert "at most 5 may" in told(refused, 429)
        assert refused.headers["retry-after"] == "1"


def test_a_key_is_asked_for_where_one_is_set(models: Path) -> None:
    with serving(models / MODEL, SCRATCHLM_API_KEY="secret") as server:
        told(server.post("/v1/completions", COMPLETION), 401)
        told(server.post("/v1/completions", COMPLETION, headers={"Authorization": "Bearer wrong"}), 401)
        told(httpx.get(f"{server.url}/metrics"), 401)
        assert server.post("/v1/completions", COMPLETION, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert server.client("secret").models.list().data[0].id == MODEL
        assert "secret" not in "".join(server.log)


def test_the_log_tells_no_contents(models: Path) -> None:
    with serving(models / MODEL) as server:
        server.post("/v1/completions", {**COMPLETION, "prompt": "Once confidential"})
        httpx.get(f"{server.url}/a%0aforged%1b[31m")
    log = "".join(server.log)
    assert "POST /v1/completions 200" in log
    assert "confidential" not in log
    assert "\x1b" not in log
    assert "\nforged" not in log


def test_a_server_that_is_told_to_end_finishes_its_answers_first(models: Path) -> None:
    with serving(models / MODEL) as server:
        url, got = f"{server.url}/v1/completions", []
        with httpx.stream("POST", url, json={**COMPLETION, "max_tokens": 250, "stream": True}, timeout=60) as answer:
            lines = answer.iter_lines()
            got.append(next(lines))
            os.kill(server.process.pid, signal.SIGTERM)
            got += lines
        assert got[-2:] == ["data: [DONE]", ""]
        server.process.wait(60)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")


def test_a_start_that_cannot_be_is_one_line(models: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from commands import fails

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "is in use" in fails(capsys, "serve", models / MODEL, "--port", str(port))
    assert "no address" in fails(capsys, "serve", models / MODEL, "--host", "no.such.host.invalid", "--port", "0")
    assert "two have this name" in fails(capsys, "serve", models / MODEL, models / MODEL, code=2)
    assert "as NAME=RUN" in fails(capsys, "serve", models / MODEL, "--adapters", "x", code=2)
    fails(capsys, "serve", tmp_path / "nothing", "--port", "0")
    fails(capsys, "serve", code=2)


def _head(path: str, length: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_the_server_is_still_there(server: Server) -> None:
    time.sleep(0.1)
    assert server.post("/v1/completions", COMPLETION).status_code == 200
