"""No command removes what scratchlm did not write, and no second process writes a folder that one is writing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.base.outputs import locked
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

TEXT = "The fox found a key. It went home and slept until the morning came.\n" * 60
COMMANDS = {
    "tokenizer": ("tokenizer", "train", "text.txt", "--vocabulary-size", "260"),
    "prepare": ("prepare", "text.txt", "--split", "tail:0.1", "--vocabulary-size", "260"),
    "import": ("import", "weights.bin"),
    "hf": ("export", "model", "--to", "hf"),
    "gguf": ("export", "model", "--to", "gguf"),
    "html": ("export", "model", "--to", "html"),
    "peft": ("export", "model", "--to", "peft"),
    "pretrain": ("pretrain", "tiny", "--data", "data"),
    "classify": ("finetune", "classify", "--init", "model", "--data", "text.txt"),
    "instruct": ("finetune", "instruct", "--init", "model", "--data", "text.txt"),
    "prefer": ("finetune", "prefer", "--init", "model", "--data", "text.txt"),
    "reinforce": ("finetune", "reinforce", "--init", "model"),
    "quickstart": ("quickstart", "--minutes", "0.05"),
    "timelapse": ("timelapse", "text.txt", "--steps", "2"),
    "experiment": ("experiment", "limits", "--small"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "weights.bin").write_bytes(b"not read: the folder is looked at first")
    shape = toy_config("default", vocabulary_size=BYTE_VOCABULARY)
    save_model(tmp_path / "model", SavedModel(random_decoder(shape), byte_tokenizer()))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_force_leaves_a_strangers_folder_alone(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    names = ["thesis.txt", "README.md", "Modelfile", "recipe.toml", "config.json", "files.json", "prepare.json"]
    names += ["model.html", "adapter_config.json", "tokenizer.json", "quickstart.json", "result.json", "timelapse.html"]
    (folder / "theirs").mkdir()
    for name in names:
        (folder / "theirs" / name).write_text("mine")
    line = fails(capsys, *COMMANDS[command], "--out", "theirs", "--force")
    assert "--out theirs: " in line
    assert sorted(path.name for path in (folder / "theirs").iterdir()) == sorted(names)
    assert all(path.read_text() == "mine" for path in (folder / "theirs").iterdir())


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "experiment"])
def test_a_folder_that_is_being_written_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with locked(folder / "out"):
        line = fails(capsys, *COMMANDS[command], "--out", "out")
    assert "is writing it; wait until it ends, or stop it" in line
    assert not (folder / "out").exists()


def test_force_replaces_what_the_command_itself_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("tokenizer", "prepare", "hf", "gguf", "html"):
        for again in ([], ["--force"]):
            assert run(capsys, *COMMANDS[command], "--out", f"out-{command}", *again)[0] == 0
    assert not list(folder.glob(".*")), "a lock or a temporary folder was left"
    line = fails(capsys, *COMMANDS["hf"], "--out", "out-gguf", "--force")
    assert "is a gguf export, which --force does not replace by a hf export" in line


def test_two_processes_do_not_train_one_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, *COMMANDS["prepare"], "--out", "data")[0] == 0
    begin = [*COMMANDS["pretrain"], "--out", "run", "--training.steps", "4000", "--training.sequence-length", "16"]
    begin += ["--training.checkpoint-every", "1", "--dtype", "fp32"]
    first = subprocess.Popen([sys.executable, "-m", "scratchlm", *begin], stderr=subprocess.PIPE)
    try:
        while not (folder / "run" / "checkpoints").exists():
            assert first.poll() is None, first.communicate()[1].decode()
        assert f"(pid {first.pid} on " in fails(capsys, "pretrain", "--resume", "run")
        assert f"(pid {first.pid} on " in fails(capsys, *begin, "--force")
    finally:
        first.kill()
        first.communicate()
