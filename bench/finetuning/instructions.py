"""Instructions: answers before and after fine-tuning, on the 10% of the file that the book uses as its test set.

The first 85% are the training set and the next 10% the test set. The last 5% are unused: no setting was tuned on them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.store import data_file

from scratchlm.base.files import read_json
from scratchlm.finetuning.config import InstructTrainingConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.instruct import finetune_instruct


def split(folder: Path) -> tuple[Path, Path]:
    """Write the first 85% and the next 10% of the file."""
    rows = json.loads(data_file("instruct/instruction-data.json").read_text(encoding="utf-8"))
    first, second = int(0.85 * len(rows)), int(0.95 * len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[:first]), ("test", rows[first:second])):
        (folder / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")
    return folder / "train.json", folder / "test.json"


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Fine-tune the model, and let it answer before and after."""
    run = folder / "run"
    train, test = split(folder)
    if not (run / "result.json").exists():
        config = InstructTrainingConfig(
            init=init,
            data=train,
            held_out=test,
            out=run,
            force=True,
            lora=True,
            adapter=LoRAConfig(rank=16, alpha=32),
            epochs=2,
            keep="last",
            scored=110,
            dtype="bf16",
        )
        training = replace(config.training, sequence_length=256, batch_size=4)
        optimizer = replace(training.optimizer, learning_rate=5e-4)  # type: ignore[type-var]
        finetune_instruct(replace(config, training=replace(training, optimizer=optimizer)))
    result = read_json(run / "result.json")
    names = ("conversations", "held_out", "loss_before", "loss", "before", "after", "seconds")
    shown = [each for each in result["exchanges"] if each["after"] != each["before"]][:5]
    return {"task": "instruction-data.json, 85/10/5", **{name: result[name] for name in names}, "exchanges": shown}
