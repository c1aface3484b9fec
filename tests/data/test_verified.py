"""Altered data are refused before any use, and an unchanged shard is read for its hash only once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from commands import fails
from scratchlm.base.errors import UserError
from scratchlm.data import verified
from scratchlm.data.prepare import prepare
from scratchlm.data.prepared import data_hash, open_data
from scratchlm.data.shards import Shard, ShardSet, ShardWriter
from scratchlm.tokens.config import PrepareConfig
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import random_decoder, toy_config

PRINT = "ab" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that were read for their hash, in order."""
    real, names = Shard.verify, []

    def verify(self: Shard) -> None:
        names.append(self.path.name)
        real(self)

    monkeypatch.setattr(Shard, "verify", verify)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared folder."""
    text = "\n\n".join(f"On day {day} the miller sold {day * day} sacks." for day in range(200))
    (tmp_path / "days.txt").write_text(text, encoding="utf-8")
    prepare(PrepareConfig((str(tmp_path / "days.txt"),), out=tmp_path / "data", vocabulary_size=270, split_on="\n\n"))
    return tmp_path / "data"


def write(path: Path, ids: list[int]) -> Path:
    with ShardWriter(path, PRINT, 1_000) as writer:
        writer.add_document(ids)
    return path


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_folder_with_altered_ids_is_not_opened(folder: Path, side: str) -> None:
    open_data(folder)
    overwrite(folder / f"{side}-00000.tokens", 256, bytes(8))
    with pytest.raises(UserError, match=rf"{side}-00000\.tokens: its ids are altered; prepare the data again"):
        open_data(folder)


def test_commands_refuse_altered_data_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer, _, _ = open_data(folder)
    shape = toy_config("default", vocabulary_size=tokenizer.vocabulary_size)
    save_model(tmp_path / "model", SavedModel(random_decoder(shape), tokenizer))
    capsys.readouterr()
    overwrite(folder / "validation-00000.tokens", 256, b"\xff\xff")
    assert "its ids are altered" in fails(capsys, "evaluate", tmp_path / "model", "--data", folder)
    assert "its ids are altered" in fails(capsys, "pretrain", "tiny", "--data", folder, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_shard_is_noticed_and_a_report_without_a_hash_is_not_needed(folder: Path) -> None:
    _, train, held_out = open_data(folder)
    report = json.loads((folder / "prepare.json").read_text(encoding="utf-8"))
    assert report["data_hash"] == data_hash(train, held_out)
    write_another = folder / "train-00001.tokens"
    write_another.write_bytes((folder / "validation-00000.tokens").read_bytes())
    with pytest.raises(UserError, match=r"its shards are not those that prepare\.json lists"):
        open_data(folder)
    write_another.unlink()
    del report["data_hash"]
    (folder / "prepare.json").write_text(json.dumps(report), encoding="utf-8")
    assert len(open_data(folder)[1]) == len(train)


def test_an_id_outside_the_vocabulary_is_named(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tokens", PRINT, 1_000) as writer:
        writer.add_document([3, 700, 2])
        writer.vocabulary_size = 500  # as a writer with a fault of its own would leave it, all hashes right
    with pytest.raises(UserError, match=r"a\.tokens: token id 700 is outside its vocabulary of 500"):
        ShardSet.open(tmp_path)


def test_an_unchanged_shard_is_read_once_and_a_changed_one_again(
    tmp_path: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "SETTLED", -1.0)
    path = write(tmp_path / "a.tokens", [1, 2, 3])
    for _ in range(3):
        ShardSet.open(tmp_path)
    assert readings == ["a.tokens"]
    path.rename(tmp_path / "b.tokens")
    times = (tmp_path / "b.tokens").stat()
    time.sleep(0.05)  # more than a tick of the file system's clock
    overwrite(tmp_path / "b.tokens", 258, b"\x07")
    os.utime(tmp_path / "b.tokens", ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(UserError, match="its ids are altered"):  # in spite of equal size and modification time
        ShardSet.open(tmp_path)


def test_a_file_written_this_moment_is_not_remembered(tmp_path: Path, cache: Path, readings: list[str]) -> None:
    write(tmp_path / "a.tokens", [1, 2, 3])
    ShardSet.open(tmp_path)
    ShardSet.open(tmp_path)
    assert readings == ["a.tokens"] * 2
    assert not cache.exists()


def test_without_a_place_for_records_every_opening_verifies(
    tmp_path: Path, cache: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "SETTLED", -1.0)
    cache.write_text("a file where a folder is needed")
    write(tmp_path / "a.tokens", [1, 2, 3])
    ShardSet.open(tmp_path)
    ShardSet.open(tmp_path)
    assert readings == ["a.tokens"] * 2
