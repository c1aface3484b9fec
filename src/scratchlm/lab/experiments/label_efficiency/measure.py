"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam.

The first fold is tested. Each seed draws labels from the other folds, at least two of each class, and gives every
network its own first weights and order of batches; a seed's larger draws contain its smaller ones. All methods learn
from the same draws. Settings are chosen once for each method, on a draw of one number of labels and another fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.evaluation.classes import best_threshold
from scratchlm.lab.experiments.config import LabelEfficiencyConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import every
from scratchlm.lab.shared.binary_scores import average_precision, compare_f1, compare_rankings, f1_score
from scratchlm.lab.shared.detectors import (
    FITTED,
    VALIDATED,
    Detector,
    Setting,
    detectors,
    grid,
    report_tuning,
    texts_of,
    tune,
)
from scratchlm.lab.shared.folds import Folded, read_folded
from scratchlm.lab.shared.networks import NetworkTexts
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model

TESTED = 0
"""The fold that is tested."""
SCORES = {"average_precision": "Average precision", "f1": "F1", "f1_at_threshold": "F1 at a threshold tuned on labels"}
BATCHES = {
    "random": ("random batches", False, 1.0),
    "random_longer": ("random batches, twice the steps", False, 2.0),
    "sorted": ("batches of similar length", True, 1.0),
    "sorted_longer": ("batches of similar length, twice the steps", True, 2.0),
}
"""Ways to train the pretrained model: a title, whether texts of similar length share a batch, and a factor of steps."""


@dataclass(frozen=True)
class Given:
    """What one method gives the test texts after some labels."""

    probabilities: np.ndarray
    threshold: float
    """The threshold tuned on the labels."""

    def classes(self, tuned: bool) -> np.ndarray:
        """Return the predicted classes at a threshold of 0.5, or at the tuned one."""
        return (self.probabilities >= (self.threshold if tuned else 0.5)).astype(np.int64)


Found = Mapping[int, Mapping[str, Given]]
"""What each method gives, by number of labels and by method."""


def run(config: LabelEfficiencyConfig, steps: Steps, out: Findings) -> None:
    """Train each method on increasing numbers of labels."""
    data = read_folded(config.files()["texts"], "2", "1", None)
    # One pretraining for all seeds: what differs between them is the labels, and the training on them.
    small = prepare_small_model(
        config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps.shared
    )
    out.timings["pretraining.seconds"] = small.seconds
    inside, _ = data.sides(TESTED)
    if config.sizes[-1] > len(inside):
        raise UserError(f"--sizes {config.sizes[-1]}: there are {len(inside):,} labels in all; give smaller numbers")
    tried = grid(learning_rate=config.learning_rates, epochs=config.epochs, fewest_steps=config.fewest_steps)
    tried_recurrent = grid(
        learning_rate=config.recurrent_learning_rates, epochs=config.recurrent_epochs,
        fewest_steps=config.recurrent_fewest_steps,
    )  # fmt: skip
    methods = detectors(small, tried, tried_recurrent, config.seed)
    tunings = {method.key: _tuned(method, data, config.tuned_labels, steps.shared) for method in methods}
    results: dict[int, dict[str, Given]] = {}
    for size in config.sizes:
        places, results[size] = drawn(data, inside, size, config.seed), {}
        for method in methods:
            scored = steps.once(f"{method.key}-{size}", _score, method, tunings[method.key]["setting"], data, places)
            results[size][method.key] = Given(np.array(scored["probabilities"]), scored["threshold"])
    truth, size = data.truth[data.folds == TESTED], config.sizes[-1]
    report(out, results, {method.key: method.name for method in methods}, truth)
    batches = steps.once("batches", _batches, small, tunings["pretrained"]["setting"], config.seed, data, size)
    report_batches(out, batches, results[size]["svm"], truth, size)
    report_tuning(out, methods, tunings, f"{config.tuned_labels} labels of folds {_and(FITTED)}")


def _and(folds: Sequence[int]) -> str:
    return " and ".join(map(str, folds))


def _tuned(method: Detector, data: Folded, size: int, steps: Steps) -> dict[str, Any]:
    """Return the best setting of a method and its trials."""
    if len(method.grid) == 1:
        return {"setting": method.grid[0], "tried": []}
    fitted = np.flatnonzero(np.isin(data.folds, FITTED))
    learned = texts_of(data, drawn(data, fitted, min(size, len(fitted)), 0))
    validated = texts_of(data, np.flatnonzero(data.folds == VALIDATED))
    choice: dict[str, Any] = steps.once(f"{method.step}-tuned", tune, method, learned, validated)
    return choice


