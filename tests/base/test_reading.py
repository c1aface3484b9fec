"""What is no plain file is refused at once, and what nests or counts too far is one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scratchlm.base.config import read_known, read_toml
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, sha256_of
from scratchlm.base.reading import intact, read_plain_text, require_table
from scratchlm.base.runfolder import read_log
from scratchlm.training.config import ScheduleConfig

TRAINED = (
    '{"kind": "train", "step": 1, "loss": 2.5, "lr": 0.1, "gradient_norm": null, "tokens": 8, "skipped": false, '
    '"timing": {"seconds": 0.5}}\n'
)
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@POSIX
@pytest.mark.parametrize("read", [read_json, read_toml, sha256_of, read_plain_text, lambda path: list(read_log(path))])
def test_pipes_devices_and_folders_are_refused_and_not_waited_for(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, said in (("pipe", "pipe or a device"), ("device", "pipe or a device"), ("folder", "is a folder")):
        with pytest.raises(UserError, match=said):
            read(tmp_path / name)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000], ids=["lists", "tables", "digits"])
def test_json_and_toml_that_nest_or_count_too_far_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json: not valid JSON"):
        read_json(path)
    path.write_text(f"a = {text}")
    with pytest.raises(UserError, match=r"a\.json: not valid TOML"):
        read_toml(path)


def test_a_garbage_line_in_a_log_is_named_and_a_half_written_last_one_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(TRAINED + '{"kind": "tra')
    assert [record.step for record in read_log(path)] == [1]
    lacking = ('{"kind": "train", "step": 2, "loss": 3.0}', '{"kind": "evaluation", "step": 2}', '{"kind": "sample"}')
    for garbage in ("{garbage}", "[1, 2]", '{"step": 2}', "\x00\x00", *lacking):
        path.write_text(TRAINED + garbage + "\n")
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: "):
            list(read_log(path))


def test_a_larger_text_than_is_read_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 100)
    with pytest.raises(UserError, match="at most"):
        read_plain_text(tmp_path / "a", limit=99)


def test_known_values_are_read_by_their_types_and_others_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"shape": "cosine", "strange": 1}')
    assert read_known(ScheduleConfig, path) == ScheduleConfig(shape="cosine")
    path.write_text('{"shape": ["cosine"]}')
    with pytest.raises(UserError, match=r"a\.json\.shape is \['cosine'\]: expected one of"):
        read_known(ScheduleConfig, path)
    path.write_text("[1]")
    with pytest.raises(UserError, match=r"a\.json: holds a list where named values are expected"):
        read_known(ScheduleConfig, path)


def test_faults_of_a_file_are_told_as_such_and_bugs_are_not_hidden() -> None:
    for fault in (lambda: {}["a"], lambda: 1 // 0, lambda: int("x"), lambda: require_table(1, "inside")):
        with pytest.raises(UserError), intact("f", "thing"):
            fault()
    with pytest.raises(AssertionError), intact("f", "thing"):
        raise AssertionError
