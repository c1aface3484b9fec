"""banking77: classify a customer's question into 77 intents, tested on its test file, which no setting was tuned on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.store import data_file

from scratchlm.base.files import read_json
from scratchlm.classic.linear import LinearTexts
from scratchlm.finetuning.config import ClassifyTrainingConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.classify import finetune_classify
from scratchlm.text.labelled import labels_of, read_labelled
from scratchlm.text.records import read_records


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Train on the training file and test on the test file; a linear SVM on words and characters is the baseline."""
    run = folder / "run"
    train, test = data_file("classify/banking77-train.csv"), data_file("classify/banking77-test.csv")
    if not (run / "result.json").exists():
        config = ClassifyTrainingConfig(
            init=init,
            data=train,
            held_out=test,
            out=run,
            force=True,
            lora=True,
            adapter=LoRAConfig(rank=16, alpha=32),
            epochs=4,
            pooling="mean",
            keep="last",
            validation=0.0,
            dtype="auto",
        )
        optimizer = replace(config.training.optimizer, learning_rate=1e-3)  # type: ignore[type-var]
        finetune_classify(replace(config, training=replace(config.training, optimizer=optimizer)))
    result = read_json(run / "result.json")
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
    """Return the accuracy of the linear SVM."""
    train_texts, test_texts = (read_labelled(read_records(path), "text", "category") for path in (train, test))
    numbers = {label: number for number, label in enumerate(labels_of(train_texts, test_texts))}
    model = LinearTexts(C=1).fit([each.text for each in train_texts], [numbers[each.label] for each in train_texts])
    given = model.predict_proba([each.text for each in test_texts]).argmax(1)
    return float((given == [numbers[each.label] for each in test_texts]).mean())
