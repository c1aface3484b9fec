"""A folder takes its name in one step; what a kill leaves is completed or removed at the next start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlm.base import folders
from scratchlm.base.errors import UserError
from scratchlm.base.files import atomic_file, write_text
from scratchlm.base.folders import MARKER_FILE, atomic_folder, clean, exchange, files_in, read_marker, recover

KILLED = """
import os, sys
from pathlib import Path
from scratchlm.base import folders
calls = 0
def replace(one, other, inner=os.replace):
    global calls
    if calls == int(sys.argv[2]):
        os._exit(9)
    calls += 1
    inner(one, other)
os.replace = replace
folders.exchange = lambda one, other: False
with folders.atomic_folder(Path(sys.argv[1])) as temporary:
    (temporary / "new").write_text("new")
"""


def write(path: Path, name: str) -> None:
    with atomic_folder(path) as temporary:
        (temporary / name).write_text(name)


def killed_at(path: Path, rename: int) -> None:
    """Replace `path` in another process that dies before its rename number `rename`, as where names do not exchange."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(rename)], check=False)
    assert done.returncode == 9


@pytest.mark.parametrize(("rename", "found"), [(0, "old"), (1, "new")])
def test_a_kill_between_the_two_renames_loses_no_folder_and_leaves_nothing(tmp_path: Path, rename, found) -> None:
    write(tmp_path / "model", "old")
    killed_at(tmp_path / "model", rename)
    assert len(os.listdir(tmp_path)) == 2
    assert (tmp_path / "model").exists() == (rename == 0)
    recover(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == [found]


def test_the_next_writing_of_a_folder_removes_what_a_kill_left(tmp_path: Path) -> None:
    killed_at(tmp_path / "model", 0)
    write(tmp_path / "model", "newer")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["newer"]


def test_what_another_writer_still_writes_is_left_alone(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as temporary, atomic_file(tmp_path / "log") as file:
        recover(tmp_path / "model")
        recover(tmp_path / "log")
        assert temporary.is_dir()
        assert file.is_file()
        write(tmp_path / "model", "other")
        assert temporary.is_dir()
        (temporary / "first").write_text("first")
        file.write_text("done")
    assert os.listdir(tmp_path / "model") == ["first"]
    assert sorted(os.listdir(tmp_path)) == ["log", "model"]


def test_leftovers_of_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".model.b.1a2b3c4d.tmp").mkdir()
    (tmp_path / ".model.notes.tmp").write_text("mine")
    recover(tmp_path / "model")
    assert len(os.listdir(tmp_path)) == 2
    recover(tmp_path / "model.b")
    assert os.listdir(tmp_path) == [".model.notes.tmp"]


def test_leftovers_inside_a_folder_are_cleaned_wherever_they_are(tmp_path: Path) -> None:
    left = [tmp_path / "checkpoints" / ".00000010.1a2b3c4d.tmp", tmp_path / ".metrics.jsonl.1a2b3c4d.tmp"]
    left[0].mkdir(parents=True)
    left[1].write_text("half")
    clean(tmp_path)
    assert not any(path.exists() for path in left)


def test_a_file_that_a_kill_left_half_written_is_removed_by_the_next_writing(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.1a2b3c4d.tmp").write_text("half")
    write_text(tmp_path / "a.txt", "whole")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="names exchange on Linux and macOS")
def test_two_names_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "one", tmp_path / "other")
    assert os.listdir(tmp_path / "one") == ["other"]
    assert not exchange(tmp_path / "one", tmp_path / "none")


def test_a_replaced_folder_is_never_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "model", "old")
    seen = []
    monkeypatch.setattr(folders, "sync", lambda path: seen.append((tmp_path / "model").exists()))
    monkeypatch.setattr(folders.os, "replace", lambda *_: seen.append(False))
    write(tmp_path / "model", "new")
    assert all(seen)
    assert os.listdir(tmp_path / "model") == ["new"]


def test_a_link_to_a_folder_stays_a_link_and_its_folder_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["new"]


def test_a_marker_names_kind_and_files(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model", "model") as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "a").touch()
        (temporary / "b").touch()
    assert read_marker(tmp_path / "model") == ("model", ["b", "deep/a"])
    assert files_in(tmp_path / "model") == [MARKER_FILE, "b", "deep/a"]
    assert read_marker(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "kind": 3, "files": []}', "[" * 100_000, "\xff"])
def test_a_damaged_marker_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"is damaged, so it is not known which files"):
        read_marker(tmp_path)
    (tmp_path / MARKER_FILE).write_text('{"format": 2, "kind": "run", "files": []}')
    with pytest.raises(UserError, match="format 2, this version reads 1"):
        read_marker(tmp_path)
