"""`scratchlm inspect` lists the parts of a model, which sum to the whole."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.model.config import ExpertsConfig
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inspected")
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY))
    save_model(place / "model", SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))
    return place / "model"


VIEWS = {
    "--losses": "Tokens", "--attention": "Attention", "--lens": "Logit lens", "--attribution": "sum: the logit",
    "--map": "Map", "--neurons": "Neurons", "--ablation": "Ablation", "--heads": "Heads",
}  # fmt: skip


@pytest.mark.parametrize("flag", VIEWS)
def test_each_view_of_a_prompt_has_a_flag(flag: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", folder, "the fox", flag)
    assert code == 0
    assert VIEWS[flag] in out
    others = [title for each, title in VIEWS.items() if each != flag]
    assert not [title for title in others if f"\n{title}\n" in out]


def test_a_prompt_alone_has_the_usual_views_and_json_has_their_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, "inspect", folder, "the fox")
    assert all(title in out for title in ("What comes next", "Tokens", "Logit lens", "Attribution", "Ablation"))
    _, out, _ = run(capsys, "inspect", folder, "the fox", "--patch", "the hat", "--json")
    told = json.loads(out)
    assert told["tokens"] == list("the fox")
    assert len(told["patch"]["stream"][0]) == 7
    _, out, _ = run(capsys, "inspect", folder, "the fox", "--patch", "the hat", "--paths")
    assert "to the queries" in out


def test_a_conversation_and_what_is_written_are_looked_into(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "inspect", folder, "hi", "--chat", "--new", "2", "--losses", "--json")
    told = json.loads(out)
    assert "".join(told["tokens"]).count("<|im_start|>") == 2
    assert len(told["losses"]["losses"]) == len(told["tokens"])


def test_weights_and_neighbours_need_no_prompt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "inspect", folder, "--weights")
    assert "blocks.1.attention.query" in out
    _, out, _ = run(capsys, "inspect", folder, "--neighbours", "a", "--heads")
    assert "cosine" in out
    assert "layer 1" in out


WRONG = {
    ("a prompt that is longer than the context",): "40 tokens exceed the model's context of 24",
    ("hi", "--patch", "hello"): "the texts have 2 and 5 tokens",
    ("hi", "--features", "32", "--layer", "9"): "layer 9: is missing; this model has layers 0 to 1",
    ("hi", "--target", "hi there"): "tokens, 'h', ",
    ("hi", "--page", "."): "is a folder",
}
MISUSED = {
    ("--attention",): "--attention: asks about a text; give one after the model",
    ("hi", "--paths"): "--paths: needs another text",
    ("hi", "--against", "a"): "--against: is for attribution",
    ("hi", "--features", "3"): "--features 3: must be at least 16",
    ("hi", "--target", ""): "--target: is empty",
    ("hi", "--layer", "1"): "--layer: is that of --features",
    ("hi", "--texts", "a.txt"): "--texts: is what",
    ("hi", "--weights", "--lens"): "--weights: is about the model alone",
}


@pytest.mark.parametrize("arguments", [*WRONG, *MISUSED])
def test_a_mistake_is_one_line(arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "inspect", folder, *arguments, code=2 if arguments in MISUSED else 1)
    assert {**WRONG, **MISUSED}[arguments] in message


def test_a_model_without_a_part_says_which_views_remain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY)
    config = dataclasses.replace(config, feed_forward=ExpertsConfig(hidden=16, experts=4, chosen=2))
    save_model(tmp_path / "model", SavedModel(random_decoder(config), byte_tokenizer()))
    message = fails(capsys, "inspect", tmp_path / "model", "hi", "--neurons")
    assert "no single set of neurons" in message
    assert "other views: losses, attention, lens" in message
