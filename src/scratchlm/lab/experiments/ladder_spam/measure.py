"""`experiment ladder-spam`: spam detection on the same messages by each kind of method.

Five-fold cross-validation: every message is tested once, by a method trained on the other four folds. Scores use a
threshold of 0.5 and also the threshold with the highest F1 on the test messages of the other folds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.statistics import spread
from scratchlm.classic.bayes import NaiveBayes
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.protocol import TextClassifier
from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.rules import Majority, SpamRules
from scratchlm.evaluation.classes import calibration_error, f1_interval, f1_of, score
from scratchlm.lab.experiments.ladder_spam.claims import at_threshold, report
from scratchlm.lab.experiments.ladder_spam.config import LadderSpamConfig
from scratchlm.lab.harness.methods import INIT, Method, MethodResult, init_hash
from scratchlm.lab.harness.outcome import Outcome, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.folds import Folded, read_folded
from scratchlm.lab.shared.networks import NetworkTexts, Reader
from scratchlm.lab.shared.small_model import BOOKS, SmallModel, prepare_small_model
from scratchlm.lab.shared.zero_shot import ZeroShotClassifier
from scratchlm.model.config import DecoderConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.quickstart.run import TEACHING
from scratchlm.training.config import AdamWConfig, OptimizerConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

QUESTION = "Is this text message spam? Answer yes or no.\n\nMessage: {text}"

adam = partial(AdamWConfig, weight_decay=0.01)
Make = Callable[[], TextClassifier]


def files(config: LadderSpamConfig) -> dict[str, Path]:
    """Return the input files."""
    found = {"texts": config.texts or config.data_file("classify/sms-spam.tsv"), "books": config.data_file(BOOKS)}
    if config.fold_file is not None:
        found["folds"] = config.fold_file
    if config.init is not None:
        found[INIT] = find_model(config.init) / "files.json"
    return found


def methods(
    small: SmallModel, epochs: float, recurrent_epochs: float, seed: int, least_steps: int = 1
) -> list[Method[Make]]:
    """Return the methods, the oldest first; networks are trained for at least `least_steps` steps."""

    def recurrent() -> Reader:
        shape = DecoderConfig(small.tokenizer.vocabulary_size, width=96, layers=1, dropout=0.2, init_std=0.1)
        return Reader(build_recurrent(shape, "lstm", seed), small.tokenizer)

    def network(
        make: Callable[[], SavedModel | Reader], epochs: float, optimizer: OptimizerConfig
    ) -> Callable[[], TextClassifier]:
        return lambda: NetworkTexts(make, epochs=epochs, optimizer=optimizer, least_steps=least_steps, seed=seed)

    return [
        Method("majority", "majority baseline", Majority),
        Method("rules", "hand-written rules", SpamRules),
        Method("bayes", "naive Bayes on words and pairs", NaiveBayes),
        Method("logistic", "TF-IDF of words, logistic regression", lambda: LinearTexts("words", "logistic")),
        Method("svm", "TF-IDF of words and characters, linear SVM", LinearTexts),
        Method("lstm", "recurrent network (LSTM)", network(recurrent, recurrent_epochs, adam(learning_rate=4e-3))),
        Method("random", "small model, from random weights", network(small.random, epochs, TEACHING)),
        Method("pretrained", "small model, pretrained on books", network(small.pretrained, epochs, TEACHING)),
    ]


def published(init: Path, hash_prefix: str, seed: int) -> list[Method[Make]]:
    """Return the methods that use a published model."""
    load = partial(load_model, find_model(init))
    settings: dict[str, Any] = {
        "epochs": 3,
        "optimizer": adam(5e-4),
        "batch_size": 16,
        "dtype": "bf16",
        "seed": seed,
    }
    fine_tuned = partial(NetworkTexts, load, adapter=LoRAConfig(rank=16, alpha=32.0), **settings)
    return [
        Method(
            "asked",
            "published model, zero-shot",
            lambda: ZeroShotClassifier(load(), QUESTION, ("no", "yes")),
            hash_prefix,
        ),
        Method("lora", "published model, fine-tuned with LoRA", fine_tuned, hash_prefix),
    ]


def run(config: LadderSpamConfig, steps: Steps, outcome: Outcome) -> None:
    """Run and compare all methods."""
    data = read_folded(files(config)["texts"], config.text_column or _column(config, "2"),
                       config.label_column or _column(config, "1"), config.fold_file)  # fmt: skip
    small = prepare_small_model(
        config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps
    )
    tested = np.flatnonzero(data.folds < config.folds)
    truth, folds = data.truth[tested], data.folds[tested]
    probabilities: dict[str, np.ndarray] = {}
    results = []
    chosen = methods(small, config.epochs, config.recurrent_epochs, config.seed)
    if config.init is not None:
        chosen += published(config.init, init_hash(outcome), config.seed)
    for method in chosen:
        found = [
            steps.once(f"{method.step}-{fold}", partial(on_fold, method, data, fold)) for fold in range(config.folds)
        ]
        each = np.zeros(len(data.texts))
        for fold, result in enumerate(found):
            each[data.sides(fold)[1]] = result["probabilities"]
        probabilities[method.key] = each[tested]
        results.append(_result(method, found, scores(probabilities[method.key], truth, folds, data.labels)))
    report(outcome, results, probabilities, tested, data)
    small.report(outcome)


def _column(config: LadderSpamConfig, place: str) -> str | None:
    """Return a column number of the SMS spam collection, which has no header; None for other texts."""
    return None if config.texts is not None else place


def on_fold(method: Method[Make], data: Folded, fold: int) -> dict[str, Any]:
    """Train on the other folds and test on this one."""
    inside, outside = data.sides(fold)
    started = time.perf_counter()
    model = method.make().fit([data.texts[i] for i in inside], data.truth[inside].tolist())
    trained = time.perf_counter()
    probabilities = model.predict_proba([data.texts[i] for i in outside])[:, 1]
    ended = time.perf_counter()
    return {
        "probabilities": [round(float(each), 9) for each in probabilities],
        "train_seconds": trained - started,
        "item_microseconds": 1e6 * (ended - trained) / len(outside),
        "megabytes": model.size() / 1e6,
    }


def scores(
    probabilities: np.ndarray, truth: np.ndarray, folds: np.ndarray, labels: tuple[str, str]
) -> Mapping[str, Value]:
    """Score one method on the test texts of all folds together."""
    both = np.stack([1 - probabilities, probabilities], 1)
    found = score(both, truth, labels, positive=1)
    tuned = at_threshold(probabilities, truth, folds)
    assert found.average_precision is not None
    return {
        "f1": Value(found.f1, *found.f1_interval),
        "f1_at_threshold": Value(f1_of(truth, tuned, 2, 1), *f1_interval(truth, tuned, 2, 1)),
        "average_precision": Value(found.average_precision),
        "accuracy": Value(found.accuracy, *found.accuracy_interval),
        "calibration_error": Value(calibration_error(both, truth)),
    }


def _result(method: Method[Make], found: list[dict[str, Any]], values: Mapping[str, Value]) -> MethodResult:
    middle = {key: spread([fold[key] for fold in found]).median for key in found[0] if key != "probabilities"}
    return MethodResult(method.key, method.name, values, **middle)
