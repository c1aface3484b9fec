"""What a linear model reaches on the same labelled texts: the first thing to compare a classifier with."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from scratchlm.base.statistics import Interval
from scratchlm.classic.linear import LinearTexts
from scratchlm.evaluation.classes import f1_interval, f1_of

CHARACTERS = 20_000_000
"""Characters that the linear model learns from at most: its features take some hundred bytes for each."""


@dataclass(frozen=True)
class Baseline:
    """The held-out scores of TF-IDF features with a linear SVM, at its own threshold."""

    f1: float
    f1_interval: Interval
    accuracy: float
    training_texts: int
    characters: int | None
    """Characters of each text that were read, where they were too many in all."""
    seconds: float

    def __str__(self) -> str:
        cut = "" if self.characters is None else f" on the first {self.characters:,} characters of each text"
        low, high = self.f1_interval
        return f"F1 {self.f1:.3f} ({low:.3f} to {high:.3f}){cut}, in {self.seconds:.1f} s"


def linear_baseline(
    texts: Sequence[str],
    truth: Sequence[int],
    held_out: Sequence[str],
    held_out_truth: Int[np.ndarray, " N"],
    positive: int | None,
) -> Baseline:
    """Train words, pairs of words and runs of characters with a linear SVM, and score it on what is held out.

    Takes seconds for thousands of short texts and minutes at `CHARACTERS`, beyond which each text is cut.
    """
    from sklearn.exceptions import ConvergenceWarning

    started = time.perf_counter()
    most = None if sum(map(len, texts)) <= CHARACTERS else max(1, CHARACTERS // len(texts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is scored as it stands
        model = LinearTexts().fit([text[:most] for text in texts], truth)
    given = model.predict_proba([text[:most] for text in held_out]).argmax(1)
    classes = int(max(truth)) + 1
    return Baseline(
        f1=f1_of(held_out_truth, given, classes, positive),
        f1_interval=f1_interval(held_out_truth, given, classes, positive),
        accuracy=float((given == held_out_truth).mean()),
        training_texts=len(texts),
        characters=most,
        seconds=round(time.perf_counter() - started, 2),
    )
