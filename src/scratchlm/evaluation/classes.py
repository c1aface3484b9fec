"""Scores of a classifier: accuracy, F1, confusion matrix, calibration error, and the best decision threshold.

Everything is computed from the logits of held-out texts. A threshold or a temperature that was chosen on the same texts
makes their scores too high: choose on one part of the texts, and score on another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scratchlm.base.statistics import Interval, bootstrap_interval, wilson_interval

BINS = 15
"""Bins of equal width between 0 and 1 in which confidence and accuracy are compared (Guo et al. 2017)."""


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class against the rest."""

    label: str
    texts: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """The scores of a classifier on held-out texts."""

    texts: int
    accuracy: float
    accuracy_interval: Interval
    f1: float
    """Of the positive class where there are two, else the mean over classes (macro F1)."""
    f1_interval: Interval
    average_precision: float | None
    """Area under the precision-recall curve of the positive class; None with more than two classes."""
    classes: list[ClassScore]
    confusion: list[list[int]]
    """Texts by true class (rows) and predicted class (columns)."""


def softmax(logits: Float[np.ndarray, "N C"], temperature: float = 1.0) -> Float[np.ndarray, "N C"]:
    """Return the softmax of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def predicted_classes(
    probabilities: Float[np.ndarray, "N C"], positive: int | None = None, threshold: float = 0.5
) -> Int[np.ndarray, " N"]:
    """Return the class of each text: the likeliest, or with two classes `positive` from a threshold on."""
    if positive is None:
        return probabilities.argmax(1)
    return np.where(probabilities[:, positive] >= threshold, positive, 1 - positive)


def score(
    probabilities: Float[np.ndarray, "N C"],
    truth: Int[np.ndarray, " N"],
    labels: Sequence[str],
    positive: int | None = None,
    threshold: float = 0.5,
) -> Scores:
    """Score the predictions that follow from probabilities. With two classes, `positive` is the positive class."""
    from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

    predicted = predicted_classes(probabilities, positive, threshold)
    known = list(range(len(labels)))
    each = np.stack(precision_recall_fscore_support(truth, predicted, labels=known, zero_division=0.0))  # (4, C)
    right = int((truth == predicted).sum())
    rows = zip(labels, *each, strict=True)
    area = None if positive is None else float(average_precision_score(truth == positive, probabilities[:, positive]))
    return Scores(
        texts=len(truth),
        accuracy=right / len(truth),
        accuracy_interval=wilson_interval(right, len(truth)),
        f1=f1_of(truth, predicted, len(labels), positive),
        f1_interval=f1_interval(truth, predicted, len(labels), positive),
        average_precision=area,
        classes=[ClassScore(label, int(n), float(p), float(r), float(f)) for label, p, r, f, n in rows],
        confusion=confusion_matrix(truth, predicted, labels=known).tolist(),
    )


def f1_of(
    truth: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " N"], classes: int, positive: int | None = None
) -> float:
    """Return F1 of the positive class, or its mean over the classes that occur; 0 without a true or predicted one."""
    pairs = np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    hits, true, said = pairs.diagonal(), pairs.sum(1), pairs.sum(0)
    each = 2 * hits / np.maximum(true + said, 1)
    return float(each[positive]) if positive is not None else float(each[(true + said) > 0].mean())


def f1_interval(
    truth: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " N"], classes: int, positive: int | None = None
) -> Interval:
    """Return the bootstrap interval of F1 over texts."""

    def of(sample: np.ndarray) -> float:
        chosen = sample.astype(np.int64)
        return f1_of(truth[chosen], predicted[chosen], classes, positive)

    return bootstrap_interval(np.arange(len(truth), dtype=np.float64), of, samples=1000)


def calibration_error(probabilities: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]) -> float:
    """Return the expected calibration error (ECE): the gap between confidence and accuracy, averaged over texts.

    Confidence is the probability of the likeliest class; the gap is that of its bin, one of `BINS` of equal width.
    """
    sure, right = probabilities.max(1), probabilities.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    return float(sum(gaps) / len(truth))


def best_temperature(logits: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]) -> float:
    """Return the temperature with the lowest loss of the true classes (Guo et al. 2017, arXiv 1706.04599).

    The loss is convex in its inverse; golden-section search between 1/20 and 20 finds it.
    """
    if not len(truth):
        return 1.0

    def loss(inverse: float) -> float:
        return -float(np.log(softmax(logits, 1 / inverse)[np.arange(len(truth)), truth] + 1e-300).mean())

    low, high, ratio = 1 / 20, 20.0, (math.sqrt(5) - 1) / 2
    while high - low > 1e-4 * high:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return 2 / (low + high)


def helpful_temperature(logits: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]) -> float:
    """Return the best temperature where one lowers the calibration error of texts that it was not fitted on, else 1.

    For this, a temperature is fitted on each half of the texts and applied to the other half. Where every text is
    called rightly, any colder temperature has a lower loss: there it stays 1.
    """
    if (logits.argmax(1) == truth).all():
        return 1.0
    calibrated, even = logits.astype(np.float64), np.arange(len(truth)) % 2 == 0
    for half in (even, ~even):
        calibrated[~half] /= best_temperature(logits[half], truth[half])
    if calibration_error(softmax(calibrated), truth) >= calibration_error(softmax(logits), truth):
        return 1.0
    return best_temperature(logits, truth)


def best_threshold(probabilities: Float[np.ndarray, " N"], positive: Float[np.ndarray, " N"]) -> float:
    """Return the threshold with the highest F1 of the positive class, in the middle of the range that gives it."""
    from sklearn.metrics import precision_recall_curve

    if not positive.any() or positive.all():
        return 0.5  # one class only: every threshold gives the same F1
    precision, recall, thresholds = precision_recall_curve(positive, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())
    below = float(thresholds[best - 1]) if best else 0.0
    return (below + float(thresholds[best])) / 2
