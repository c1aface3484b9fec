"""Steps of an experiment: each stores its result in a file, so that an interrupted run resumes.

experiment.json hash of the settings and of the data that the steps belong to
steps/NAME.json the result of a step, and its seconds
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
from scratchlm.base.runfolder import REPORT_FILE, RESULT_FILE

KEY_FILE = "experiment.json"
KIND = "steps of a scratchlm experiment"
FOLDER_KIND = "experiment"
"""Kind in the marker of the folder."""
FILES = [KEY_FILE, RESULT_FILE, REPORT_FILE, "steps/*.json", "*.jsonl", "blind.tsv"]
"""Files that an experiment writes, as its marker lists them; data and runs inside have their own markers."""


def is_experiment(folder: Path) -> bool:
    """Return whether a folder holds steps of an experiment."""
    file = folder / KEY_FILE
    return file.is_file() and KIND in file.read_text(encoding="utf-8", errors="replace")


def repeats(folder: Path) -> bool:
    """Return whether a folder holds a replay of a stored result."""
    return is_experiment(folder) and bool(read_json(folder / KEY_FILE).get("repeats"))


class Steps:
    """The folder of an experiment; `once` runs a step, or returns its stored result."""

    def __init__(self, folder: Path, key: str, repeats: bool = False) -> None:
        """Open a folder. Raises `UserError` if it holds steps of other settings or data."""
        self.folder, self.began, self.taken, self.earlier = folder, time.monotonic(), 0, 0.0
        self.threads: int | None = None
        self.seen: set[Path] = set()
        """Files of steps that this call did or found."""
        self.shared: Steps = self
        """Steps that no seed changes; those of the first seed lie beside them."""
        self._key, self._repeats = key, repeats
        file = folder / KEY_FILE
        if file.exists() and read_json(file)["key"] != key:
            other = "steps of other settings, data, code or machine"
            raise UserError(f"--out {folder}: holds {other}; name another folder, or start over with --force")

    def at_seed(self, seed: int) -> Steps:
        """Return the steps of another seed, in a folder of their own."""
        other = Steps(self.folder / f"seed-{seed}", self._key, self._repeats)
        other.threads, other.shared, other.began = self.threads, self, self.began
        return other

    def file(self, name: str) -> Path:
        """Return the path of a file of the experiment, and mark the folder as one of an experiment."""
        write_marker(self.folder, FOLDER_KIND, FILES)
        # Not earlier: an experiment that cannot start leaves no folder.
        write_json(self.folder / KEY_FILE, {"kind": KIND, "key": self._key, "repeats": self._repeats})
        return self.folder / name

    def once(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of `work(*given)` as plain JSON values; a step that was done before is not run again."""
        file = self.folder / "steps" / f"{name}.json"
        if file.exists():
            done = read_json(file)
            self._count(file, done["seconds"])
            return done["found"]
        self.log(name)
        self.file(KEY_FILE)
        begun = time.monotonic()
        result = work(*arguments)
        write_json(file, {"seconds": time.monotonic() - begun, "found": result})
        self.shared.seen.add(file)
        return read_json(file)["found"]

    def _count(self, file: Path, seconds: float) -> None:
        """Count a step that an earlier call did; one that seeds share is counted once."""
        if file not in self.shared.seen:
            self.shared.taken, self.shared.earlier = self.shared.taken + 1, self.shared.earlier + seconds
        self.shared.seen.add(file)

    def log(self, what: str) -> None:
        """Print on stderr which step begins."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {what}", file=sys.stderr, flush=True)
