"""`experiment ladder-spam`: the same messages, found to be spam or not by each kind of method.

Every message is tested once, by what learned from the other four folds. A decision is taken at a probability of one
half and, beside it, at the threshold that is best on the tested messages of the other folds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.statistics import Comparison, compare_statistics, comparison_of, spread, standard_error
from scratchlm.classic.bayes import NaiveBayes
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.protocol import TextClassifier
from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.rules import Majority, SpamRules
from scratchlm.evaluation.classes import best_threshold, calibration_error, f1_interval, f1_of, score
from scratchlm.lab.experiments.ladder_spam.config import LadderSpamConfig
from scratchlm.lab.harness.methods import INIT, Column, Method, Rung, add_ladder, mark_of_init
from scratchlm.lab.harness.outcome import Claim, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.folds import FOLDS, Folded, like_others, read_folded
from scratchlm.lab.shared.networks import NetworkTexts, Reader
from scratchlm.lab.shared.small_model import BOOKS, Ours, prepare_ours
from scratchlm.lab.shared.zero_shot import AskedModel
from scratchlm.model.config import DecoderConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.quickstart.run import TEACHING
from scratchlm.training.config import AdamWConfig, OptimizerConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

MARGIN = 0.01
"""Difference of F1 that is called none."""
QUESTION = "Is this text message spam? Answer yes or no.\n\nMessage: {text}"
COLUMNS = (
    Column("f1", "F1", interval=True),
    Column("f1_at_threshold", "F1 at threshold"),
    Column("average_precision", "average precision"),
    Column("accuracy", "accuracy", ".1%"),
    Column("calibration_error", "calibration error"),
)

adam = partial(AdamWConfig, weight_decay=0.01)
Make = Callable[[], TextClassifier]


def files(config: LadderSpamConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    found = {"texts": config.texts or config.data_file("classify/sms-spam.tsv"), "books": config.data_file(BOOKS)}
    if config.fold_file is not None:
        found["folds"] = config.fold_file
    if config.init is not None:
        found[INIT] = find_model(config.init) / "files.json"
    return found


def methods(ours: Ours, epochs: float, recurrent_epochs: float, seed: int, least_steps: int = 1) -> list[Method[Make]]:
    """Return the rungs, the oldest first; networks take at least so many steps, however few the labels."""

    def recurrent() -> Reader:
        shape = DecoderConfig(ours.tokenizer.vocabulary_size, width=96, layers=1, dropout=0.2, init_std=0.1)
        return Reader(build_recurrent(shape, "lstm", seed), ours.tokenizer)

    def network(
        make: Callable[[], SavedModel | Reader], epochs: float, optimizer: OptimizerConfig
    ) -> Callable[[], TextClassifier]:
        return lambda: NetworkTexts(make, epochs=epochs, optimizer=optimizer, least_steps=least_steps, seed=seed)

    return [
        Method("majority", "the commoner class", Majority),
        Method("rules", "hand-written rules", SpamRules),
        Method("bayes", "naive Bayes on words and pairs", NaiveBayes),
        Method("logistic", "TF-IDF of words, logistic regression", lambda: LinearTexts("words", "logistic")),
        Method("svm", "TF-IDF of words and characters, linear SVM", LinearTexts),
        Method("lstm", "recurrent network (LSTM)", network(recurrent, recurrent_epochs, adam(learning_rate=4e-3))),
        Method("random", "our model, from random weights", network(ours.random, epochs, TEACHING)),
        Method("pretrained", "our model, pretrained on books", network(ours.pretrained, epochs, TEACHING)),
    ]


def published(init: Path, mark: str, seed: int) -> list[Method[Make]]:
    """Return the rungs of a published model."""
    load = partial(load_model, find_model(init))
    settings: dict[str, Any] = {
        "epochs": 3,
        "optimizer": adam(5e-4),
        "batch_size": 16,
        "dtype": "bf16",
        "seed": seed,
    }
    taught = partial(NetworkTexts, load, adapter=LoRAConfig(rank=16, alpha=32.0), **settings)
    return [
        Method("asked", "published model, only asked", lambda: AskedModel(load(), QUESTION, ("no", "yes")), mark),
        Method("lora", "published model, taught with LoRA", taught, mark),
    ]


def run(config: LadderSpamConfig, steps: Steps, outcome: Outcome) -> None:
    """Climb the ladder."""
    data = read_folded(files(config)["texts"], config.text_column or _column(config, "2"),
                       config.label_column or _column(config, "1"), config.fold_file)  # fmt: skip
    ours = prepare_ours(config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    tested = np.flatnonzero(data.folds < config.folds)
    truth, folds = data.truth[tested], data.folds[tested]
    chances: dict[str, np.ndarray] = {}
    rungs = []
    climbed = methods(ours, config.epochs, config.recurrent_epochs, config.seed)
    if config.init is not None:
        climbed += published(config.init, mark_of_init(outcome), config.seed)
    for method in climbed:
        found = [
            steps.once(f"{method.step}-{fold}", partial(on_fold, method, data, fold)) for fold in range(config.folds)
        ]
        each = np.zeros(len(data.texts))
        for fold, result in enumerate(found):
            each[data.sides(fold)[1]] = result["chances"]
        chances[method.key] = each[tested]
        rungs.append(_rung(method, found, scores(chances[method.key], truth, folds, data.labels)))
    report(outcome, rungs, chances, tested, data)
    ours.tell(outcome)


def _column(config: LadderSpamConfig, place: str) -> str | None:
    """Return a column of the SMS spam collection, which names none."""
    return None if config.texts is not None else place


def on_fold(method: Method[Make], data: Folded, fold: int) -> dict[str, Any]:
    """Learn from four folds and test on the fifth."""
    inside, outside = data.sides(fold)
    started = time.perf_counter()
    model = method.make().fit([data.texts[i] for i in inside], data.truth[inside].tolist())
    trained = time.perf_counter()
    chances = model.predict_proba([data.texts[i] for i in outside])[:, 1]
    ended = time.perf_counter()
    return {
        "chances": [round(float(chance), 9) for chance in chances],
        "train_seconds": trained - started,
        "item_microseconds": 1e6 * (ended - trained) / len(outside),
        "megabytes": model.size() / 1e6,
    }


def at_threshold(chances: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return what each text is called at the threshold with the highest F1 on the texts of the other folds.

    With a single fold there are no others: the threshold is one half.
    """
    each = np.full(FOLDS, 0.5)
    for fold in np.unique(folds):
        others = folds != fold
        if others.any():
            each[fold] = best_threshold(chances[others], truth[others] == 1)
    return (chances >= each[folds]).astype(np.int64)


