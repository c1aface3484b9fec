"""Texts at an address of an object store are copied once, and again when they have changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.base.remote import address_of, is_remote, local_copy
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.text.walk import KINDS, is_text

STORE = "memory://bucket"


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    with system.open("/bucket/texts/a.txt", "wb") as file:
        file.write(b"One day the fox found a key.\n")
    with system.open("/bucket/texts/more/b.jsonl", "wb") as file:
        file.write(b'{"text": "A wren sang."}\n')
    with system.open("/bucket/texts/picture.png", "wb") as file:
        file.write(b"no text")
    yield system
    system.store.clear()


def test_what_is_an_address() -> None:
    assert all(map(is_remote, ("s3://b/x", "gs://b", "https://a.b/c.txt")))
    assert not any(map(is_remote, ("books.txt", "./a", "gutenberg:11", "storyworld:2MB")))


def test_a_folder_is_read_as_if_it_were_here(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    opened = open_source(f"{STORE}/texts", text_column="text", cache=tmp_path)
    assert [document.text.strip() for document in opened.documents(Counts())] == [
        "One day the fox found a key.",
        "A wren sang.",
    ]
    manifest = opened.manifest()
    assert (manifest["name"], [each["path"] for each in manifest["files"]]) == (
        "texts",
        ["texts/a.txt", "texts/more/b.jsonl"],
    )


def test_one_file_is_read_too(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    assert local_copy(f"{STORE}/texts/a.txt", tmp_path, is_text, KINDS).read_text() == "One day the fox found a key.\n"


def test_only_what_has_changed_is_fetched_again(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    place = local_copy(f"{STORE}/texts", tmp_path, is_text, KINDS)
    before = {path.name: path.stat().st_mtime_ns for path in place.rglob("*.*")}
    with store.open("/bucket/texts/a.txt", "wb") as file:
        file.write(b"Two days later it was gone.\n")
    store.rm("/bucket/texts/more/b.jsonl")
    assert local_copy(f"{STORE}/texts", tmp_path, is_text, KINDS) == place
    assert [path.name for path in place.rglob("*.*")] == ["a.txt"]
    assert (place / "a.txt").read_text() == "Two days later it was gone.\n"
    changed = (place / "a.txt").stat().st_mtime_ns
    assert changed != before["a.txt"]
    local_copy(f"{STORE}/texts", tmp_path, is_text, KINDS)
    assert (place / "a.txt").stat().st_mtime_ns == changed


def test_without_a_network_what_was_fetched_is_read(
    store: fsspec.AbstractFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = local_copy(f"{STORE}/texts", tmp_path, is_text, KINDS)

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(type(store), "isfile", unreachable)
    assert local_copy(f"{STORE}/texts", tmp_path, is_text, KINDS) == place
    assert "cannot be reached (no route to host); what was fetched before is read" in capsys.readouterr().err
    with pytest.raises(UserError, match="other: cannot be reached"):
        local_copy(f"{STORE}/other", tmp_path, is_text, KINDS)


def test_an_address_with_nothing_to_read_is_a_mistake(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to read lies there"):
        local_copy(f"{STORE}/nowhere", tmp_path, is_text, KINDS)
    with pytest.raises(UserError, match="fetch the files another way"):
        local_copy("nosuchstore://bucket/texts", tmp_path, is_text, KINDS)


def test_a_copy_that_breaks_off_leaves_nothing_that_looks_whole(
    store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: object, source: str, target: str, **_: object) -> None:
        Path(target).write_bytes(b"One da")
        raise OSError("connection reset")

    monkeypatch.setattr(type(store), "get_file", half)
    with pytest.raises(UserError):
        local_copy(f"{STORE}/texts/a.txt", tmp_path, is_text, KINDS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_prepare_takes_an_address(
    store: fsspec.AbstractFileSystem,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with store.open("/bucket/long.txt", "wb") as file:
        file.write(b"On a day the miller sold sacks, and his cat slept.\n\n" * 400)
    out = tmp_path / "data"
    assert run(capsys, "prepare", f"{STORE}/long.txt", "--out", out, "--vocabulary-size", "280")[0] == 0
    assert (out / "prepare.json").exists()
    assert "nothing to read lies there" in fails(capsys, "prepare", f"{STORE}/none", "--out", tmp_path / "no")


@pytest.mark.parametrize("address", ["s3://bucket/data", "gs://b/some/data", "memory://bucket/data"])
def test_an_address_that_was_taken_for_a_path_is_an_address_again(address: str) -> None:
    assert address_of(Path(address)) == address


@pytest.mark.parametrize("path", ["data", "/tmp/data", "./s3", "../gs:/x", "."])
def test_a_path_is_no_address(path: str) -> None:
    assert address_of(Path(path)) is None


def test_a_model_is_trained_on_prepared_data_in_a_store_and_the_run_goes_on(
    store: fsspec.AbstractFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here, there = tmp_path / "data", f"{STORE}/data"
    assert run(capsys, "prepare", "storyworld:40KB", "--out", here, "--vocabulary-size", "300")[0] == 0
    assert "put what scratchlm prepare wrote there" in fails(
        capsys, "pretrain", "tiny", "--data", f"{STORE}/none", "--out", tmp_path / "no"
    )
    store.put(str(here), "/bucket/data", recursive=True)
    small = [
        "--training.steps",
        "6",
        "--training.batch-size",
        "2",
        "--training.sequence-length",
        "16",
        "--threads",
        "1",
    ]
    small += ["--dtype", "fp32", "--training.checkpoint-every", "3", "--training.log-every", "1"]
    for data, out in ((here, "one"), (there, "other")):
        code, _, err = run(capsys, "pretrain", "tiny", "--data", data, "--out", tmp_path / out, *small)
        assert code == 0, err
    weights = [tmp_path / out / "checkpoints" / "00000006" / "model.safetensors" for out in ("one", "other")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    shutil.rmtree(tmp_path / "other" / "checkpoints" / "00000006")
    shutil.rmtree(tmp_path / "cache")
    code, _, err = run(capsys, "pretrain", "--resume", tmp_path / "other")
    assert code == 0, err
    assert weights[0].read_bytes() == weights[1].read_bytes()
    code, out, err = run(capsys, "evaluate", tmp_path / "other", "--data", there)
    assert code == 0, err
    assert "bits per byte" in out
