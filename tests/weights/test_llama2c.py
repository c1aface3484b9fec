"""llama2.c's stories260K, imported with its tokenizer, generates its known story."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.generation.language_model import load

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
"""The beginning of the greedy story of stories260K, as llama2.c prints it."""


@pytest.fixture
def files(data: Path, tmp_path: Path) -> Path:
    for name in ("stories260K.bin", "tok512.bin"):
        (tmp_path / name).write_bytes((data / "weights" / name).read_bytes())
    return tmp_path


def test_it_generates_its_known_story(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "import", files / "stories260K.bin", "--out", files / "model")[0] == 0
    model = load(files / "model")
    assert model.generate("Once upon a time", temperature=0.0, max_tokens=40).startswith(
        STORY[len("Once upon a time") :]
    )
    text = "Lily saw a cat. “Hello!” – she said, 猫."
    assert model.tokenizer.decode(model.tokenizer.encode(text)) == text


def test_truncated_and_incomplete_files_are_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (files / "stories260K.bin").read_bytes()
    (files / "short.bin").write_bytes(whole[:1000])
    (files / "header.bin").write_bytes(b"\0" * 28)
    for name, said in [("short.bin", "asks for"), ("header.bin", "no header")]:
        assert said in fails(capsys, "import", files / name, "--out", files / "model")
    (files / "tok512.bin").unlink()
    assert "no tokenizer of 512" in fails(capsys, "import", files / "stories260K.bin", "--out", files / "model")
