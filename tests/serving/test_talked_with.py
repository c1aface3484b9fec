"""`scratchlm chat --url` with our own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.generation.language_model import load
from served import Server


def test_a_chat_with_an_address_is_the_chat_with_the_model(
    server: Server, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--message", "Where is the key?", "--seed", "3", "--temperature", "0.9", "--max-tokens", "30"]
    code, far, _ = run(capsys, "chat", "talker", "--url", f"{server.url}/v1", *asked)
    assert code == 0
    talk = [{"role": "user", "content": "Where is the key?"}]
    near = load(models / "talker", "cpu").reply(talk, seed=3, temperature=0.9, max_tokens=30)
    assert far == f"{near}\n"


def test_an_address_that_does_not_answer_is_one_line(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--message", "hi")
    assert "not served" in fails(capsys, "chat", "nobody", "--url", f"{server.url}/v1", *asked)
    with_port = server.url.rsplit(":", 1)[0] + ":1/v1"
    assert "check the address" in fails(capsys, "chat", "talker", "--url", with_port, *asked)
