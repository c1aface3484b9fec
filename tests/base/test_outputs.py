"""`--force` replaces only what scratchlm wrote, and one process at a time writes a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.base.folders import atomic_folder, write_marker
from scratchlm.base.outputs import clear, locked, output_folder, strangers


def ours(path: Path, kind: str = "model") -> Path:
    with atomic_folder(path, kind) as temporary:
        (temporary / "config.json").write_text("{}")
    return path


def refused(out: Path, words: str, kind: str = "model", force: bool = True) -> None:
    before = sorted(path for path in out.rglob("*"))
    with pytest.raises(UserError, match=words), output_folder(out, kind, force=force):
        raise AssertionError("it was not refused")
    assert sorted(path for path in out.rglob("*")) == before


def test_a_free_or_empty_place_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("free", "empty", "deep/er"):
        with output_folder(tmp_path / name, "model"):
            ours(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["deep", "empty", "free"]


@pytest.mark.parametrize("name", ["README.md", "Modelfile", "recipe.toml", "config.json", "files.json", "thesis.txt"])
def test_a_folder_without_our_marker_is_never_replaced_whatever_it_holds(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    refused(tmp_path / "out", r"exists already; .*--force", force=False)
    refused(tmp_path / "out", r"has no \.scratchlm\.json, so it is not known to be scratchlm's")


def test_a_file_that_our_marker_does_not_name_stops_the_command_by_name(tmp_path: Path) -> None:
    out = ours(tmp_path / "out")
    (out / "thesis.txt").write_text("mine")
    (out / "notes").mkdir()
    (out / "notes" / "a.md").write_text("mine")
    refused(out, r"did not write there: notes/a\.md, thesis\.txt; move")


def test_a_folder_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    refused(ours(tmp_path / "out", "run"), r"is a run, which --force does not replace by a model")


def test_a_folder_inside_ours_with_a_marker_answers_for_its_own_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_marker(run, "run", ["recipe.toml", "samples/*"])
    (run / "samples").mkdir()
    for name in ("recipe.toml", "samples/1.txt"):
        (run / name).touch()
    ours(run / "checkpoints" / "10", "checkpoint")
    assert strangers(run) == []
    (run / "checkpoints" / "10" / "mine.txt").touch()
    (run / "checkpoints" / "best.txt").touch()
    assert strangers(run) == ["checkpoints/10/mine.txt", "checkpoints/best.txt"]
    clear(run)
    assert sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()) == strangers(run)
    assert not (run / "samples").exists()


def test_an_output_folder_inside_its_source_or_around_it_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    (source / "a.txt").write_text("a")
    for out in (source, source / "out", tmp_path, source / ".." / "texts" / "b"):
        with pytest.raises(UserError, match="lies inside the source"), output_folder(out, "m", sources=(source,)):
            pass
    with output_folder(tmp_path / "texts2", "m", sources=(source,)), output_folder(source / "b", "m"):
        pass
    with pytest.raises(UserError, match="a file stands there"), output_folder(source / "a.txt", "m", force=True):
        pass
    assert os.listdir(source) == ["a.txt"]


HOLDER = """
import sys
from pathlib import Path
from scratchlm.base.outputs import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_writes_the_folder_and_a_kill_frees_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for _ in range(2):  # the first refusal must not take the holder's name away
        with pytest.raises(UserError, match=rf"process \(pid {holder.pid} on \S+, since .*\) is writing"), locked(run):
            pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert os.listdir(tmp_path) == [".run.lock"]
    with locked(run):
        assert os.listdir(tmp_path) == [".run.lock"]
    assert os.listdir(tmp_path) == []


def test_two_threads_do_not_write_one_folder_either(tmp_path: Path) -> None:
    messages = []

    def other() -> None:
        try:
            with locked(tmp_path / "run"):
                messages.append("held")
        except UserError as error:
            messages.append(str(error))

    with locked(tmp_path / "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"pid {os.getpid()}" in messages[0]


def test_a_command_that_fails_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no"), output_folder(tmp_path / "a" / "b" / "out", "model"):
        raise UserError("no")
    assert os.listdir(tmp_path) == []
