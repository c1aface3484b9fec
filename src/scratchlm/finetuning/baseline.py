"""A linear model on the same labelled texts: the first thing to compare a classifier with, kept beside it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scratchlm.base.statistics import Interval
from scratchlm.classic.linear import LinearTexts
from scratchlm.evaluation.classes import best_temperature, f1_interval, f1_of
from scratchlm.finetuning.small import MOST_TEXTS
from scratchlm.text.split import hash_fraction

CHARACTERS = 20_000_000
"""Characters that the linear model learns from at most: its features take some hundred bytes for each."""
VALIDATED = 4_000_000
"""Characters up to which it is cross-validated too, which takes twice as long again."""
FOLDS = 3
HIGH = 0.95
"""Cross-validated F1 from which on a network has little to gain."""
LONG = 0.2
"""Part of the texts longer than the context from which on a network misses much of what the linear model reads."""


@dataclass(frozen=True)
class Baseline:
    """The held-out scores of TF-IDF features with a linear SVM, at its own threshold."""

    f1: float
    f1_interval: Interval
    accuracy: float
    training_texts: int
    characters: int | None
    """Characters of each text that were read, where they were too many in all."""
    cross_validated: float | None
    """F1 on the training texts, each scored by a model that did not learn from it; None where they are too many."""
    temperature: float
    """Divisor of its margins, by those of cross-validation."""
    seconds: float
    """Of training and scoring, without cross-validation."""

    def __str__(self) -> str:
        cut = "" if self.characters is None else f" on the first {self.characters:,} characters of each text"
        low, high = self.f1_interval
        return f"F1 {self.f1:.3f} ({low:.3f} to {high:.3f}){cut}, in {self.seconds:.1f} s"

    def advice(self, long: float) -> str | None:
        """Return what to expect of a network, before it is trained; `long` is the part of texts that it must cut."""
        score = self.f1 if self.cross_validated is None else self.cross_validated
        better = "the linear model is often better"
        if long >= LONG:
            reason = f"{long:.0%} of the texts are longer than the network reads at once; on such {better}"
        elif score >= HIGH:
            reason = f"with an F1 of {score:.3f}, the linear model leaves a network little to gain"
        elif self.training_texts <= MOST_TEXTS:
            reason = f"{self.training_texts} texts are few to fine-tune on; with so few {better}"
        else:
            return None
        return f"advice: {reason}. It is kept beside the network; scratchlm classify takes the better one"


def linear_baseline(
    texts: Sequence[str],
    truth: Sequence[int],
    held_out: Sequence[str],
    held_out_truth: Int[np.ndarray, " N"],
    positive: int | None,
) -> tuple[Baseline, LinearTexts]:
    """Train words, pairs of words and runs of characters with a linear SVM, and score it on what is held out.

    The temperature of its probabilities is chosen by cross-validation on the training texts. Takes seconds for
    thousands of short texts and minutes at `CHARACTERS`, beyond which each text is cut.
    """
    started = time.perf_counter()
    total = sum(map(len, texts))
    most = None if total <= CHARACTERS else max(1, CHARACTERS // len(texts))
    cut = [text[:most] for text in texts]
    model = _fitted(cut, truth)
    predicted = model.margins([text[:most] for text in held_out]).argmax(1)
    seconds = round(time.perf_counter() - started, 2)
    classes, cross_validated, temperature = int(max(truth)) + 1, None, 1.0
    if total <= VALIDATED and (validated := _cross_validated(cut, np.array(truth), classes)) is not None:
        margins, true = validated
        cross_validated = f1_of(true, margins.argmax(1), classes, positive)
        temperature = _temperature(margins, true)
    return Baseline(
        f1=f1_of(held_out_truth, predicted, classes, positive),
        f1_interval=f1_interval(held_out_truth, predicted, classes, positive),
        accuracy=float((predicted == held_out_truth).mean()),
        training_texts=len(texts),
        characters=most,
        cross_validated=cross_validated,
        temperature=temperature,
        seconds=seconds,
    ), model


def _fitted(texts: Sequence[str], truth: Sequence[int]) -> LinearTexts:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is scored as it stands
        return LinearTexts().fit(texts, truth)


def _cross_validated(
    texts: Sequence[str], truth: Int[np.ndarray, " N"], classes: int
) -> tuple[Float[np.ndarray, "M C"], Int[np.ndarray, " M"]] | None:
    """Return margins and classes of the texts, each by a model that learned from the other folds.

    Copies of a text share a fold. A class with fewer different texts than folds is learned by all and not scored; None
    where no class is left.
    """
    marks = np.array([hash_fraction(f"fold {text}") for text in texts])
    fold = np.full(len(texts), -1)
    for label in range(classes):
        distinct = sorted(set(marks[truth == label].tolist()))
        if len(distinct) >= FOLDS:
            places = {mark: index % FOLDS for index, mark in enumerate(distinct)}
            fold[truth == label] = [places[mark] for mark in marks[truth == label]]
    if (fold < 0).all():
        return None
    margins, true = [], []
    for number in range(FOLDS):
        learned, scored = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        model = _fitted([texts[index] for index in learned], truth[learned].tolist())
        margins.append(model.margins([texts[index] for index in scored]))
        true.append(truth[scored])
    return np.concatenate(margins), np.concatenate(true)


def _temperature(margins: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]) -> float:
    """Return the temperature with the lowest loss, as if one more text, the least sure one, were called wrongly.

    Without that, margins that are all right would make every probability 1.
    """
    ordered = np.sort(margins, 1)
    closest = margins[int((ordered[:, -1] - ordered[:, -2]).argmin())]
    second = int(closest.argsort()[-2])
    return best_temperature(np.concatenate([margins, closest[None]]), np.append(truth, second))