def drawn(data: Folded, inside: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw indices of labelled texts, stratified by class, at least two of each class.

    A larger draw of the same seed contains a smaller one.
    """
    generator = np.random.default_rng(seed)
    sides = [generator.permutation(inside[data.truth[inside] == label]) for label in (0, 1)]
    positives = min(max(2, round(size * len(sides[1]) / len(inside))), len(sides[1]))
    return np.sort(np.concatenate([sides[0][: size - positives], sides[1][:positives]]))


def halves(truth: np.ndarray) -> np.ndarray:
    """Return which half each label is in, 0 or 1: the labels of each class by turns, so that both hold both classes."""
    each = np.zeros(len(truth), np.int64)
    for label in (0, 1):
        places = np.flatnonzero(truth == label)
        each[places] = np.arange(len(places)) % 2
    return each


def _score(method: Detector, setting: Setting, data: Folded, places: np.ndarray) -> dict[str, Any]:
    """Train on some labels; return the probabilities of the test fold, and the threshold tuned on the labels.

    The threshold has the best F1 on the labels when each half is scored after training on the other half.
    """
    texts, truth = texts_of(data, places)
    outside, _ = texts_of(data, np.flatnonzero(data.folds == TESTED))
    predicted = method.make(**setting).fit(texts, truth).predict_proba(outside)[:, 1]
    half, crossed = halves(np.array(truth)), np.zeros(len(truth))
    for side in (0, 1):
        model = method.make(**setting).fit(*texts_of(data, places[half != side]))
        crossed[half == side] = model.predict_proba(texts_of(data, places[half == side])[0])[:, 1]
    threshold = best_threshold(crossed, np.array(truth) == 1)
    return {"probabilities": [round(float(each), 9) for each in predicted], "threshold": threshold}


def _batches(small: SmallModel, setting: Setting, seed: int, data: Folded, size: int) -> dict[str, Any]:
    """Train the pretrained model on one number of labels in each way of `BATCHES`; return the test probabilities."""
    texts, truth = texts_of(data, drawn(data, data.sides(TESTED)[0], size, seed))
    outside, _ = texts_of(data, np.flatnonzero(data.folds == TESTED))
    results = {}
    for name, (_, by_length, factor) in BATCHES.items():
        model = detectors(small, (setting,), ({},), seed, by_length)[-1].make(**setting)
        assert isinstance(model, NetworkTexts)
        model = replace(model, epochs=factor * model.epochs, least_steps=round(factor * model.least_steps))
        predicted = model.fit(texts, truth).predict_proba(outside)[:, 1]
        learned = model.predict_proba(texts)[:, 1]
        train_f1 = f1_score(np.array(truth), (learned >= 0.5).astype(np.int64)).value
        results[name] = {"test": [round(float(each), 9) for each in predicted], "train_f1": train_f1}
    return results


def report(out: Findings, results: Found, names: Mapping[str, str], truth: np.ndarray) -> None:
    """Report the scores of each method at each number of labels, and add the claims."""
    for size, methods in results.items():
        for key, scores in methods.items():
            out.values[f"{key}.average_precision.{size}"] = average_precision(truth, scores.probabilities)
            out.values[f"{key}.f1.{size}"] = f1_score(truth, scores.classes(False))
            out.values[f"{key}.f1_at_threshold.{size}"] = f1_score(truth, scores.classes(True))
    sizes = list(results)
    for score, title in SCORES.items():
        rows: list[Row] = [[f"{size:,}", *(Cell(f"{key}.{score}.{size}") for key in names)] for size in sizes]
        out.table(f"{title} by number of labels", ["labels", *names.values()], rows)
        lines = {names[key]: (sizes, [f"{key}.{score}.{size}" for size in sizes]) for key in names}
        out.curves(f"{title} by number of labels", "labels", title, lines, logarithmic=True)
    claim_rankings(out, results, sizes[0], sizes[-1], truth)
    if len(sizes) > 1:
        claim_more_labels(out, results, sizes[-2], sizes[-1], truth)
    out.notes += [
        "each seed draws labels anew; all seeds share one pretrained model, whose own luck no interval covers",
        "much of the spam has a near duplicate in the training folds, because it is sent from templates",
        "the tuned threshold has the best F1 on the labels: each half is scored after training on the other half",
    ]


def claim_rankings(out: Findings, results: Found, few: int, many: int, truth: np.ndarray) -> None:
    """Add the claims about the ranking of the test messages, by average precision."""
    for key, better, other, size in (
        ("rules-win-at-first", "rules", "svm", few),
        ("designed-features-save-labels", "designed", "logistic", few),
        ("pretraining-saves-labels", "pretrained", "random", few),
        ("pretraining-helps-still", "pretrained", "random", many),
        ("svm-leads-still", "svm", "pretrained", many),
    ):
        one, two = (results[size][method].probabilities for method in (other, better))
        out.claim(key, out.gain(key, compare_rankings(truth, one, two)), few=few, many=many)


def claim_more_labels(out: Findings, results: Found, fewer: int, more: int, truth: np.ndarray) -> None:
    """Add the claim that the pretrained model gains from more labels, at both thresholds."""
    tests = []
    for end, tuned in (("", False), ("_at_threshold", True)):
        one, two = (results[size]["pretrained"].classes(tuned) for size in (fewer, more))
        tests.append(out.gain(f"more-labels-help{end}", compare_f1(truth, one, two)))
    out.claim("more-labels-help", every(*tests), more=more, fewer=fewer)


def report_batches(out: Findings, results: Mapping[str, Any], svm: Given, truth: np.ndarray, size: int) -> None:
    """Report what the order of the texts and the number of steps change for the pretrained model.

    `svm` is what the SVM gives the same test texts after the same labels.
    """
    predicted = {name: np.array(each["test"]) for name, each in results.items()}
    rows: list[Row] = []
    for name, (title, _, _) in BATCHES.items():
        classes = (predicted[name] >= 0.5).astype(np.int64)
        out.values |= {
            f"batches.{name}.average_precision": average_precision(truth, predicted[name]),
            f"batches.{name}.f1": f1_score(truth, classes),
            f"batches.{name}.train_f1": Value(results[name]["train_f1"]),
        }
        cells = [Cell(f"batches.{name}.{score}") for score in ("average_precision", "f1", "train_f1")]
        rows.append([title, *cells])
    header = ["", "average precision", "F1", "F1 on the training messages"]
    out.table(f"The small pretrained model on {size:,} labels, by batches", header, rows)
    gained = out.gain("batches.gain", compare_rankings(truth, predicted["sorted"], predicted["random"]))
    out.claim("random-batches-train-better", gained, size=size)
    gained = out.gain("svm-leads-longer", compare_rankings(truth, predicted["random_longer"], svm.probabilities))
    out.claim("svm-leads-longer", gained, size=size)
