"""What the report of a classifier shows beside its result: confused pairs, precision against recall, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchlm.evaluation.classes import BINS

if TYPE_CHECKING:
    from scratchlm.runs.classify import ClassifyResult

CONFUSIONS = 30
"""Most pairs of classes that are listed where there are too many for a table."""
SQUARE = 12
"""Most classes whose confusions are shown as a square."""


def class_charts(
    result: ClassifyResult, predicted: np.ndarray, truth: np.ndarray, positive: int | None
) -> dict[str, Any]:
    """Return what `classify.jinja` shows, from the held-out probabilities `(N, C)` and truth `(N,)`."""
    from sklearn.metrics import precision_recall_curve

    curve = None if positive is None else precision_recall_curve(truth == positive, predicted[:, positive])
    sure, right = predicted.max(1), predicted.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    filled = np.unique(bins)
    labels = result.labels
    pairs = [
        (labels[row], labels[column], int(count))
        for (row, column), count in np.ndenumerate(result.scores.confusion)
        if count and row != column
    ]
    return {
        "square": SQUARE,
        "confused": sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))[:CONFUSIONS],
        "precision_recall": None if curve is None else (curve[1], curve[0]),
        "calibration": ([sure[bins == b].mean() for b in filled], [right[bins == b].mean() for b in filled]),
    }
