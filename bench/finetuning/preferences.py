"""Preferences by DPO: the fraction of held-out pairs with a likelier chosen answer, and the change in bits per byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.store import data_file

from scratchlm.base.files import read_json
from scratchlm.evaluation.config import EvaluateConfig
from scratchlm.evaluation.run import evaluate_text
from scratchlm.finetuning.config import PreferTrainingConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.prefer import finetune_prefer

TEXT = "pretrain/the-verdict.txt"
"""A short story for bits per byte, in neither model's fine-tuning data."""


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Fine-tune on 90% of the pairs; the rest, split by hash, are held out."""
    run = folder / "run"
    if not (run / "result.json").exists():
        config = PreferTrainingConfig(
            init=init,
            data=data_file("instruct/preference-data.json"),
            out=run,
            force=True,
            lora=True,
            adapter=LoRAConfig(rank=8, alpha=16),
            epochs=1,
            keep="last",
            dtype="bf16",
        )
        optimizer = replace(config.training.optimizer, learning_rate=1e-4)  # type: ignore[type-var]
        finetune_prefer(replace(config, training=replace(config.training, sequence_length=256, optimizer=optimizer)))
    result = read_json(run / "result.json")
    text = data_file(TEXT)
    bits = {name: evaluate_text(EvaluateConfig(model, text=text)) for name, model in (("before", init), ("after", run))}
    names = ("pairs", "held_out", "accuracy_before", "accuracy", "accuracy_interval", "led", "margin", "kl", "seconds")
    return {
        "task": "preference-data.json, DPO",
        **{name: result[name] for name in names},
        "bits_per_byte": {name: each.held_out.bits_per_byte for name, each in bits.items()},
        "text": TEXT,
    }
