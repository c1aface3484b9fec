"""A run's folder: the name of every file in it, and its log.

    recipe.toml     the settings, each value marked default, recipe or flag
    manifest.json   versions, machine, seed, threads, hashes of recipe, tokenizer and inputs
    metrics.jsonl   the log: one JSON object a line, only ever appended to
    checkpoints/    what a resume continues from
    samples/        texts written during training
    nonfinite/      batches whose loss was not finite
    result.json     what the run found
    report.html     the same as a page
    model/          the model that a fine-tuning keeps

Records of the log have a `kind`: train (a step), evaluation, sample, rollout. Clock readings are under the key
`timing`; without it two runs of the same work write the same bytes.
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

RECIPE_FILE = "recipe.toml"
MANIFEST_FILE = "manifest.json"
LOG_FILE = "metrics.jsonl"
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
CHECKPOINTS = "checkpoints"
SAMPLES = "samples"
BAD_BATCHES = "nonfinite"
MODEL = "model"

TRAIN, EVALUATION, SAMPLE, ROLLOUT = "train", "evaluation", "sample", "rollout"
"""Kinds of records in the log."""


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
        numbers = [record.get("tokens"), *_numbers(timing, "seconds")] if kind == TRAIN else []
        told = "loss" in record if kind == TRAIN or "bits_per_byte" in record else True
        if not told or not isinstance(timing, dict) or not all(isinstance(each, int | float) for each in numbers):
            raise UserError(f"{path}, line {number}: lacks what a record of {kind} tells; restore the file")


def _numbers(timing: Any, name: str) -> list[Any]:
    return [timing.get(name)] if isinstance(timing, dict) else [None]


def history_of(checkpoint: Path) -> dict[str, Any]:
    """Return `tokens`, `seconds` and the last held-out `loss` and `bits_per_byte` up to a checkpoint's step.

    Empty for a model folder outside a run. A record of the log covers the steps since the previous one, so tokens and
    seconds are estimates.
    """
    if not checkpoint.name.isdigit():
        return {}
    step = int(checkpoint.name)
    records = [r for r in read_log(checkpoint.parent.parent / LOG_FILE) if r.get("step", 0) <= step]
    steps = [record for record in records if record["kind"] == TRAIN]
    if not steps:
        return {}
    told: dict[str, Any] = {"tokens": 0, "seconds": 0.0}
    begins = [0, *(record["step"] for record in steps[:-1])]
    ends = [*begins[1:], step]
    for record, begin, end in zip(steps, begins, ends, strict=True):
        told["tokens"] += (end - begin) * record["tokens"]
        told["seconds"] += (end - begin) * record["timing"]["seconds"]
    last: dict[str, Any] = next((record for record in reversed(records) if record["kind"] == EVALUATION), {})
    return told | {key: last[key] for key in ("loss", "bits_per_byte") if key in last}
