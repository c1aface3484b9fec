"""Which files a list of paths means, and what a user reads when one is missing, a loop, or of an unknown format."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.text.documents import Counts, read_documents


def read(path: Path, strict: bool = False) -> tuple[list[str], Counts]:
    counts = Counts()
    documents = read_documents([path], text_column=None, split_on=None, strict=strict, counts=counts)
    return [document.text for document in documents], counts


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def test_a_missing_path_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    good = write(tmp_path / "a.txt", "good")
    stream = read_documents(
        [good, tmp_path / "none.txt"], text_column=None, split_on=None, strict=False, counts=Counts()
    )
    with pytest.raises(UserError, match=r"none\.txt: no such file"):
        next(stream)


def test_empty_folders_say_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file to read; put"):
        read(tmp_path / "empty")
    write(tmp_path / "empty/a.odt", b"PK")
    with pytest.raises(UserError, match=r"passed over: 1 unknown format \.odt, as .*a\.odt"):
        read(tmp_path / "empty")


def test_a_folder_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="no permission; change its rights"):
        read(tmp_path)


def test_an_unknown_format_given_by_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown format '\.odt'.*\.parquet"):
        read(write(tmp_path / "a.odt", b"PK"))
    with pytest.raises(UserError, match=r"unknown format '\.gz'"):
        read(write(tmp_path / "a.gz", b"PK"))


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need special rights on Windows")
def test_a_loop_of_symbolic_links_is_named_and_skipped(tmp_path: Path) -> None:
    write(tmp_path / "in/a.txt", "good")
    (tmp_path / "in/up").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in/self.txt").symlink_to(tmp_path / "in/self.txt")
    (tmp_path / "in/gone.txt").symlink_to(tmp_path / "nowhere")
    texts, counts = read(tmp_path / "in")
    assert texts == ["good"]
    assert counts.skipped == {"symbolic link loop": 2, "unreadable": 1}
    with pytest.raises(UserError, match=r"self\.txt: symbolic links form a loop"):
        read(tmp_path / "in/self.txt")
    with pytest.raises(UserError, match="--strict"):
        read(tmp_path / "in", strict=True)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need special rights on Windows")
def test_a_folder_linked_twice_is_read_once_and_is_no_loop(tmp_path: Path) -> None:
    write(tmp_path / "in/a/x.txt", "x")
    (tmp_path / "in/b").symlink_to(tmp_path / "in/a", target_is_directory=True)
    texts, counts = read(tmp_path / "in", strict=True)
    assert texts == ["x"]
    assert counts.skipped == {"folder already read": 1}
