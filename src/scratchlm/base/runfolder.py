"""A run's folder: the name of every file in it, and its log.

    recipe.toml     the settings, each value marked with where it came from
    manifest.json   versions, machine, seed, threads, hashes of recipe, tokenizer and inputs
    metrics.jsonl   the log: one JSON object a line, only ever appended to
    checkpoints/    what a resume continues from
    rewordings.jsonl, general.jsonl  how a fine-tuning on few conversations rewords questions, and what the model said
                    to general ones before
    samples/        texts written during training
    skipped/        batches that were skipped, since their loss was far too high or not finite
    result.json     what the run found
    report.html     the same as a page
    model/          the model that a fine-tuning keeps
    trials/         run folders of a sweep, one a trial and number of steps, with what their processes print
    best.toml       recipe of its best trial
    tracking/       what other programs show of it

Each record of the log is a dataclass below. Its clock readings, `timing`, are the last value of its line; without them
two runs of the same work write the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from scratchlm.base.config import known_values
from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error, read_json, write_text
from scratchlm.base.reading import parse_json, read_plain_text, require_table

RECIPE_FILE = "recipe.toml"
MANIFEST_FILE = "manifest.json"
LOG_FILE = "metrics.jsonl"
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
CHECKPOINTS = "checkpoints"
REWORDINGS_FILE = "rewordings.jsonl"
GENERAL_FILE = "general.jsonl"
SAMPLES = "samples"
SKIPPED = "skipped"
MODEL = "model"
TRIALS = "trials"
TRACKING = "tracking"
BEST_FILE = "best.toml"


@dataclass(frozen=True)
class Timing:
    """Clock readings of a record."""

    seconds: float
    clock: float | None = None
    """Seconds since 1970 when the record was made."""

    @classmethod
    def since(cls, started: float) -> Timing:
        """Return the seconds since `time.perf_counter()` was `started`."""
        return cls(time.perf_counter() - started, time.time())


@dataclass(frozen=True, kw_only=True)
class Record:
    """A line of the log. A field that is None by default is left out where it is None; another None becomes null."""

    kind: ClassVar[str]
    step: int
    timing: Timing | None = dataclasses.field(default=None, compare=False)

    def values(self) -> dict[str, Any]:
        """Return what the kind holds, in the order of its line: all but kind, step and timing."""
        pairs = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {
            field.name: value
            for field, value in pairs
            if field.name not in ("step", "timing") and not (value is None and field.default is None)
        }


@dataclass(frozen=True, kw_only=True)
class Train(Record):
    """An optimizer step."""

    kind = "train"
    timing: Timing = dataclasses.field(compare=False)
    loss: float | str
    """In nats; `nan`, `inf` or `-inf` as text."""
    lr: float | None = None
    """None in the oldest logs."""
    gradient_norm: float | None
    """None where it is not finite."""
    tokens: int
    skipped: bool
    left_out: int | None = None
    """Rows that had no part in the step, if any."""

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / max(self.timing.seconds, 1e-9)


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record):
    """What was measured on held-out data; each kind of run measures some of these, a loss or a score always."""

    kind = "evaluation"
    loss: float | None = None
    """In nats: a target token, a text's class, or a pair of answers."""
    bits_per_byte: float | None = None
    tokens: int | None = None
    """How many were predicted."""
    corpora: dict[str, dict[str, float]] | None = None
    """Loss, bits per byte and tokens of each corpus, where there are several."""
    accuracy: float | None = None
    """Fraction of texts, or of pairs whose chosen answer is likelier."""
    f1: float | None = None
    led: float | None = None
    """Fraction of pairs whose chosen answer gained more on the reference model than the rejected one."""
    margin: float | None = None
    """Mean of that lead, in nats."""
    score: float | None = None
    """Mean true score of a task's held-out questions."""
    kept: bool | None = None
    """Whether the state was the best so far."""

    def __post_init__(self) -> None:
        if self.loss is None and self.score is None:
            raise UserError("an evaluation has neither a loss nor a score")


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """A text that the model wrote."""

    kind = "sample"
    text: str


@dataclass(frozen=True, kw_only=True)
class Rollout(Record):
    """What the answers of a step were like; `finetuning.reinforce.RolloutStats` explains the fields."""

    kind = "rollout"
    reward: float
    spread: float
    zero_spread: float
    kl: float | None
    length: float
    sample: str


