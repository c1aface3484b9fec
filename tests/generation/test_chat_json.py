"""`scratchlm chat --message --json`: one object and nothing else on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


def test_one_message_and_its_reply_are_printed_as_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=200))
    save_model(tmp_path / "model", SavedModel(decoder, tokenizer, ChatTemplate(tokenizer)))
    asked = ("chat", tmp_path / "model", "--message", 'Say "né"', "--seed", "1", "--max-tokens", "8")
    code, text, _ = run(capsys, *asked)
    assert code == 0
    code, out, err = run(capsys, *asked, "--json")
    assert code == 0, err
    assert json.loads(out) == {"message": 'Say "né"', "reply": text.removesuffix("\n")}
    assert out.count("\n") == 1
    assert "give --message" in fails(capsys, "chat", tmp_path / "model", "--json", code=2)
