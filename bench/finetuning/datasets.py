"""Fine-tunings on published data: classes of intents, instructions, preferences by DPO.

A finished run is not repeated; its result file is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.store import data_file

import scratchlm as slm
from scratchlm.base.files import read_json
from scratchlm.classic.linear import LinearTexts
from scratchlm.evaluation.config import EvaluateConfig
from scratchlm.evaluation.run import evaluate_text
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.text.labelled import labels_of, read_labelled
from scratchlm.text.records import read_records

TEXT = "pretrain/the-verdict.txt"
"""A short story for bits per byte, in neither model's fine-tuning data."""


def result_of(run: Path, tune: Callable[..., Any], rank: int = 16, **settings: Any) -> dict[str, Any]:
    """Return the result of a fine-tuning with adapters, whose last state is kept; run it unless done before."""
    if not (run / "result.json").exists():
        tune(out=run, force=True, lora=True, adapter=LoRAConfig(rank, 2.0 * rank), keep="last", **settings)
    found: dict[str, Any] = read_json(run / "result.json")
    return found


def banking(init: Path, folder: Path) -> dict[str, Any]:
    """Train on banking77 and test on its test file, which no setting was tuned on; a linear SVM is the baseline."""
    train, test = data_file("classify/banking77-train.csv"), data_file("classify/banking77-test.csv")
    rate = {"training.optimizer.learning_rate": 1e-3}
    result = result_of(folder / "run", slm.finetune_classify, init=init, data=train, held_out=test, epochs=4,
                       pooling="mean", validation=0.0, overrides=rate)  # fmt: skip
    scores = result["scores"]
    return {
        "task": "banking77, 77 intents, its test file",
        "tested": scores["texts"],
        "accuracy": scores["accuracy"],
        "accuracy_interval": scores["accuracy_interval"],
        "mean_f1": scores["f1"],
        "calibration_error": [result["calibration_error"], result["calibration_error_after"]],
        "seconds": result["seconds"],
        "beside": {"words + characters + linear SVM": svm_accuracy(train, test)},
    }


def svm_accuracy(train: Path, test: Path) -> float:
    """Return the accuracy of the linear SVM on words and characters."""
    train_texts, test_texts = (read_labelled(read_records(path), "text", "category") for path in (train, test))
    numbers = {label: number for number, label in enumerate(labels_of(train_texts, test_texts))}
    model = LinearTexts(C=1).fit([each.text for each in train_texts], [numbers[each.label] for each in train_texts])
    given = model.predict_proba([each.text for each in test_texts]).argmax(1)
    return float((given == [numbers[each.label] for each in test_texts]).mean())


def instructions(init: Path, folder: Path) -> dict[str, Any]:
    """Fine-tune on the first 85% of instructions, and let the model answer the next 10% before and after."""
    rows = json.loads(data_file("instruct/instruction-data.json").read_text(encoding="utf-8"))
    first, second = int(0.85 * len(rows)), int(0.95 * len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[:first]), ("test", rows[first:second])):
        (folder / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")
    training = {"training.sequence_length": 256, "training.batch_size": 4, "training.optimizer.learning_rate": 5e-4}
    result = result_of(folder / "run", slm.finetune_instruct, init=init, data=folder / "train.json",
                       held_out=folder / "test.json", epochs=2, scored=110, dtype="bf16",
                       overrides=training)  # fmt: skip
    names = ("conversations", "held_out", "loss_before", "loss", "before", "after", "seconds")
    shown = [each for each in result["exchanges"] if each["after"] != each["before"]][:5]
    return {"task": "instruction-data.json, 85/10/5", **{name: result[name] for name in names}, "exchanges": shown}


def preferences(init: Path, folder: Path) -> dict[str, Any]:
    """Fine-tune by DPO on 90% of the pairs, split by hash: which held-out answer is likelier, and bits per byte."""
    training = {"training.sequence_length": 256, "training.optimizer.learning_rate": 1e-4}
    data, run = data_file("instruct/preference-data.json"), folder / "run"
    result = result_of(run, slm.finetune_prefer, 8, init=init, data=data, epochs=1, dtype="bf16", overrides=training)
    text = data_file(TEXT)
    bits = {name: evaluate_text(EvaluateConfig(model, text=text)) for name, model in (("before", init), ("after", run))}
    names = ("pairs", "held_out", "accuracy_before", "accuracy", "accuracy_interval", "led", "margin", "kl", "seconds")
    return {
        "task": "preference-data.json, DPO",
        **{name: result[name] for name in names},
        "bits_per_byte": {name: each.held_out.bits_per_byte for name, each in bits.items()},
        "text": TEXT,
    }