def scores(chances: np.ndarray, truth: np.ndarray, folds: np.ndarray, labels: tuple[str, str]) -> Mapping[str, Value]:
    """Score one method on all tested texts together."""
    both = np.stack([1 - chances, chances], 1)
    found = score(both, truth, labels, positive=1)
    tuned = at_threshold(chances, truth, folds)
    assert found.average_precision is not None
    return {
        "f1": Value(found.f1, *found.f1_interval),
        "f1_at_threshold": Value(f1_of(truth, tuned, 2, 1), *f1_interval(truth, tuned, 2, 1)),
        "average_precision": Value(found.average_precision),
        "accuracy": Value(found.accuracy, *found.accuracy_interval),
        "calibration_error": Value(calibration_error(both, truth)),
    }


def _rung(method: Method[Make], found: list[dict[str, Any]], values: Mapping[str, Value]) -> Rung:
    middle = {key: spread([fold[key] for fold in found]).median for key in found[0] if key != "chances"}
    return Rung(method.key, method.name, values, **middle)


def compared(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> Comparison:
    """Compare the F1 of two methods' answers on the same texts, second less first."""

    def gap(rows: np.ndarray) -> float:
        return f1_of(truth[rows], other[rows], 2, 1) - f1_of(truth[rows], one[rows], 2, 1)

    return compare_statistics(len(truth), gap)


def report(
    outcome: Outcome,
    rungs: list[Rung],
    chances: Mapping[str, np.ndarray],
    tested: np.ndarray,
    data: Folded,
) -> None:
    """Fill the outcome."""
    truth = data.truth[tested]
    outcome.values["texts"], outcome.values["sought"] = Value(len(truth)), Value(int(truth.sum()))
    halves = {key: (each >= 0.5).astype(np.int64) for key, each in chances.items()}
    title = f"{len(truth):,} texts, {int(truth.sum()):,} of them {data.labels[1]}, each tested once"
    add_ladder(outcome, title, rungs, COLUMNS, lambda a, b: compared(halves[a.key], halves[b.key], truth))
    value = outcome.values
    says = {
        "learning-beats-rules": ("Counting words beats rules written by hand", value["bayes.gain"].low),
        "pretraining-helps": ("Our model does better after reading books than from random weights",
                              value["pretrained.gain"].low),
    }  # fmt: skip
    outcome.claims.update({key: Claim(text, low is not None and low > 0) for key, (text, low) in says.items()})
    svm = compared(halves["pretrained"], halves["svm"], truth)
    outcome.values["svm.over_pretrained"] = Value(svm.difference, *svm.interval)
    outcome.claims["svm-holds-its-own"] = Claim(
        f"A linear SVM on words and characters is at most {MARGIN} of F1 behind our small pretrained model",
        svm.interval.low > -MARGIN,
    )
    cheap = outcome.timings["svm.item_microseconds"] < outcome.timings["pretrained.item_microseconds"]
    outcome.claims["svm-is-cheaper"] = Claim("and takes less time for a message", cheap)
    if "lora" in chances:
        tuned = at_threshold(chances["asked"], truth, data.folds[tested])
        claim_published(outcome, {**halves, "asked": tuned}, truth)
    right = (halves["rules"] == truth).astype(np.float64) - (halves["majority"] == truth)
    gain = comparison_of(float(right.mean()), standard_error(right))
    outcome.values["rules.accuracy_gain"] = Value(gain.difference, *gain.interval)
    outcome.claims["rules-beat-majority"] = Claim(
        "A few rules written by hand are right more often than calling everything by the commoner class",
        gain.interval.low > 0,
    )
    both = (halves["svm"] != truth) & (halves["pretrained"] != truth)
    outcome.values["wrong_by_both"] = Value(int(both.sum()))
    _tell_unlike(outcome, rungs, halves, truth, like_others(data)[tested])
    outcome.notes += [
        "spam is sent in templates: what has a near copy in another fold is left out of the last table",
        "the rules were written after reading spam of this collection, so they may have seen some of what is tested",
        "one seed of each network; the recurrent one sees the messages more often than ours, as it needs",
    ]
    if "lora" in chances:
        outcome.notes += [
            "pooling, rank, rate and epochs of the adapters were chosen on the first two folds, tested here too",
            "the wording of what is asked was the best of six on 400 of these messages, which flatters asking",
        ]


def _tell_unlike(
    outcome: Outcome, rungs: list[Rung], halves: Mapping[str, np.ndarray], truth: np.ndarray, alike: np.ndarray
) -> None:
    """Score the texts without a near copy in another fold apart, where there are some."""
    outcome.values["near_copies"] = Value(float(alike[truth == 1].mean()))
    if alike.all():
        return
    rows = []
    for rung in rungs:
        given, sure = halves[rung.key][~alike], truth[~alike]
        value = Value(f1_of(sure, given, 2, 1), *f1_interval(sure, given, 2, 1))
        outcome.values[f"{rung.key}.f1_unlike"] = value
        rows.append([rung.name, value.shown()])
    title = f"F1 on the {int((~alike).sum()):,} texts that are no near copy of one in another fold"
    outcome.tables.append(Table(title, ["", "F1"], rows))


def claim_published(outcome: Outcome, halves: Mapping[str, np.ndarray], truth: np.ndarray) -> None:
    """Compare a published model, asked and taught, with what came before.

    Of what is only asked, the answers at a threshold are taken: it prefers one of the two words whatever it reads.
    """
    for key, below, above, says in (
        (
            "rules-beat-asking",
            "asked",
            "rules",
            "Rules written by hand beat a published model that is only asked, at its best",
        ),
        ("teaching-beats-asking", "asked", "lora", "Taught with LoRA, the published model does better than that"),
        ("published-beats-ours", "pretrained", "lora", "and better than our small pretrained model"),
        ("published-beats-svm", "svm", "lora", "and better than a linear SVM on words and characters"),
    ):
        gain = compared(halves[below], halves[above], truth)
        outcome.values[f"{above}.over_{below}"] = Value(gain.difference, *gain.interval)
        outcome.claims[key] = Claim(says, gain.interval.low > 0)
