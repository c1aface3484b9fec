"""Files are whole or absent, logs can be cut back, and errors of the system are one clear line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from scratchlm.base import files
from scratchlm.base.errors import UserError
from scratchlm.base.files import (
    atomic_file,
    explain_os_error,
    read_json,
    require_free_space,
    sha256_of,
    write_json,
    write_text,
)
from scratchlm.base.folders import atomic_folder
from scratchlm.base.runfolder import Evaluation, RunLog, Sample, Timing, Train, read_log


class Broken(Exception):  # noqa: N818
    """Something that goes wrong half-way."""


@pytest.mark.parametrize("error", [Broken(), KeyboardInterrupt()])
def test_a_file_whose_writing_fails_keeps_its_last_content_and_leaves_nothing(tmp_path: Path, error) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "good")
    with pytest.raises(type(error)), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("ba")
        raise error
    assert path.read_text() == "good"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [Broken(), KeyboardInterrupt()])
def test_a_folder_whose_writing_fails_keeps_its_last_content_and_leaves_nothing(tmp_path: Path, error) -> None:
    path = tmp_path / "model"
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("good")
    with pytest.raises(type(error)), atomic_folder(path) as temporary:  # noqa: PT012
        (temporary / "b").write_text("ba")
        raise error
    assert os.listdir(path) == ["a"]
    assert os.listdir(tmp_path) == ["model"]


def test_the_name_is_given_only_once_all_is_written(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "deep" / "a") as temporary:
        temporary.write_text("x")
        assert not (tmp_path / "deep" / "a").exists()
    assert (tmp_path / "deep" / "a").read_text() == "x"


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "model") as temporary:
            (temporary / name).write_text(name)
    assert os.listdir(tmp_path / "model") == ["new"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_full_disk_at_the_rename_keeps_the_last_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "good")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(UserError, match="the disk is full"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "good"
    assert os.listdir(tmp_path) == ["a"]


def test_text_is_utf8_with_plain_line_ends_and_json_keeps_its_characters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": [1.5, None, "守"]})
    raw = (tmp_path / "a.json").read_bytes()
    assert "守".encode() in raw
    assert b"\r" not in raw
    assert read_json(tmp_path / "a.json") == {"ä": [1.5, None, "守"]}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_broken_json_is_one_line_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json: not (valid JSON|UTF-8)"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 7)
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        *((errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "no permission")),
        *(
            (errno.ELOOP, "symbolic links form a loop"),
            (errno.ENOENT, "no such file"),
            (errno.ENOTDIR, "a file stands"),
        ),
        (errno.EIO, "check the file"),
    ],
)
def test_an_error_of_the_system_names_the_path_and_a_remedy(number: int, words: str) -> None:
    message = str(explain_os_error(OSError(number, os.strerror(number)), "some/where"))
    assert message.startswith("some/where: ")
    assert words in message


def test_more_space_than_there_is_is_refused_before_work_begins(tmp_path: Path) -> None:
    require_free_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(UserError, match=r"MB needed and .* MB free"):
        require_free_space(tmp_path / "not" / "yet", 1 << 60)


def test_a_log_is_read_as_it_was_written_with_every_digit(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "deep" / "metrics.jsonl")
    values = [1 / 3, 1e-300, 0.1 + 0.2]
    for step, value in enumerate(values):
        log.write(Evaluation(step=step, loss=value, timing=Timing(1.23456789)))
    log.sync()
    records = list(read_log(log.path))
    assert [record.loss for record in records] == values
    assert records[0].timing == Timing(1.2346)
    assert log.lines() == 3


def test_a_line_of_a_log_holds_what_its_record_tells_and_others_are_passed_over(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    step = Train(step=1, loss="nan", lr=0.1, gradient_norm=None, tokens=8, skipped=True, timing=Timing(0.5, 2.0))
    log.write(step)
    log.write(Evaluation(step=1, score=0.25, kept=False))
    assert log.path.read_text() == (
        '{"kind": "train", "step": 1, "loss": "nan", "lr": 0.1, "gradient_norm": null, "tokens": 8, "skipped": true, '
        '"timing": {"seconds": 0.5, "clock": 2.0}}\n'
        '{"kind": "evaluation", "step": 1, "score": 0.25, "kept": false}\n'
    )
    older = log.path.read_text().replace('"lr"', '"rate"') + '{"kind": "look", "step": 1}\n'
    log.path.write_text(older)
    assert list(read_log(log.path)) == [replace(step, lr=None), Evaluation(step=1, score=0.25, kept=False)]
    log.cut_to(log.lines())
    assert log.path.read_text() == older
    with pytest.raises(TypeError):
        Evaluation(step=1, los=0.25)
    with pytest.raises(UserError, match="neither a loss nor a score"):
        Evaluation(step=1, f1=0.25)


def test_a_log_is_cut_back_to_whole_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    for step in range(5):
        log.write(Sample(step=step, text="ä"))
    whole = log.path.read_bytes()
    with log.path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "train", "step": 5})[:-4])
    assert log.lines() == 5
    log.cut_to(5)
    assert log.path.read_bytes() == whole
    log.cut_to(2)
    assert [record.step for record in read_log(log.path)] == [0, 1]
    assert list(read_log(tmp_path / "none.jsonl")) == []
