"""The report of a classifier: what it confuses, where it may say yes, how sure it may be. Opens offline."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchlm.base.runlog import LOG_FILE, read_log
from scratchlm.evaluation.classes import BINS
from scratchlm.runs.reports.run import Page

if TYPE_CHECKING:
    from scratchlm.runs.classify import ClassifyResult

CONFUSIONS = 30
"""Most pairs of classes that are listed where there are too many for a table."""
SQUARE = 12
"""Most classes whose confusions are shown as a square."""


def write_class_report(
    out: Path, result: ClassifyResult, chances: np.ndarray, truth: np.ndarray, positive: int | None
) -> None:
    """Write `report.html` of a run from its result, and the held-out probabilities `(N, C)` and truth `(N,)`."""
    page = Page(f"Classifier: {out.name}")
    told = dataclasses.replace(result, out=out.absolute().name)
    for line in str(told.__rich__()).splitlines():
        page.text(line)
    _learning(page, out, result)
    _confusion(page, result)
    page.heading("Each class")
    page.table(
        ["class", "texts", "precision", "recall", "F1"],
        [
            [each.label, f"{each.texts:,}", f"{each.precision:.3f}", f"{each.recall:.3f}", f"{each.f1:.3f}"]
            for each in result.scores.classes
        ],
    )
    if positive is not None:
        _threshold(page, result, chances[:, positive], truth == positive)
    _calibration(page, result, chances, truth)
    page.heading("Sure and wrong")
    page.text("Held-out texts that were called wrongly, the surest first. Some may be labelled wrongly.")
    rows = [[each.text, each.truth, each.given, f"{each.probability:.3f}"] for each in result.mistakes]
    page.table(["text", "is", "was called", "probability"], rows)
    page.write(out / "report.html")


def _learning(page: Page, out: Path, result: ClassifyResult) -> None:
    records = [record for record in read_log(out / LOG_FILE) if record["kind"] in ("train", "evaluation")]
    page.heading("Learning")
    measured = "validation" if result.validation_texts else "held out"
    kinds = {"training": "train", measured: "evaluation"}
    page.plot(
        "Loss",
        "step",
        "nats a text",
        {
            name: ([r["step"] for r in records if r["kind"] == kind], [r["loss"] for r in records if r["kind"] == kind])
            for name, kind in kinds.items()
        },
    )
    scored = [record for record in records if record["kind"] == "evaluation"]
    page.plot(f"F1, {measured}", "step", "F1", {"F1": ([r["step"] for r in scored], [r["f1"] for r in scored])})


def _confusion(page: Page, result: ClassifyResult) -> None:
    labels, table = result.labels, result.scores.confusion
    page.heading("What is confused")
    if len(labels) <= SQUARE:
        page.text("Rows are what texts are, columns what they were called.")
        page.table(["", *labels], [[label, *map(str, row)] for label, row in zip(labels, table, strict=True)])
        return
    pairs = [
        (count, labels[row], labels[column])
        for row, counts in enumerate(table)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    pairs = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:CONFUSIONS]
    page.table(["is", "was called", "texts"], [[true, given, str(count)] for count, true, given in pairs])


def _threshold(page: Page, result: ClassifyResult, chance: np.ndarray, sought: np.ndarray) -> None:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(sought, chance)
    page.heading("Where to say yes")
    chosen = (
        f"chosen by F1 on {result.validation_texts:,} texts that were neither trained on nor are scored here"
        if result.tuned
        else "for there were too few validation texts to choose another by"
    )
    page.text(
        f"{result.positive!r} is said from a probability of {result.threshold:.3f} on, {chosen}; the model folder "
        f"keeps this threshold. On the held-out texts F1 is {result.scores.f1:.3f} there, and {result.f1_at_half:.3f} "
        "from 0.5 on. The curve shows what every other threshold gives."
    )
    page.plot("Precision against recall", "recall", "precision", {str(result.positive): (recall, precision)})


def _calibration(page: Page, result: ClassifyResult, chances: np.ndarray, truth: np.ndarray) -> None:
    page.heading("How sure it may be")
    page.text(
        "Of the answers given with a probability of, say, 0.9, nine of ten should be right. Logits are divided by a "
        f"temperature of {result.temperature:.2f}, chosen on the validation texts; the gap on the held-out texts is "
        f"{result.calibration_error:.3f} before, and {result.calibration_error_after:.3f} after."
    )
    sure, right = chances.max(1), chances.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    filled = np.unique(bins)
    curve = [sure[bins == b].mean() for b in filled], [right[bins == b].mean() for b in filled]
    page.plot("Calibration", "probability", "share that is right", {"answers": curve, "ideal": ([0, 1], [0, 1])})
