"""A disk that is really full: each import and export fails with one line and leaves no files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.weights.checkpoint import save_model
from transfer import model


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB, where mounting is allowed: for root on Linux."""
    place = tmp_path / "full"
    place.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", place]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_no_partial_files(full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tmp_path / "model", model())
    assert run(capsys, "export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf")[0] == 0
    assert "the disk is full" in fails(capsys, "import", tmp_path / "hf", "--out", full / "model")
    for kind in ("hf", "gguf", "html"):
        line = fails(capsys, "export", tmp_path / "model", "--to", kind, "--out", full / kind)
        assert "the disk is full; free space or choose another folder" in line
    assert list(full.iterdir()) == []
