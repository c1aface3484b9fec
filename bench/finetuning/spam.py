"""Spam in five folds: a fine-tuned model compared with rules, naive Bayes, and a linear SVM on words and characters.

Messages that are equal when lower-cased and stripped count once: 5,159 remain. Each is tested once, by a model trained
on the other folds. The package stores the folds by the beginning of each message's SHA-256. Scores pool all folds, at a
threshold of 0.5 and at the threshold with the best F1 on the test messages of the other folds. The model's pooling,
rank, epochs and learning rate were tuned on folds 0 and 1; nothing else was tuned on a test fold.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.store import data_file

import scratchlm as slm
from scratchlm.base.files import read_json, write_json
from scratchlm.base.statistics import compare_statistics
from scratchlm.classic.bayes import NaiveBayes
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.protocol import TextClassifier
from scratchlm.classic.rules import Majority, SpamRules
from scratchlm.evaluation.classes import f1_interval, f1_of, score
from scratchlm.generation.classifier import Classifier
from scratchlm.lab.experiments.ladder_spam.measure import at_threshold
from scratchlm.lab.shared.folds import read_folded
from scratchlm.model.loraconfig import LoRAConfig

LABELS = ("ham", "spam")

OLDER: dict[str, Callable[[], TextClassifier]] = {
    "majority": Majority,
    "rules": SpamRules,
    "naive Bayes": NaiveBayes,
    "words + characters + linear SVM": LinearTexts,
}
"""Methods older than language models."""


def model_on_fold(
    init: Path, folder: Path, texts: Sequence[str], truth: np.ndarray, folds: np.ndarray, fold: int
) -> dict[str, Any]:
    """Fine-tune a model on all folds but one with the function of the command; a finished run is not repeated."""
    file = folder / f"fold-{fold}.json"
    if not file.exists():
        outside = folds == fold
        for name, chosen in (("train", ~outside), ("test", outside)):
            rows = [f"{LABELS[truth[i]]}\t{' '.join(texts[i].split())}" for i in np.flatnonzero(chosen)]
            (folder / f"{name}-{fold}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
        result = slm.finetune_classify(
            init=init, data=folder / f"train-{fold}.tsv", held_out=folder / f"test-{fold}.tsv",
            out=folder / f"run-{fold}", force=True, lora=True, adapter=LoRAConfig(rank=16, alpha=32), epochs=3,
            pooling="mean", keep="last", validation=0.0, overrides={"training.optimizer.learning_rate": 5e-4},
        )  # fmt: skip
        tested = [" ".join(texts[i].split()) for i in np.flatnonzero(outside)]
        answers = Classifier.load(folder / f"run-{fold}").classify(tested)
        predicted = [answer.probabilities["spam"] for answer in answers]
        write_json(file, {"seconds": result.seconds, "steps": result.steps, "chances": predicted})
        print(f"fold {fold}: {result.scores.f1:.3f} after {result.seconds:.0f} s", flush=True)
    return read_json(file)


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Test every message once with each method, and compare each method with the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    data = read_folded(data_file("classify/sms-spam.tsv"), "2", "1", None)
    texts, truth, folds = data.texts, data.truth, data.folds
    predicted = {name: np.zeros(len(texts)) for name in [*OLDER, "SmolLM2-135M with LoRA"]}
    seconds: dict[str, list[float]] = {name: [] for name in predicted}
    for fold in range(5):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for name, method in OLDER.items():
            started = time.perf_counter()
            model = method().fit([texts[i] for i in inside], truth[inside].tolist())
            predicted[name][outside] = model.predict_proba([texts[i] for i in outside])[:, 1]
            seconds[name].append(time.perf_counter() - started)
        found = model_on_fold(init, folder, texts, truth, folds, fold)
        predicted["SmolLM2-135M with LoRA"][outside] = found["chances"]
        seconds["SmolLM2-135M with LoRA"].append(found["seconds"])
    return {
        "task": "SMS spam, five folds pooled: every message tested once",
        "messages": len(texts),
        "spam": int(truth.sum()),
        "methods": {name: summary(value, truth, folds, seconds[name]) for name, value in predicted.items()},
        "compared": comparisons(predicted, truth, folds),
    }


def summary(predicted: np.ndarray, truth: np.ndarray, folds: np.ndarray, seconds: Sequence[float]) -> dict[str, Any]:
    """Return the scores of one method."""
    scores = score(np.stack([1 - predicted, predicted], 1), truth, LABELS, positive=1)
    tuned = at_threshold(predicted, truth, folds)
    return {
        "f1": scores.f1,
        "f1_interval": scores.f1_interval,
        "f1_at_threshold": f1_of(truth, tuned, 2, 1),
        "f1_at_threshold_interval": f1_interval(truth, tuned, 2, 1),
        "average_precision": scores.average_precision,
        "accuracy": scores.accuracy,
        "confusion": scores.confusion,
        "seconds_a_fold": [round(value, 2) for value in seconds],
    }


def comparisons(predicted: dict[str, np.ndarray], truth: np.ndarray, folds: np.ndarray) -> list[dict[str, Any]]:
    """Compare the F1 of each method with the one before it, on the same messages, at both thresholds."""
    found = []
    for before, after in itertools.pairwise(predicted):
        for decision in ("one half", "best of other folds"):
            one, other = (
                (each >= 0.5).astype(int) if decision == "one half" else at_threshold(each, truth, folds)
                for each in (predicted[before], predicted[after])
            )

            def gap(rows: np.ndarray, one: np.ndarray = one, other: np.ndarray = other) -> float:
                return f1_of(truth[rows], other[rows], 2, 1) - f1_of(truth[rows], one[rows], 2, 1)

            compared = compare_statistics(len(truth), gap)
            found.append({"smallest_difference": compared.detectable, "after": after, "before": before,
                          "decision": decision, "f1_difference": compared.difference, "interval": compared.interval,
                          "p_value": compared.p_value})  # fmt: skip
    return found
