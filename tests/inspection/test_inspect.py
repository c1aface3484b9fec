"""`scratchlm inspect` lists the parts of a model, which sum to the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, TOYS, byte_tokenizer, random_decoder, toy_config


@pytest.mark.parametrize("name", TOYS)
def test_the_parts_sum_to_the_whole(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config(name, vocabulary_size=BYTE_VOCABULARY))
    model = SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer), provenance={"steps": 3})
    save_model(tmp_path / "model", model)
    code, out, _ = run(capsys, "inspect", tmp_path / "model", "--json")
    assert code == 0
    told = json.loads(out)
    assert sum(told["parts"].values()) == told["parameters"] == decoder.parameter_count()
    assert told["weight_bytes"]["fp32"] == 4 * told["parameters"]
    attention = decoder.config.attention
    assert told["cache_bytes_per_token"] == 2 * 2 * decoder.config.layers * attention.kv_heads * attention.head_dim
    assert told["stored_as"] == "float32"
    assert (told["template"], told["provenance"]) == ("ChatML", {"steps": 3})
    assert ("none" in told["family"]) == (name == "speedrun")
    code, out, _ = run(capsys, "inspect", tmp_path / "model")
    assert code == 0
    assert "feed-forward" in out


def test_a_folder_without_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such model folder" in fails(capsys, "inspect", tmp_path / "none")
