"""The run's log: one JSON object a line, only ever appended to, so a viewer can follow and a resume can cut back.

Clock readings stand under the key `timing`; without it two runs of the same work write the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error, write_text
from scratchlm.base.reading import parse_json, read_plain_text, require_table

LOG_FILE = "metrics.jsonl"


class RunLog:
    """Append records to `metrics.jsonl`; each has a `kind`, and a `step` where it belongs to one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, *, timing: Mapping[str, float] | None = None, **values: Any) -> None:
        """Append one record. Floats are written in full, so equal logs mean equal numbers."""
        record = {"kind": kind, **values}
        if timing:
            record["timing"] = {name: round(value, 4) for name, value in timing.items()}
        line = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(line)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def sync(self) -> None:
        """Force the log to disk, so that it is never behind a checkpoint."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())

    def lines(self) -> int:
        """Count whole lines: the place that a checkpoint notes."""
        return sum(1 for _ in read_log(self.path))

    def cut_to(self, lines: int) -> None:
        """Drop what a kill left beyond the checkpoint that noted `lines`, half-written lines too."""
        kept = list(read_log(self.path))[:lines]
        write_text(self.path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log; a half-written last line is skipped.

    Raises `UserError` for a line that is no record, and for what is no file.
    """
    if not path.exists():
        return
    lines = read_plain_text(path).split("\n")
    for number, line in enumerate(lines[:-1], start=1):
        where = f"{path}, line {number}"
        record = require_table(parse_json(line, where), where)
        if not isinstance(record.get("kind"), str):
            raise UserError(f"{where}: is no record of a run's log; restore the file")
        yield record


def check_steps(path: Path) -> None:
    """Check what a report reads of each step and evaluation. Raises `UserError` that names the first wrong line."""
    for number, record in enumerate(read_log(path), start=1):
        timing, kind = record.get("timing", {}), record["kind"]
        numbers = [record.get("tokens"), *_numbers(timing, "seconds")] if kind == "train" else []
        told = "loss" in record if kind == "train" or "bits_per_byte" in record else True
        if not told or not isinstance(timing, dict) or not all(isinstance(each, int | float) for each in numbers):
            raise UserError(f"{path}, line {number}: lacks what a record of {kind} tells; restore the file")


def _numbers(timing: Any, name: str) -> list[Any]:
    return [timing.get(name)] if isinstance(timing, dict) else [None]
