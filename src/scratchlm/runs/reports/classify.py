"""What the report of a classifier shows beside its result: confused pairs, precision against recall, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchlm.evaluation.classes import BINS
from scratchlm.runs.reports.page import write_report

if TYPE_CHECKING:
    from scratchlm.runs.classify import ClassifyResult

CONFUSIONS = 30
"""Most pairs of classes that are listed where there are too many for a table."""
SQUARE = 12
"""Most classes whose confusions are shown as a square."""


def write_class_report(
    out: Path, result: ClassifyResult, predicted: np.ndarray, truth: np.ndarray, positive: int | None
) -> None:
    """Write `report.html` of a run from its result, and the held-out probabilities `(N, C)` and truth `(N,)`."""
    from sklearn.metrics import precision_recall_curve

    curve = None if positive is None else precision_recall_curve(truth == positive, predicted[:, positive])
    sure, right = predicted.max(1), predicted.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    filled = np.unique(bins)
    write_report(
        out,
        "classify.jinja",
        result=result,
        square=SQUARE,
        confused=_confused(result),
        precision_recall=None if curve is None else (curve[1], curve[0]),
        calibration=([sure[bins == b].mean() for b in filled], [right[bins == b].mean() for b in filled]),
    )


def _confused(result: ClassifyResult) -> list[tuple[str, str, int]]:
    """Return true class, given class and the number of texts of the pairs that are confused most."""
    labels = result.labels
    pairs = [
        (labels[row], labels[column], count)
        for row, counts in enumerate(result.scores.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))[:CONFUSIONS]
