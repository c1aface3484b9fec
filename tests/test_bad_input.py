"""The real command on damaged text, full disks, missing networks and numbers that run away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import fails, run
from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.base.paths import require_current_folder
from scratchlm.cli import main
from scratchlm.data.shards import ShardSet
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.weights.checkpoint import (
    Base,
    SavedModel,
    latest_checkpoint,
    load_model,
    read_hashes,
    save_model,
    write_hashes,
)
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

BPE = ("--vocabulary-size", "256")
LINUX_ROOT = sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder of text files of which some cannot be read."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(8):
        (folder / f"good{number}.txt").write_text(f"The miller has {number} cats.\n", encoding="utf-8")
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 4)
    (folder / "latin.txt").write_bytes("Das Café ist zu.".encode("latin-1"))
    (folder / "wide.txt").write_bytes("The dog is wide.\n".encode("utf-16"))
    (folder / "mark.txt").write_bytes(b"\xef\xbb\xbfThe mark is gone.\n")
    (folder / "nul.txt").write_bytes(b"The nul\0 is gone.\n")
    return folder


@pytest.fixture
def endless(damaged: Path) -> Path:
    """The same, with a link that leads back into it."""
    try:
        (damaged / "again").symlink_to(damaged, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets no one make symbolic links")
    return damaged


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def prepared(capsys: pytest.CaptureFixture[str], folder: Path, out: Path) -> dict[str, object]:
    code, printed, err = run(capsys, "prepare", folder, "--out", out, *BPE, "--json")
    assert code == 0, err
    return dict(json.loads(printed)["counts"])


def test_damaged_files_are_named_skipped_and_counted(
    capsys: pytest.CaptureFixture[str], endless: Path, tmp_path: Path
) -> None:
    counts = prepared(capsys, endless, tmp_path / "out")
    assert counts["skipped"] == {"symbolic link loop": 1, "binary": 1, "wrong encoding": 1}
    assert counts["kept"] == 11
    named = " ".join(name for names in counts["named"].values() for name in names)
    assert all(name in named for name in ("again", "binary.txt", "latin.txt"))


@pytest.mark.parametrize("name", ["binary.txt", "latin.txt"])
def test_strict_makes_a_damaged_file_fatal(
    capsys: pytest.CaptureFixture[str], damaged: Path, tmp_path: Path, name: str
) -> None:
    for other in {"binary.txt", "latin.txt"} - {name}:
        (damaged / other).unlink()
    line = fails(capsys, "prepare", damaged, "--out", tmp_path / "out", "--strict", *BPE)
    assert name in line
    assert "--strict" in line
    assert not (tmp_path / "out").exists()


def test_marks_wide_text_and_nul_bytes_are_read(
    capsys: pytest.CaptureFixture[str], damaged: Path, tmp_path: Path
) -> None:
    assert prepared(capsys, damaged, tmp_path / "out")["repaired"] == {"NUL characters removed": 1}
    words = {"mark", "dog", "nul", "miller"}
    shards = ShardSet.open(tmp_path / "out", "train"), ShardSet.open(tmp_path / "out", "validation")
    tokenizer = load_tokenizer(tmp_path / "out")
    text = "".join(tokenizer.decode(part.read(0, len(part)).tolist()) for part in shards)
    assert words <= set(text.split())
    assert not {"\ufeff", "\0"} & set(text)


def test_a_link_to_itself_is_named(capsys: pytest.CaptureFixture[str], endless: Path, tmp_path: Path) -> None:
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    assert "loop.txt" in fails(capsys, "prepare", tmp_path / "loop.txt", "--out", tmp_path / "out")


def test_commands_without_a_report_name_what_they_leave_out(
    capsys: pytest.CaptureFixture[str], damaged: Path, tmp_path: Path
) -> None:
    code, _, err = run(capsys, "tokenizer", "train", damaged, "--out", tmp_path / "tok", *BPE)
    assert code == 0, err
    assert "left out 1: binary: " in err
    assert "latin.txt" in err


def test_one_line_is_too_little_for_the_vocabulary(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("just one line", encoding="utf-8")
    line = fails(capsys, "prepare", tmp_path / "one.txt", "--out", tmp_path / "out")
    assert "4096" in line
    assert "more text" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_network")
def test_a_named_source_without_network_tells_the_way_round(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCHLM_CACHE", str(tmp_path / "cache"))
    line = fails(capsys, "prepare", "tinystories-valid", "--out", tmp_path / "out")
    assert "network" in line
    assert "--from-local" in line


def test_no_permission_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows keeps rights elsewhere")
    locked = Path("/sys") if LINUX_ROOT else tmp_path / "locked"  # where not even root may write
    if not LINUX_ROOT:
        locked.mkdir(mode=0o500)
    (tmp_path / "a.txt").write_text("The miller has cats.\n" * 50, encoding="utf-8")
    line = fails(capsys, "tokenizer", "train", tmp_path / "a.txt", "--out", locked / "out", *BPE)
    assert "permission" in line
    assert str(locked) in line


@pytest.mark.slow
@pytest.mark.skipif(not LINUX_ROOT, reason="only root may mount a small disk")
@pytest.mark.parametrize("size", ["400k", "4k"], ids=["little is free", "nothing is free"])
def test_a_full_disk_is_named_and_nothing_is_half_written(size: str, tmp_path: Path) -> None:
    disk, text = tmp_path / "disk", tmp_path / "text.txt"
    disk.mkdir()
    text.write_text("".join(f"Day {day}: the miller has {day * 7} cats.\n" for day in range(40_000)), encoding="utf-8")
    mount = f'mount -t tmpfs -o size={size} tmpfs "$DISK" || exit 77'
    filled = '; head -c 4096 /dev/zero > "$DISK/.filling"' if size == "4k" else ""
    script = mount + filled + '; "$@"; code=$?; echo "left: $(ls "$DISK")"; exit $code'
    prepare = [sys.executable, "-m", "scratchlm", "prepare", str(text), "--out", str(disk / "out"), *BPE]
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *prepare],
        env={**os.environ, "DISK": str(disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets not even root mount")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{disk / 'out'}: " in done.stderr
    assert "free" in done.stderr
    assert "left: \n" in done.stdout


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little text, prepared."""
    folder = tmp_path_factory.mktemp("days")
    text = "".join(f"Day {day}: the miller has {day * 7} cats.\n" for day in range(600))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    main(["prepare", str(folder / "text.txt"), "--out", str(folder / "data"), *BPE])
    return folder / "data"


