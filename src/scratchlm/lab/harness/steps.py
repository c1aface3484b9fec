"""What an experiment has done so far: each step's finding is a file, so that an interrupted run goes on.

experiment.json hash of the settings and of the data that the steps belong to
steps/NAME.json what a step found, and its seconds
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.base.folders import write_marker

KEY_FILE = "experiment.json"
KIND = "steps of a scratchlm experiment"
FOLDER_KIND = "experiment"
"""Kind in the marker of the folder."""
FILES = [KEY_FILE, "result.json", "report.html", "steps/*.json", "*.jsonl", "blind.tsv"]
"""What an experiment writes, as the marker names it; data and runs inside have markers of their own."""


def is_experiment(folder: Path) -> bool:
    """Tell whether a folder holds steps of an experiment."""
    file = folder / KEY_FILE
    return file.is_file() and KIND in file.read_text(encoding="utf-8", errors="replace")


def repeats(folder: Path) -> bool:
    """Tell whether a folder holds a repetition of a stored result."""
    return is_experiment(folder) and bool(read_json(folder / KEY_FILE).get("repeats"))


class Steps:
    """The folder of an experiment; `once` does a step, or takes what it found before."""

    def __init__(self, folder: Path, key: str, repeats: bool = False) -> None:
        """Open a folder. Raises `UserError` where it holds steps of other settings or data."""
        self.folder, self.began, self.taken, self.earlier = folder, time.monotonic(), 0, 0.0
        self.threads: int | None = None
        self._told = {"kind": KIND, "key": key, "repeats": repeats}
        file = folder / KEY_FILE
        if file.exists() and read_json(file)["key"] != key:
            raise UserError(
                f"--out {folder}: holds steps of other settings, data, code or machine; name another folder, or "
                "begin anew with --force"
            )

    def file(self, name: str) -> Path:
        """Return the place of a file of the experiment; from now on the folder is known as one of an experiment."""
        write_marker(self.folder, FOLDER_KIND, FILES)
        write_json(self.folder / KEY_FILE, self._told)  # not before: what cannot begin leaves no folder
        return self.folder / name

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what `work` finds, as plain JSON values; it is not called where the step was done before."""
        file = self.folder / "steps" / f"{name}.json"
        if file.exists():
            done = read_json(file)
            self.taken, self.earlier = self.taken + 1, self.earlier + done["seconds"]
            return done["found"]
        self.tell(name)
        self.file(KEY_FILE)
        begun = time.monotonic()
        found = work()
        write_json(file, {"seconds": time.monotonic() - begun, "found": found})
        return read_json(file)["found"]

    def tell(self, what: str) -> None:
        """Say on stderr what is being done."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {what}", file=sys.stderr, flush=True)
