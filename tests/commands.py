"""The real command in this process: its exit code and what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchlm.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 1) -> str:
    """Run a command that must fail with one line on stderr, and return the line."""
    got, out, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("scratchlm")]
    assert got == code, err
    assert out == ""
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def files_that_name(place: Path, folder: Path) -> list[str]:
    """Return the files below a folder in which a path of this machine stands, plain or with slashes escaped."""
    names = {str(place), str(place.resolve()), str(place).replace("/", "\\/")}
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and any(name.encode() in file.read_bytes() for name in names)
    ]
