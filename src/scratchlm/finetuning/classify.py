"""`scratchlm finetune classify`: labelled texts in, a classifier and an account of its mistakes out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scratchlm.base.device import DTYPES
from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import MODEL
from scratchlm.base.terminal import say
from scratchlm.classic.linear import LinearTexts
from scratchlm.data.batches import LabelledBatches, pad_of
from scratchlm.evaluation.classes import (
    BINS,
    Scores,
    best_threshold,
    calibration_error,
    f1_of,
    helpful_temperature,
    predicted_classes,
    score,
    softmax,
)
from scratchlm.finetuning.baseline import FOLDS, Baseline, linear_baseline
from scratchlm.finetuning.config import ClassifyTrainingConfig
from scratchlm.finetuning.driver import FinetuneResult, KeepBest, Stage, finetune, with_split
from scratchlm.finetuning.head import add_classes, balanced_weights
from scratchlm.finetuning.small import resolve_classify
from scratchlm.generation.classifier import text_logits
from scratchlm.generation.classrows import ClassRows, encode_rows
from scratchlm.model.decoder import Decoder
from scratchlm.reports.changes import judge_classes
from scratchlm.text.config import LongTexts
from scratchlm.text.labelled import Labelled, labels_of, read_labelled, two_parts
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split, split_of_rows, two_sides
from scratchlm.training.loop import OnStep
from scratchlm.training.loss import class_loss
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model
from scratchlm.weights.linear import HeldOutF1, LinearSettings

ERRORS_SHOWN = 20
SURE = 0.9
"""Least probability of a wrong answer that is listed as sure and wrong."""
LEAST_CHOSEN_BY = 10
"""Validation texts, of two classes in each, from which on a temperature and a threshold are chosen by them."""
CONFUSIONS = 30
"""Most pairs of classes that are listed where there are too many for a table."""
SQUARE = 12
"""Most classes whose confusions are shown as a square."""


@dataclass(frozen=True)
class Mistake:
    """A held-out text that was called something else, and how sure the classifier was."""

    text: str
    truth: str
    given: str
    probability: float


@dataclass(repr=False)
class ClassifyResult(FinetuneResult):
    """What came out, on the held-out texts: nothing was chosen on them."""

    format: ClassVar[int] = 3
    why: ClassVar[str] = "F1 on the validation texts was the best"
    out: str
    labels: tuple[str, ...]
    positive: str | None
    training_texts: int
    validation_texts: int
    """Texts that state, temperature and threshold were chosen on."""
    long: LongTexts
    """How texts longer than the context were read."""
    long_texts: int
    step: int
    chosen: bool
    steps: int
    scores: Scores
    """At the threshold."""
    temperature: float
    calibration_error: float
    """At a temperature of 1."""
    calibration_error_after: float
    threshold: float
    tuned: bool
    """Whether the validation texts were enough to choose the threshold by; else it is one half."""
    f1_at_half: float
    """F1 at a threshold of one half."""
    baseline: Baseline
    """What a linear model reaches."""
    mistakes: list[Mistake]
    """Wrong answers with a probability of `SURE` or more, the surest first."""
    seconds: float

    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""
        s, what = self.scores, "mean F1" if self.positive is None else f"F1 of {self.positive!r}"
        chosen_by = f", {self.validation_texts:,} to choose by" if self.validation_texts else ""
        lines = [
            f"{what} {s.f1:.3f} ({s.f1_interval.low:.3f} to {s.f1_interval.high:.3f}), accuracy {s.accuracy:.3f} on "
            f"{s.texts:,} held-out texts; {self.training_texts:,} for training{chosen_by}"
        ]
        if s.average_precision is not None:
            few = "for there were too few validation texts to choose by"
            why = "where F1 is highest on the validation texts" if self.tuned else few
            lines.append(
                f"average precision {s.average_precision:.3f}; {self.positive!r} is said from a probability of "
                f"{self.threshold:.3f} on, {why}; from 0.5 on F1 is {self.f1_at_half:.3f}"
            )
        lines += [
            self.versus(),
            self.calibrated(),
            self.kept(),
            *(
                f"sure (from {SURE:g} on) and wrong: {m.text[:60]!r} is {m.truth}, said {m.given} ({m.probability:.2f})"
                for m in self.mistakes[:3]
            ),
        ]
        return lines

    def calibrated(self) -> str:
        """Return the line on the calibration error and what a temperature changes."""
        error = f"calibration error (ECE, {BINS} bins of equal width) {self.calibration_error:.3f}"
        if self.temperature == 1:
            return f"{error}; no temperature, for none lowered it on validation texts that it was not fitted on"
        return f"{error}, with temperature {self.temperature:.2f} {self.calibration_error_after:.3f}"

    def versus(self) -> str:
        """Return the line that compares the model with the linear one, whichever is better."""
        ours = self.scores
        low, high = ours.f1_interval
        line = (
            f"linear baseline (TF-IDF + SVM): {self.baseline}; ours: F1 {ours.f1:.3f} ({low:.3f} to {high:.3f}), in "
            f"{self.seconds:.1f} s"
        )
        if self.baseline.f1 > ours.f1:
            line += "; the linear model scores higher here"
        return f"{line}; both are kept, and scratchlm classify uses the better one (--use)"


@dataclass(frozen=True)
class Side:
    """Texts of one side as the model reads them, and the class of each."""

    texts: list[Labelled]
    rows: ClassRows
    truth: np.ndarray


@dataclass(frozen=True)
class LabelledTexts:
    """The labelled texts of a run."""

    training: list[Labelled]
    """What is trained and validated on."""
    held_out: list[Labelled]


def finetune_classify(config: ClassifyTrainingConfig, on_step: OnStep | None = None) -> ClassifyResult:
    """Train a classifier and write its run folder: the model that was best on validation texts, scores, a report.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    return finetune(config, ClassifyStage, _read, on_step)


