"""Result files of the measurements, and the folder of their data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlm.base.device import machine
from scratchlm.base.files import write_text
from scratchlm.base.statistics import spread

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


def by_turns(
    module: str, names: Sequence[str], arguments: Sequence[str], turns: int, unmeasured: int = 0
) -> dict[str, Any]:
    """Measure contenders in processes of their own that take turns; return the spread of each number of each.

    `python -m MODULE NAME ARGUMENTS` must print the numbers of one contender as its last line, in JSON. The first
    turns may be left out, in which code is compiled and files are read.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(unmeasured + turns):
        for name in names:
            command = [sys.executable, "-m", module, name, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            if turn >= unmeasured:
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(name, found[name][-1], flush=True)
    return {
        name: {key: spread([each[key] for each in runs])._asdict() for key in runs[0]} for name, runs in found.items()
    }


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