def small_run(data: Path, out: Path) -> list[str]:
    """Return the arguments of a run on prepared text."""
    sizes = ["--training.batch-size", "2", "--training.sequence-length", "32", "--dtype", "fp32", "--threads", "1"]
    return ["pretrain", "tiny", "--data", str(data), "--out", str(out), *sizes]


def test_a_run_whose_checkpoints_do_not_fit_or_whose_folder_is_locked_is_refused(
    days: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if LINUX_ROOT:  # in /sys not even root may write
        line = fails(capsys, "pretrain", "tiny", "--data", days, "--out", "/sys/run")
        assert "permission" in line
        assert "/sys" in line
    monkeypatch.setattr("scratchlm.base.files.shutil.disk_usage", lambda place: SimpleNamespace(free=1))
    line = fails(capsys, "pretrain", "tiny", "--data", days, "--out", tmp_path / "run")
    assert "4 checkpoints take about" in line
    assert "lower training.keep_checkpoints" in line
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    small = [*small_run(days, tmp_path / "run"), "--training.steps", "1"]
    assert run(capsys, *small)[0] == 0
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    monkeypatch.setattr("scratchlm.base.files.shutil.disk_usage", lambda place: SimpleNamespace(free=1))
    assert "checkpoints take about" in fails(capsys, *small, "--force")
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before, "a refused --force loses nothing"


def test_numbers_that_run_away_stop_the_run_with_a_remedy(
    capsys: pytest.CaptureFixture[str], days: Path, tmp_path: Path
) -> None:
    arguments = small_run(days, tmp_path / "run")
    line = fails(capsys, *arguments, "--training.steps", "40", "--training.optimizer.learning-rate", "1e38")
    assert "not finite, 5 steps in a row" in line
    assert "learning_rate" in line
    assert len(list((tmp_path / "run" / "skipped").iterdir())) >= 5


def test_a_fine_tuning_on_several_processes_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    line = fails(capsys, "finetune", "reinforce", "--init", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "only pretrain trains on several" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", slow("SIGTERM")])
def test_a_stopped_run_saves_and_tells_how_to_go_on(days: Path, tmp_path: Path, name: str) -> None:
    run_folder = tmp_path / "run"
    arguments = small_run(days, run_folder)
    long = [sys.executable, "-m", "scratchlm", *arguments, "--training.steps", "100000"]
    process = subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = run_folder / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text(encoding="utf-8").count('"train"') >= 2):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert f"continue with: scratchlm pretrain --resume {run_folder}" in err.splitlines()[-1]
    assert list((run_folder / "checkpoints").iterdir())


def test_a_recipe_after_the_flags_is_read_as_one_before_them(capsys: pytest.CaptureFixture[str]) -> None:
    plans = [run(capsys, "plan", *words)[1] for words in (("--no-probe", "tiny"), ("tiny", "--no-probe"))]
    assert plans[0] == plans[1] != ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model."""
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=64)
    save_model(tmp_path / "model", SavedModel(random_decoder(config), byte_tokenizer()))
    return tmp_path / "model"


WHOLE = {
    "prepare": ("prepare", "STORY", *BPE),
    "tokenizer train": ("tokenizer", "train", "STORY", *BPE),
    "import": ("import", "MODEL"),
    "export": ("export", "MODEL", "--to", "hf"),
    "quantize": ("quantize", "MODEL"),
    "timelapse": ("timelapse", "STORY"),
}


@pytest.mark.parametrize("arguments", WHOLE.values(), ids=WHOLE)
def test_the_current_folder_is_refused_before_any_work_as_one_that_a_command_would_replace(
    arguments: tuple[str, ...], model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    story = model.parent / "story.txt"
    story.write_text("The miller has a cat. " * 40)
    places = {"MODEL": str(model), "STORY": str(story)}
    empty = model.parent / "here" / "inside"
    empty.mkdir(parents=True)
    monkeypatch.chdir(empty)
    for out in (".", empty, "..", "../inside/."):
        message = fails(capsys, *[places.get(each, each) for each in arguments], "--out", out)
        assert f"--out {Path(out)}: is the current folder or holds it" in message, message
    assert os.listdir(empty.parent) == ["inside"]


def test_a_split_pattern_that_is_no_regular_expression_is_named(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model / "tokenizer.json"
    path.write_text(json.dumps(_with_pattern(json.loads(path.read_text()), "(")))
    message = fails(capsys, "tokenizer", "inspect", model, "The")
    assert "split pattern '(': no regular expression" in message
    assert "restore the tokenizer's file" in message
    with pytest.raises(UserError, match="no regular expression"):
        load_tokenizer(model, readable=True)


def _with_pattern(tokenizer: dict[str, Any], pattern: str) -> dict[str, Any]:
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    return tokenizer


@pytest.mark.parametrize("number", ["9", "\u00b2", "1" * 5000])
def test_a_template_that_writes_marks_of_messages_is_refused(number: str) -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}\ue000" + number + "\ue001"
    template = ChatTemplate(byte_tokenizer(), source)
    if number.isascii():
        with pytest.raises(UserError, match="writes a mark of a message itself"):
            template.render([{"role": "user", "content": "Hello"}])
    else:
        template.render([{"role": "user", "content": "Hello"}])  # no number, so ordinary text


def test_a_folder_or_a_depth_whose_name_is_a_digit_and_no_number_is_no_traceback(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model.parent / "run" / "checkpoints" / "\u00b2").mkdir(parents=True)
    assert "has no model" in fails(capsys, "generate", model.parent / "run", "The")
    assert latest_checkpoint(model.parent / "run" / "checkpoints") is None
    for depth in ("\u00b2", "--5", "9" * 5000):
        code, _, err = run(capsys, "pretrain", "default", "--depth", depth, "--data", "d", "--out", "o")
        assert (code, "Traceback" in err) == (2, False), err


def test_a_model_whose_base_is_itself_or_based_on_it_is_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, bases = load_model(model), {"one": "two", "two": "one", "own": "own"}
    for name, base in bases.items():
        saved.base = Base(model.parent / base, "", frozenset(dict(saved.decoder.named_parameters())))
        save_model(model.parent / name, saved)
    for name, base in bases.items():
        config = json.loads((model.parent / name / "config.json").read_text())
        config["base"]["weights"] = read_hashes(model.parent / base)["model.safetensors"]
        (model.parent / name / "config.json").write_text(json.dumps(config))
        (model.parent / name / "files.json").unlink()
        write_hashes(model.parent / name)
    for name in ("own", "one"):
        message = fails(capsys, "generate", model.parent / name, "The")
        assert f"{model.parent / name}: its base models form a circle, back to {model.parent / name}" in message
        assert f"scratchlm import {model.parent / name} --base PLACE --out NEW" in message


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no folder that a process stands in")
def test_a_current_folder_that_was_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    require_current_folder()
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="the current folder was removed; go to one that exists, with cd"):
        require_current_folder()


def test_a_beam_search_shows_its_progress(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scratchlm.base.progress.QUIET_SECONDS", 0.0)
    monkeypatch.setattr("scratchlm.base.progress.PLAIN_SECONDS", 0.0)
    code, out, err = run(capsys, "generate", model, "The", "--beams", "40", "--max-tokens", "5", "--threads", "1")
    assert code == 0, err
    assert "40 beams: 5 of 5 tokens at most" in err
    assert "beams" not in out