class ClassifyStage(Stage[ClassifyTrainingConfig, ClassifyResult]):
    """Labelled texts, the loss of their classes, and F1 on the validation texts."""

    kind, key, higher = "classify", "f1", True

    def __init__(self, config: ClassifyTrainingConfig, model: SavedModel, data: LabelledTexts) -> None:
        self.config = config
        self.labels = labels_of(data.training, data.held_out)
        self.positive = _positive(config.positive, self.labels, data.training)
        self.train, self.validation, self.held_out = self.sides = [
            self._side(texts, model) for texts in (*two_parts(data.training, config.validation), data.held_out)
        ]
        if config.resume is None:  # a resumed run has its settings
            encoded, layers = len(self.train.rows.ids), model.decoder.config.layers
            config = resolve_classify(config, len(data.training), encoded, layers)
            self.config = config = with_split(config, len(data.training) + len(data.held_out))
        self.long_texts = sum(side.rows.long for side in self.sides)
        self._tell_long(model.decoder.config.context)
        self.baseline, self.linear = self._linear()
        self.started = time.perf_counter()
        add_classes(model.decoder, self.labels, config.pooling, config.seed)
        positive = None if self.positive is None else self.labels[self.positive]
        model.classes = Classes(self.labels, positive=positive, prompt=config.prompt, long=config.long)
        rows, size = self.train.rows, config.training.batch_size
        truth = [int(self.train.truth[text]) for text in rows.text]
        self.batches = LabelledBatches(rows.ids, truth, size, config.seed, pad_of(model.tokenizer))
        self.an_epoch = math.ceil(len(rows.ids) / size)
        balanced = config.class_weights == "balanced"
        self.loss = class_loss(balanced_weights(truth, len(self.labels)) if balanced else None)

    def _side(self, texts: list[Labelled], model: SavedModel) -> Side:
        """Encode the texts of a side."""
        plain, context = [each.text for each in texts], model.decoder.config.context
        rows = encode_rows(model.tokenizer, plain, context, self.config.prompt, self.config.long)
        truth = np.array([self.labels.index(each.label) for each in texts], dtype=np.int64)
        return Side(texts, rows, truth)

    def _tell_long(self, context: int) -> None:
        """Report before training how many texts the model cannot read at once, and what becomes of them."""
        if not self.long_texts:
            return
        texts = sum(len(side.texts) for side in self.sides)
        rows = sum(len(side.rows.ids) for side in self.sides)
        what = {
            "head": "their ends are cut; --long head-and-tail reads both ends of them, --long windows all",
            "head-and-tail": "their middles are cut; --long windows reads all of them",
            "windows": f"they are read in {rows - texts + self.long_texts:,} windows, whose logits are averaged",
        }[self.config.long]
        counted = f"{self.long_texts:,} of {texts:,} texts ({self.long_texts / texts:.0%})"
        say(f"{counted} are longer than the {context:,} tokens that the model reads at once: {what}")

    def _linear(self) -> tuple[Baseline, LinearTexts]:
        """Train the linear model on all texts but those held out, and report what it reaches before the network learns.

        It makes no choice by validation texts, so it learns from them too.
        """
        texts = [each.text for side in (self.train, self.validation) for each in side.texts]
        truth = [*self.train.truth.tolist(), *self.validation.truth.tolist()]
        held_out = [each.text for each in self.held_out.texts]
        baseline, model = linear_baseline(texts, truth, held_out, self.held_out.truth, self.positive)
        score = baseline.cross_validated
        crossed = "" if score is None else f"; {FOLDS}-fold cross-validated on the training texts {score:.3f}"
        say(f"linear baseline (TF-IDF + SVM): {baseline}{crossed}")
        if advice := baseline.advice(self.long_texts / sum(len(side.texts) for side in self.sides)):
            say(advice)
        return baseline, model

    def measure(self, decoder: Decoder) -> dict[str, float]:
        """Return loss, accuracy and F1 on the validation texts; where there are none, nothing is chosen by them."""
        side = self.validation if self.validation.texts else self.held_out
        predicted = softmax(self._logits(decoder, side))
        classes = predicted_classes(predicted, self.positive)
        return {
            "loss": -float(np.log(predicted[np.arange(len(predicted)), side.truth] + 1e-300).mean()),
            "accuracy": float((classes == side.truth).mean()),
            "f1": f1_of(side.truth, classes, len(self.labels), self.positive),
        }

    def _logits(self, decoder: Decoder, side: Side) -> np.ndarray:
        return text_logits(decoder, side.rows, DTYPES[self.config.dtype])

    def result(self, kept: SavedModel, best: KeepBest, common: dict[str, Any]) -> ClassifyResult:
        """Choose temperature and threshold on the validation texts, and score what is held out."""
        assert self.config.out is not None
        assert kept.classes is not None
        temperature, threshold = self._chosen(kept.decoder)
        kept.classes = dataclasses.replace(kept.classes, temperature=temperature, threshold=threshold or 0.5)
        logits, truth, threshold_used = self._logits(kept.decoder, self.held_out), self.held_out.truth, threshold or 0.5
        self.predicted = predicted = softmax(logits, temperature)
        scores = score(predicted, truth, self.labels, self.positive, threshold_used)
        linear, both = self.baseline, HeldOutF1(scores.texts, self.baseline.f1, scores.f1)
        settings = LinearSettings(
            self.labels, both, {}, kept.classes.positive, linear.characters, temperature=linear.temperature
        )
        kept.linear = self.linear.kept(settings)
        save_model(self.config.out / MODEL, kept)
        return ClassifyResult(
            labels=self.labels,
            positive=kept.classes.positive,
            training_texts=len(self.train.texts),
            validation_texts=len(self.validation.texts),
            long=self.config.long,
            long_texts=self.long_texts,
            scores=scores,
            temperature=temperature,
            calibration_error=calibration_error(softmax(logits), truth),
            calibration_error_after=calibration_error(predicted, truth),
            threshold=threshold_used,
            tuned=threshold is not None,
            f1_at_half=f1_of(truth, predicted_classes(predicted, self.positive), len(self.labels), self.positive),
            baseline=self.baseline,
            mistakes=self._mistakes(threshold_used),
            **common,
        )

    def _chosen(self, decoder: Decoder) -> tuple[float, float | None]:
        """Return temperature and threshold by the validation texts; 1 and None where these are too few to choose by."""
        truth = self.validation.truth
        if len(truth) < LEAST_CHOSEN_BY:
            return 1.0, None
        logits = self._logits(decoder, self.validation)
        temperature = helpful_temperature(logits, truth)
        if self.positive is None:
            return temperature, None
        is_positive = truth == self.positive
        if min(is_positive.sum(), (~is_positive).sum()) < LEAST_CHOSEN_BY:
            return temperature, None
        return temperature, best_threshold(softmax(logits, temperature)[:, self.positive], is_positive)

    def _mistakes(self, threshold: float) -> list[Mistake]:
        """Return the held-out texts that were called wrongly with a high probability, the surest first."""
        classes = predicted_classes(self.predicted, self.positive, threshold)
        sure = self.predicted[np.arange(len(classes)), classes]
        wrong = np.flatnonzero((classes != self.held_out.truth) & (sure >= SURE))
        mistakes = [(self.held_out.texts[i], i) for i in wrong[np.argsort(-sure[wrong], kind="stable")][:ERRORS_SHOWN]]
        return [Mistake(t.text, t.label, self.labels[classes[i]], round(float(sure[i]), 4)) for t, i in mistakes]

    def shown(self, result: ClassifyResult) -> dict[str, Any]:
        """Return the verdict, confused pairs, precision against recall, and calibration."""
        scores = result.scores
        largest = max(each.texts for each in scores.classes) / scores.texts
        linear, epochs = self.baseline.f1, result.steps / self.an_epoch
        verdict = judge_classes(scores.accuracy, scores.accuracy_interval, largest, scores.f1, linear, epochs)
        return {"verdict": verdict, **class_charts(result, self.predicted, self.held_out.truth, self.positive)}


