"""What the log of a run tells of one of its checkpoints: how much it read, how long it took, how well it predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scratchlm.base.runlog import read_log

LOG_FILE = "metrics.jsonl"


def history_of(checkpoint: Path) -> dict[str, Any]:
    """Return `tokens`, `seconds` and the last held-out `loss` and `bits_per_byte` up to a checkpoint's step.

    Empty for a model folder that stands in no run. A record stands for the steps since the one before it, so tokens and
    seconds are estimates.
    """
    if not checkpoint.name.isdigit():
        return {}
    step, before = int(checkpoint.name), 0
    told: dict[str, Any] = {"tokens": 0, "seconds": 0.0}
    for record in read_log(checkpoint.parent.parent / LOG_FILE):
        if record.get("step", 0) > step:
            continue
        if record["kind"] == "train":
            steps, before = record["step"] - before, record["step"]
            told["tokens"] += steps * record["tokens"]
            told["seconds"] += round(steps * record["timing"]["seconds"], 1)
        elif record["kind"] == "evaluation":
            told |= {"loss": record["loss"], "bits_per_byte": record["bits_per_byte"]}
    return told if told["tokens"] else {}
