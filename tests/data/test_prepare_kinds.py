"""`prepare --tokenizer characters|words` and `tokenizer train --kind`: simple tokenizers and their unknown symbols."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from scratchlm.data.batches import ArrayTokens
from scratchlm.data.shards import ShardSet
from scratchlm.evaluation.bits import count_text_bytes, count_unknown
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.tokens.simple import UNKNOWN, SymbolTokenizer, WordTokenizer

TEXT = "The miller walked to the river.\nHe saw a boat and a cat.\n" * 60
TINY = ("--training.steps", "2", "--training.batch-size", "2", "--training.sequence-length", "32", "--dtype", "fp32")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT + "Quiz!", encoding="utf-8")
    return path


def prepared(capsys: pytest.CaptureFixture[str], text: Path, out: Path, *more: str) -> dict[str, object]:
    code, printed, err = run(capsys, "prepare", text, "--out", out, "--split", "tail:0.1", "--json", *more)
    assert code == 0, err
    found: dict[str, object] = json.loads(printed)
    return found


def test_every_character_of_the_text_gets_an_id_those_of_the_held_out_part_too(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = prepared(capsys, text, tmp_path / "data", "--tokenizer", "characters")
    whole = text.read_text(encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path / "data")
    assert report["vocabulary_size"] == len(set(whole)) + len(tokenizer.specials)
    sides = [ShardSet.open(tmp_path / "data", side, tokenizer) for side in ("train", "validation")]
    ids = [id for side in sides for id in side.read(0, len(side)).tolist() if id != tokenizer.end_of_text]
    assert tokenizer.decode(ids) == whole  # "Quiz!" is held out and has characters that training never sees


def test_a_recipe_of_characters_goes_from_text_to_a_score_by_three_commands(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(capsys, text, tmp_path / "data", "--tokenizer", "characters")
    small = (*TINY, "--model.ngrams.rows", "64", "--threads", "1")
    arguments = ("pretrain", "characters-quick", "--data", tmp_path / "data", "--out", tmp_path / "run", *small)
    code, _, err = run(capsys, *arguments)
    assert code == 0, err
    code, out, _ = run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "data", "--json")
    assert code == 0
    score = json.loads(out)
    assert score["tokens"] == score["bytes"] + 1  # each character is a byte here; one token ends the text
    assert score["unknown"] == 0
    line = fails(capsys, "generate", tmp_path / "run", "He saw a ß")
    assert "'ß' at character 9: not one of the" in line
    assert "leave it out" in line


def test_words_outside_the_vocabulary_are_reported_and_count_no_bytes(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = prepared(capsys, text, tmp_path / "data", "--tokenizer", "words", "--vocabulary-size", "8")
    tokenizer = load_tokenizer(tmp_path / "data")
    assert isinstance(tokenizer, SymbolTokenizer)
    assert report["vocabulary_size"] == 8 + len(tokenizer.specials)
    held_out = ShardSet.open(tmp_path / "data", "validation", tokenizer)
    shown = tokenizer.decode(held_out.read(0, len(held_out)).tolist()).replace("<|endoftext|>", "")
    assert count_unknown(held_out, tokenizer) == shown.count(UNKNOWN) > 0
    assert count_text_bytes(held_out, tokenizer) == len(shown.replace(UNKNOWN, ""))
    notes = report["counts"]["notes"]  # type: ignore[index]
    assert any("tokens are <|unk|>" in note and "cannot be compared" in note for note in notes)


def test_an_evaluation_reports_the_number_of_unknown_tokens(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(capsys, text, tmp_path / "data", "--tokenizer", "words", "--vocabulary-size", "8")
    arguments = ("pretrain", "tiny", "--data", tmp_path / "data", "--out", tmp_path / "run", *TINY, "--threads", "1")
    assert run(capsys, *arguments)[0] == 0
    code, out, _ = run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "data")
    assert code == 0
    assert "of the tokens are <|unk|>, words outside the vocabulary" in out


def test_tokenizers_of_each_kind_are_trained_by_one_command(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"bpe": 260, "wordpiece": 513, "unigram": 258, "characters": len(set(text.read_text())), "words": 12}
    for kind, size in sizes.items():
        out = tmp_path / kind
        flags = ("--vocabulary-size", str(260 if kind == "characters" else size))
        code, printed, err = run(capsys, "tokenizer", "train", text, "--out", out, "--kind", kind, *flags)
        assert code == 0, err
        assert ("merges" in printed) == (kind == "bpe")
        assert load_tokenizer(out).vocabulary_size == size + 4
    line = fails(capsys, "tokenizer", "train", text, "--out", tmp_path / "x", "--kind", "words", "--readable", code=2)
    assert "--readable: only --kind bpe has a faster trainer" in line


def test_a_tokenizer_that_is_neither_a_kind_nor_a_file_is_named(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(capsys, "prepare", text, "--out", tmp_path / "data", "--tokenizer", "character")
    assert "--tokenizer character: no such file or folder, and not characters or words" in line
    assert not (tmp_path / "data").exists()


def test_a_folder_of_a_kinds_name_is_reached_by_its_path(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    WordTokenizer.train(["one two"]).save(tmp_path / "words")
    monkeypatch.chdir(tmp_path)
    report = prepared(capsys, text, tmp_path / "data", "--tokenizer", "./words")
    assert report["fingerprint"] == load_tokenizer(tmp_path / "words").fingerprint


def test_bits_per_byte_counts_no_bytes_of_unknown_words() -> None:
    tokenizer = WordTokenizer.train(["a b"])
    ids = np.array(tokenizer.encode("a b incomprehensible"))
    assert count_text_bytes(ArrayTokens(ids), tokenizer) == len("a b")