def _read(config: ClassifyTrainingConfig) -> LabelledTexts:
    """Read the texts, and hold some out. Raises `UserError` for columns, rows and labels that cannot be used."""
    assert config.data is not None
    columns = [column for column in (config.text_column, config.label_column) if column is not None]

    def read(path: Path) -> list[Labelled]:
        return read_labelled(read_records(path, columns), config.text_column, config.label_column)

    texts = read(config.data)
    labels_of(texts)  # said before one side of a split is found to be empty
    if config.held_out is not None:
        training, held_out = texts, read(config.held_out)
    else:
        split = parse_split(split_of_rows(config.split, len(texts)))
        training, held_out = two_sides(texts, split, lambda each: each.text)
        if split.method == "hash":  # a label of few texts may lie on one side alone
            known = {each.label for each in training}
            training += [each for each in held_out if each.label not in known]
            held_out = [each for each in held_out if each.label in known] or held_out
    _positive(config.positive, labels_of(training, held_out), training)
    return LabelledTexts(training, held_out)


def _positive(label: str | None, labels: Sequence[str], texts: Sequence[Labelled]) -> int | None:
    """Return the index of the positive class: of two labels the one named, else the rarer."""
    if label is not None and label not in labels:
        raise UserError(f"--positive {label!r}: no such label; there are {', '.join(map(repr, labels[:10]))}")
    if len(labels) > 2:
        return None
    if label is not None:
        return labels.index(label)
    first = sum(each.label == labels[0] for each in texts)
    return 0 if 2 * first < len(texts) else 1


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
        "bins": BINS,
        "surest": SURE,
        "confused": sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))[:CONFUSIONS],
        "precision_recall": None if curve is None else (curve[1], curve[0]),
        "calibration": ([sure[bins == b].mean() for b in filled], [right[bins == b].mean() for b in filled]),
    }
