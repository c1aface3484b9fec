"""The functions behind `scratchlm tokenizer train|inspect|compare`, and their flags."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from scratchlm.base.errors import UserError
from scratchlm.commands import COMMANDS
from scratchlm.tokens import commands
from scratchlm.tokens.config import CompareTokenizersConfig, InspectTokenizerConfig, TrainTokenizerConfig
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.simple import CharacterTokenizer
from scripts import SCRIPTS, fuzz

TEXTS = [*SCRIPTS.values(), *fuzz(100, seed=15)]
SIZE = sum(len(text.encode()) for text in TEXTS)


def trained(folder: Path, **changes: object) -> commands.TrainResult:
    config = TrainTokenizerConfig(sources=("text",), out=folder, **{"vocabulary_size": 400, **changes})  # type: ignore[arg-type]
    return commands.train(config, iter(TEXTS))


def shown(result: object, terminal: bool = False) -> str:
    file = io.StringIO()
    Console(file=file, width=160, force_terminal=terminal, color_system="standard" if terminal else None).print(result)
    return file.getvalue()


def test_train_writes_a_tokenizer_and_says_what_it_is(tmp_path: Path) -> None:
    result = trained(tmp_path / "tok")
    tokenizer = load_tokenizer(tmp_path / "tok")
    tokens = sum(len(tokenizer.encode(text)) for text in TEXTS)
    assert (result.vocabulary_size, result.merges, result.bytes_read) == (404, 144, SIZE)
    assert result.bytes_per_token == pytest.approx(SIZE / tokens)
    assert result.fingerprint == tokenizer.fingerprint
    assert json.loads(json.dumps(result.as_dict()))["merges"] == 144
    assert "404 tokens (144 merges)" in shown(result)


def test_the_readable_trainer_writes_the_same_file(tmp_path: Path) -> None:
    trained(tmp_path / "fast")
    trained(tmp_path / "plain", readable=True)
    name = "tokenizer.json"
    assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_train_learns_from_a_bounded_sample(tmp_path: Path) -> None:
    config = TrainTokenizerConfig(("text",), tmp_path / "a", vocabulary_size=300, sample_mb=0.002)
    assert commands.train(config, iter(TEXTS), total_bytes=SIZE).bytes_read in range(1_900, 2_001)
    with pytest.raises(UserError, match="--sample-mb 0"):
        trained(tmp_path / "b", sample_mb=0)


def test_train_replaces_only_with_force_and_leaves_nothing_after_a_failure(tmp_path: Path) -> None:
    trained(tmp_path / "tok")
    before = (tmp_path / "tok" / "tokenizer.json").read_bytes()
    with pytest.raises(UserError, match=r"exists already.*--force"):
        trained(tmp_path / "tok")
    with pytest.raises(UserError, match="--vocabulary-size 100000: after"):
        trained(tmp_path / "tok", force=True, vocabulary_size=100_000)
    assert (tmp_path / "tok" / "tokenizer.json").read_bytes() == before
    assert trained(tmp_path / "tok", force=True, vocabulary_size=300).merges == 44
    with pytest.raises(UserError, match="below the 256 bytes"):
        trained(tmp_path / "small", vocabulary_size=255)
    assert not (tmp_path / "small").exists()


def test_inspect_shows_merges_longest_tokens_and_the_tokens_of_a_text(tmp_path: Path) -> None:
    trained(tmp_path / "tok")
    tokenizer = load_tokenizer(tmp_path / "tok")
    text = "The keeper <|endoftext|> 你\n"
    result = commands.inspect(InspectTokenizerConfig(tmp_path / "tok", text, merges=5, longest=3))
    assert result.pieces is not None
    assert [piece.id for piece in result.pieces] == tokenizer.encode(text)
    assert result.bytes_per_token == pytest.approx(len(text.encode()) / len(result.pieces))
    assert len(result.merges) == 5
    lengths = sorted((len(tokenizer.token_bytes(id)) for id in range(400)), reverse=True)
    assert [len(tokenizer.token_bytes(piece.id)) for piece in result.longest] == lengths[:3]
    plain = shown(result)
    assert "|".join(piece.text for piece in result.pieces) in plain.replace("\n", "")
    assert "\x1b[" in shown(result, terminal=True)
    assert json.loads(json.dumps(result.as_dict()))["specials"]["<|endoftext|>"] == 400


def test_inspect_shows_square_brackets_of_a_text_as_they_are(tmp_path: Path) -> None:
    trained(tmp_path / "tok")
    result = commands.inspect(InspectTokenizerConfig(tmp_path / "tok", "[bold]x[/bold] [/]"))
    assert "[bold]x[/bold] [/]" in shown(result).replace("|", "").replace("\n", "")


def test_inspect_works_without_a_text_and_on_characters(tmp_path: Path) -> None:
    CharacterTokenizer.train(["abc"]).save(tmp_path)
    result = commands.inspect(InspectTokenizerConfig(tmp_path))
    assert (result.pieces, result.bytes_per_token, result.merges) == (None, None, [])
    assert [piece.text for piece in result.longest] == ["a", "b", "c"]
    assert "7 ids" in shown(result)
    with pytest.raises(UserError, match="--merges -1"):
        commands.inspect(InspectTokenizerConfig(tmp_path, merges=-1))


def test_tokens_show_control_characters_and_broken_bytes_as_escapes() -> None:
    assert commands.show(b" a\n\x1b") == r" a\n\x1b"
    assert commands.show("你".encode()[:2]) == r"\xe4\xbd"


def test_compare_counts_the_same_text_with_each_tokenizer(tmp_path: Path) -> None:
    trained(tmp_path / "small", vocabulary_size=300)
    trained(tmp_path / "large", vocabulary_size=600)
    paths = (str(tmp_path / "small"), str(tmp_path / "large"), "text")
    result = commands.compare(CompareTokenizersConfig(paths, threads=1), iter(TEXTS))
    assert (result.source, result.bytes) == ("text", SIZE)
    for score, path in zip(result.scores, paths, strict=False):
        tokenizer = load_tokenizer(path)
        assert score.tokens == sum(len(tokenizer.encode(text)) for text in TEXTS)
        assert score.bytes_per_token == pytest.approx(SIZE / score.tokens)
        assert score.megabytes_per_second > 0
    assert result.scores[1].bytes_per_token > result.scores[0].bytes_per_token
    assert all(path in shown(result).replace("\n", "") for path in ("small", "large"))


@pytest.mark.parametrize(
    ("paths", "texts", "message"),
    [
        (("one",), ["x"], "at least one tokenizer and then the text"),
        (("absent", "text"), ["x"], "absent: no such file"),
    ],
)
def test_compare_refuses_too_little(paths: tuple[str, ...], texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        commands.compare(CompareTokenizersConfig(paths), texts)


def test_compare_refuses_a_source_without_text(tmp_path: Path) -> None:
    trained(tmp_path / "tok")
    with pytest.raises(UserError, match="holds no text"):
        commands.compare(CompareTokenizersConfig((str(tmp_path / "tok"), "void")), [])


def test_flags_come_from_the_configs() -> None:
    train = COMMANDS["tokenizer train"].from_arguments(
        ["a.txt", "b", "--out", "tok", "--vocabulary-size", "512", "--readable"]
    )
    assert train == TrainTokenizerConfig(("a.txt", "b"), Path("tok"), vocabulary_size=512, readable=True)
    assert COMMANDS["tokenizer inspect"].from_arguments(["tok", "some text"]).text == "some text"
    compare = COMMANDS["tokenizer compare"].from_arguments(["a", "b", "c.txt", "--threads", "2"])
    assert (compare.paths, compare.threads) == (("a", "b", "c.txt"), 2)


def test_the_configs_import_no_tokenizer_and_no_torch() -> None:
    code = (
        "import sys, scratchlm.tokens.config; "
        "print(sorted({'torch', 'numpy', 'tiktoken', 'rustbpe', 'regex'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
