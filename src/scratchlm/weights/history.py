"""The training history of a checkpoint, from the log of its run: tokens, seconds and held-out loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scratchlm.base.runlog import read_log

LOG_FILE = "metrics.jsonl"


def history_of(checkpoint: Path) -> dict[str, Any]:
    """Return `tokens`, `seconds` and the last held-out `loss` and `bits_per_byte` up to a checkpoint's step.

    Empty for a model folder outside a run. A record of the log covers the steps since the previous one, so tokens and
    seconds are estimates.
    """
    if not checkpoint.name.isdigit():
        return {}
    step = int(checkpoint.name)
    records = [r for r in read_log(checkpoint.parent.parent / LOG_FILE) if r.get("step", 0) <= step]
    steps = [record for record in records if record["kind"] == "train"]
    if not steps:
        return {}
    told: dict[str, Any] = {"tokens": 0, "seconds": 0.0}
    begins = [0, *(record["step"] for record in steps[:-1])]
    ends = [*begins[1:], step]
    for record, begin, end in zip(steps, begins, ends, strict=True):
        told["tokens"] += (end - begin) * record["tokens"]
        told["seconds"] += (end - begin) * record["timing"]["seconds"]
    last: dict[str, Any] = next((record for record in reversed(records) if record["kind"] == "evaluation"), {})
    return told | {key: last[key] for key in ("loss", "bits_per_byte") if key in last}