@dataclass(frozen=True, kw_only=True)
class Rollback(Record):
    """A return to the checkpoint of `step`: what came after it in the log is gone, its batches are not read again."""

    kind = "rollback"
    from_step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class OutOfMemory(Record):
    """Memory was too small: from this step on a forward pass has fewer rows, and a step as many as before."""

    kind = "out_of_memory"
    micro_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Revision(Record):
    """After `step` steps the run was given another number of them, to end in its time or early."""

    kind = "revision"
    steps: int
    """Of the whole run."""


_READINGS = tuple(field.name for field in dataclasses.fields(Timing))
KINDS: dict[str, type[Record]] = {
    each.kind: each for each in (Train, Evaluation, Sample, Rollout, Rollback, OutOfMemory, Revision)
}


class RunLog:
    """Append records to `metrics.jsonl`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: Record) -> None:
        """Append one record. Floats but clock readings are written in full, so equal logs mean equal numbers."""
        values = {"kind": record.kind, "step": record.step, **record.values()}
        if record.timing is not None:
            readings = dataclasses.asdict(record.timing)
            values["timing"] = {name: round(value, 4) for name, value in readings.items() if value is not None}
        line = json.dumps(values, ensure_ascii=False) + "\n"
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
        return sum(1 for _ in _lines(self.path))

    def cut_to(self, lines: int) -> None:
        """Drop what a kill left beyond the checkpoint that noted `lines`, half-written lines too."""
        write_text(self.path, "".join([f"{line}\n" for _, line, _ in _lines(self.path)][:lines]))


def _lines(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, text and values of each line of a log; a half-written last line is skipped."""
    if not path.exists():
        return
    for number, line in enumerate(read_plain_text(path).split("\n")[:-1], start=1):
        where = f"{path}, line {number}"
        values = require_table(parse_json(line, where), where)
        if not isinstance(values.get("kind"), str):
            raise UserError(f"{where}: is no record of a run's log; restore the file")
        yield where, line, values


def read_log(path: Path) -> Iterator[Record]:
    """Yield the records of a log; values and kinds that this version does not know are passed over.

    Raises `UserError` for a line that is no record or lacks what its kind holds, and for what is no file.
    """
    for where, _, values in _lines(path):
        if cls := KINDS.get(values["kind"]):
            timing = values.get("timing")
            if isinstance(timing, dict):
                values = {**values, "timing": {name: timing[name] for name in _READINGS if name in timing}}
            try:
                record = known_values(cls, values)
            except UserError as error:
                problem = f"{where}: lacks what a record of {values['kind']} holds ({error}); restore the file"
                raise UserError(problem) from error
            yield record


def is_step(name: str) -> bool:
    """Say whether the name of a folder is that of a checkpoint: the digits of its step (`²` is one, and no `int`)."""
    return name.isascii() and name.isdigit()


def history_of(checkpoint: Path) -> dict[str, Any]:
    """Return `tokens`, `seconds` and the last held-out `loss` and `bits_per_byte` up to a checkpoint's step.

    Empty for a model folder outside a run. A record of the log covers the steps since the previous one, so tokens and
    seconds are estimates. Of the last checkpoint also `joules`, where the machine counts them.
    """
    if not is_step(checkpoint.name):
        return {}
    end, run = int(checkpoint.name), checkpoint.parent.parent
    every = list(read_log(run / LOG_FILE))
    records = [record for record in every if record.step <= end]
    steps = [record for record in records if isinstance(record, Train)]
    if not steps:
        return {}
    bounds = [0, *(record.step for record in steps[:-1]), end]
    history: dict[str, Any] = {"tokens": 0, "seconds": 0.0}
    for record, (begin, after) in zip(steps, itertools.pairwise(bounds), strict=True):
        history["tokens"] += (after - begin) * record.tokens
        history["seconds"] += (after - begin) * record.timing.seconds
    last = next((record.values() for record in reversed(records) if isinstance(record, Evaluation)), {})
    manifest = read_json(run / MANIFEST_FILE) if (run / MANIFEST_FILE).exists() else {}
    if len(records) == len(every) and "joules" in manifest:
        history["joules"] = manifest["joules"]
    return history | {key: last[key] for key in ("loss", "bits_per_byte") if key in last}
