"""Result files of the measurements, and the folder of their data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlm.base.device import machine
from scratchlm.base.files import write_text

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("SCRATCHLM_DATA", "data"))


def write(name: str, result: Mapping[str, Any]) -> Path:
    """Write a result with its machine; `name` is GROUP/NAME or NAME."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str) -> dict[str, Any] | None:
    """Return a result, or None if it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_between_marks(path: Path, name: str, rows: Sequence[str]) -> None:
    """Replace the rows of a table between its comments in a Markdown file."""
    begin, end = f"<!-- table of {name} -->", "<!-- its end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    write_text(path, before + begin + "\n".join(["", *rows, ""]) + end + rest.split(end, 1)[1])


def data_file(name: str) -> Path:
    """Return a file of the data folder; exits with a remedy if it is missing."""
    path = DATA / name
    if not path.exists():
        raise SystemExit(f"{path}: no such file; set SCRATCHLM_DATA to a folder that holds {name}")
    return path
