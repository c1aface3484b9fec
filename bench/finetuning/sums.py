"""Reinforcement learning: two-digit sums not in the training data, after fine-tuning on mostly wrong answers.

A model of the embedded stories is fine-tuned on 90% of the sums, 60% of them with answers that are one too large. It
reproduces the more frequent answers and is right less than 40% of the time. GRPO then rewards its own answers to the
same questions, without showing a right one. The test uses sums that neither stage contained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import scratchlm as slm
from scratchlm.base.files import read_json
from scratchlm.finetuning.rewards import TASKS, RewardItem
from scratchlm.text.split import hash_fraction

TAUGHT_EPOCHS = 16.0
WRONG = 0.6
"""Fraction of the training answers that are one too large."""


def base(folder: Path) -> Path:
    """Pretrain the small model, unless done before."""
    if not (folder / "data").exists():
        slm.prepare("storyworld:2MB", out=folder / "data", vocabulary_size=600)
    if not (folder / "base" / "report.html").exists():
        where = {"data": folder / "data", "out": folder / "base"}
        slm.pretrain("default", **where, depth=4, force=True, overrides={"training.steps": 200})
    return folder / "base"


def carelessly(item: RewardItem) -> str:
    """Return the training answer to a question, right or wrong by the question's hash."""
    wrong = hash_fraction(f"careless {item.question}") < WRONG
    return str(int(item.answer) + 1) if wrong else item.answer


def fine_tuned(folder: Path) -> Path:
    """Fine-tune on the sums, unless done before."""
    run = folder / "taught"
    if not (run / "result.json").exists():
        data = folder / "sums.jsonl"
        rows = [{"prompt": item.question, "completion": carelessly(item)} for item in TASKS["sums"]().train]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        small = {"training.sequence_length": 128, "training.batch_size": 16, "training.optimizer.learning_rate": 1e-3}
        slm.finetune_instruct(init=base(folder), data=data, split="tail:0.05", out=run, force=True,
                              epochs=TAUGHT_EPOCHS, keep="last", scored=100, reply_tokens=8, dtype="fp32",
                              overrides=small)  # fmt: skip
    return run


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Fine-tune, then reinforce; `init` is ignored, because the model is trained here."""
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    start = fine_tuned(folder)
    if not (run / "result.json").exists():
        training = {"evaluate_every": 25, "schedule.warmup_steps": 20, "optimizer.learning_rate": 1e-4,
                    "optimizer.beta2": 0.99}  # fmt: skip
        slm.finetune_reinforce(init=start, out=run, force=True, task="sums", epochs=2, reply_tokens=6, questions=128,
                               overrides={f"training.{name}": value for name, value in training.items()})  # fmt: skip
    result = read_json(run / "result.json")
    names = ("held_out", "step", "steps", "score_before", "score", "score_interval", "verdict", "seconds")
    return {"task": "two-digit sums, GRPO", **{name: result[name] for name in names}}
