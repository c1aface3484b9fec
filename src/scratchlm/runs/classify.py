"""`scratchlm finetune classify`: labelled texts in, a classifier and an account of its mistakes out."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.base.device import DTYPES
from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.base.runfolder import MODEL
from scratchlm.data.batches import LabelledBatches, pad_of
from scratchlm.evaluation.classes import (
    Scores,
    best_temperature,
    best_threshold,
    calibration_error,
    f1_of,
    predicted_classes,
    score,
    softmax,
)
from scratchlm.finetuning.classify import add_classes, balanced_weights
from scratchlm.finetuning.config import ClassifyTrainingConfig
from scratchlm.generation.classifier import text_logits
from scratchlm.generation.classrows import ClassRows, encode_rows
from scratchlm.model.decoder import Decoder
from scratchlm.runs.baseline import Baseline, linear_baseline
from scratchlm.runs.finetuning import KeepBest, begin, equip, open_model, resolved, train
from scratchlm.runs.reports.classify import write_class_report
from scratchlm.runs.runs import end_run, holds_run, write_run_result
from scratchlm.text.config import LongTexts
from scratchlm.text.labelled import Labelled, labels_of, read_labelled, two_parts
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split, two_sides
from scratchlm.training.loss import class_loss
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model

ERRORS_SHOWN = 20
LEAST_CHOSEN_BY = 10
"""Validation texts, of two classes in each, from which on a temperature and a threshold are chosen by them."""


@dataclass(frozen=True)
class Mistake:
    """A held-out text that was called something else, and how sure the classifier was."""

    text: str
    truth: str
    given: str
    probability: float


@dataclass(repr=False)
class ClassifyResult(Result):
    """What came out, on the held-out texts: nothing was chosen on them."""

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
    """The step whose weights were kept."""
    chosen: bool
    """Whether they were chosen by F1 on the validation texts; else they are the last."""
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
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": 2, **dataclasses.asdict(self)}

    def __rich__(self) -> str:
        s, what = self.scores, "mean F1" if self.positive is None else f"F1 of {self.positive!r}"
        chosen_by = f", {self.validation_texts:,} to choose by" if self.validation_texts else ""
        lines = [
            f"{what} {s.f1:.3f} ({s.f1_interval.low:.3f} to {s.f1_interval.high:.3f}), accuracy {s.accuracy:.3f} on "
            f"{s.texts:,} held-out texts; {self.training_texts:,} for training{chosen_by}"
        ]
        if s.average_precision is not None:
            lines.append(
                f"average precision {s.average_precision:.3f}; {self.positive!r} is said from a probability of "
                f"{self.threshold:.3f} on, {self._why()}; from 0.5 on F1 is {self.f1_at_half:.3f}"
            )
        lines += [
            self.versus(),
            f"calibration error {self.calibration_error:.3f}, with temperature {self.temperature:.2f} "
            f"{self.calibration_error_after:.3f}",
            f"kept: step {self.step:,} of {self.steps:,}, "
            + ("whose F1 on the validation texts was the best" if self.chosen else "the last"),
        ]
        lines += [
            f"sure and wrong: {m.text[:60]!r} is {m.truth}, said {m.given} ({m.probability:.2f})"
            for m in self.mistakes[:3]
        ]
        return "\n".join([*lines, f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"])

    def versus(self) -> str:
        """Return the line that compares the model with the linear one, whichever is better."""
        ours = self.scores
        low, high = ours.f1_interval
        line = (
            f"linear baseline (TF-IDF + SVM): {self.baseline}; ours: F1 {ours.f1:.3f} ({low:.3f} to {high:.3f}), in "
            f"{self.seconds:.1f} s"
        )
        return line + ("; the linear model scores higher here" if self.baseline.f1 > ours.f1 else "")

    def _why(self) -> str:
        """Tell where the threshold comes from."""
        if self.tuned:
            return "where F1 is highest on the validation texts"
        return "for there were too few validation texts to choose by"


@dataclass(frozen=True)
class Data:
    """Texts as the model reads them."""

    labels: tuple[str, ...]
    positive: int | None
    train: list[Labelled]
    rows: ClassRows
    truth: np.ndarray
    validation: list[Labelled]
    validation_rows: ClassRows
    validation_truth: np.ndarray
    held_out: list[Labelled]
    held_out_rows: ClassRows
    held_out_truth: np.ndarray

    @property
    def row_truth(self) -> list[int]:
        """The class of each row that is trained on."""
        return [int(self.truth[text]) for text in self.rows.text]

    @property
    def long_texts(self) -> int:
        """Texts longer than the context."""
        return self.rows.long + self.validation_rows.long + self.held_out_rows.long


@holds_run
def finetune_classify(config: ClassifyTrainingConfig) -> ClassifyResult:
    """Train a classifier and write its run folder: the model that was best on validation texts, scores, a report.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    config = resolved(config)
    model = open_model(config)
    data = _data(config, model)
    _tell_long(config, data, model.decoder.config.context)
    baseline = _baseline(data)
    began = time.perf_counter()
    add_classes(model.decoder, data.labels, config.pooling, config.seed)
    positive = None if data.positive is None else data.labels[data.positive]
    model.classes = Classes(data.labels, positive=positive, prompt=config.prompt, long=config.long)
    equip(model, config)
    rows, truth = data.rows.ids, data.row_truth
    batches = LabelledBatches(rows, truth, config.training.batch_size, config.seed, pad_of(model.tokenizer))
    weights = balanced_weights(truth, len(data.labels)) if config.class_weights == "balanced" else None
    loss = class_loss(weights)
    config = begin(config, model, batches, math.ceil(len(rows) / config.training.batch_size), loss)
    best = KeepBest(model, config, lambda decoder: _measure(decoder, data, config), "f1", higher=True)
    kept = train("classify", config, model, batches, loss, best)
    return _finish(config, data, kept, best, baseline, began)


def _tell_long(config: ClassifyTrainingConfig, data: Data, context: int) -> None:
    """Tell before training how many texts the model cannot read at once, and what becomes of them."""
    texts = len(data.train) + len(data.validation) + len(data.held_out)
    if not data.long_texts:
        return
    rows = len(data.rows.ids) + len(data.validation_rows.ids) + len(data.held_out_rows.ids)
    what = {
        "head": "their ends are cut; --long head-and-tail reads both ends of them, --long windows all",
        "head-and-tail": "their middles are cut; --long windows reads all of them",
        "windows": f"they are read in {rows - texts + data.long_texts:,} windows, whose logits are averaged",
    }[config.long]
    counted = f"{data.long_texts:,} of {texts:,} texts ({data.long_texts / texts:.0%})"
    print(f"{counted} are longer than the {context:,} tokens that the model reads at once: {what}", file=sys.stderr)


def _baseline(data: Data) -> Baseline:
    """Train the linear model on all texts but those held out: it makes no choice, so it needs no validation texts."""
    found = linear_baseline(
        [each.text for each in (*data.train, *data.validation)],
        [*data.truth.tolist(), *data.validation_truth.tolist()],
        [each.text for each in data.held_out],
        data.held_out_truth,
        data.positive,
    )
    print(f"linear baseline (TF-IDF + SVM): {found}", file=sys.stderr)
    return found


def _measure(decoder: Decoder, data: Data, config: ClassifyTrainingConfig) -> dict[str, float]:
    """Return loss, accuracy and F1 on the validation texts; where there are none, nothing is chosen by them."""
    rows, truth = data.validation_rows, data.validation_truth
    if not data.validation:
        rows, truth = data.held_out_rows, data.held_out_truth
    predicted = softmax(text_logits(decoder, rows, DTYPES[config.dtype]))
    given = predicted_classes(predicted, data.positive)
    return {
        "loss": -float(np.log(predicted[np.arange(len(predicted)), truth] + 1e-300).mean()),
        "accuracy": float((given == truth).mean()),
        "f1": f1_of(truth, given, len(data.labels), data.positive),
    }


def _data(config: ClassifyTrainingConfig, model: SavedModel) -> Data:
    """Read and encode the texts of all sides."""
    assert config.data is not None
    columns = [column for column in (config.text_column, config.label_column) if column is not None]
    texts = read_labelled(read_records(config.data, columns), config.text_column, config.label_column)
    labels_of(texts)  # said before one side of a split is found to be empty
    if config.held_out is not None:
        held_out = read_labelled(read_records(config.held_out, columns), config.text_column, config.label_column)
    else:
        texts, held_out = two_sides(texts, parse_split(config.split), lambda each: each.text)
    labels = labels_of(texts, held_out)
    inside, validation = two_parts(texts, config.validation)
    context, sides = model.decoder.config.context, (inside, validation, held_out)
    rows = [
        encode_rows(model.tokenizer, [each.text for each in side], context, config.prompt, config.long)
        for side in sides
    ]
    numbers = {label: index for index, label in enumerate(labels)}
    truths = [np.array([numbers[each.label] for each in side], dtype=np.int64) for side in sides]
    return Data(
        labels,
        _positive(config.positive, labels, texts),
        *(inside, rows[0], truths[0]),
        *(validation, rows[1], truths[1]),
        *(held_out, rows[2], truths[2]),
    )


def _positive(given: str | None, labels: Sequence[str], texts: Sequence[Labelled]) -> int | None:
    """Return the index of the positive class: of two labels the one named, else the rarer."""
    if given is not None and given not in labels:
        raise UserError(f"--positive {given!r}: no such label; there are {', '.join(map(repr, labels[:10]))}")
    if len(labels) > 2:
        return None
    if given is not None:
        return labels.index(given)
    first = sum(each.label == labels[0] for each in texts)
    return 0 if 2 * first < len(texts) else 1


def _finish(
    config: ClassifyTrainingConfig, data: Data, model: SavedModel, best: KeepBest, baseline: Baseline, began: float
) -> ClassifyResult:
    """Choose temperature and threshold on the validation texts, score what is held out, and write result and report."""
    assert config.out is not None
    assert model.classes is not None
    temperature, threshold = _chosen(config, data, model)
    model.classes = dataclasses.replace(model.classes, temperature=temperature, threshold=threshold or 0.5)
    save_model(config.out / MODEL, model)
    logits = text_logits(model.decoder, data.held_out_rows, DTYPES[config.dtype])
    truth, predicted = data.held_out_truth, softmax(logits, temperature)
    result = ClassifyResult(
        out=str(config.out),
        labels=data.labels,
        positive=model.classes.positive,
        training_texts=len(data.train),
        validation_texts=len(data.validation),
        long=config.long,
        long_texts=data.long_texts,
        step=best.step,
        chosen=config.keep == "best",
        steps=config.training.steps,
        scores=score(predicted, truth, data.labels, data.positive, model.classes.threshold),
        temperature=temperature,
        calibration_error=calibration_error(softmax(logits), truth),
        calibration_error_after=calibration_error(predicted, truth),
        threshold=model.classes.threshold,
        tuned=threshold is not None,
        f1_at_half=f1_of(truth, predicted_classes(predicted, data.positive), len(data.labels), data.positive),
        baseline=baseline,
        mistakes=_mistakes(data, predicted, model.classes.threshold),
        seconds=time.perf_counter() - began,
    )
    write_run_result(config.out, result.as_dict())
    write_class_report(config.out, result, predicted, truth, data.positive)
    end_run(config.out)
    return result


def _chosen(config: ClassifyTrainingConfig, data: Data, model: SavedModel) -> tuple[float, float | None]:
    """Return temperature and threshold by the validation texts; 1 and None where these are too few to choose by.

    Where every validation text is called rightly, any colder temperature is better: there it stays 1.
    """
    truth = data.validation_truth
    if len(truth) < LEAST_CHOSEN_BY:
        return 1.0, None
    logits = text_logits(model.decoder, data.validation_rows, DTYPES[config.dtype])
    temperature = best_temperature(logits, truth) if (logits.argmax(1) != truth).any() else 1.0
    if data.positive is None:
        return temperature, None
    is_positive = truth == data.positive
    if min(is_positive.sum(), (~is_positive).sum()) < LEAST_CHOSEN_BY:
        return temperature, None
    return temperature, best_threshold(softmax(logits, temperature)[:, data.positive], is_positive)


def _mistakes(data: Data, predicted: np.ndarray, threshold: float) -> list[Mistake]:
    """Return the held-out texts that were called wrongly, the surest first."""
    given = predicted_classes(predicted, data.positive, threshold)
    wrong = np.flatnonzero(given != data.held_out_truth)
    wrong = wrong[np.argsort(-predicted[wrong, given[wrong]], kind="stable")][:ERRORS_SHOWN]
    return [
        Mistake(
            data.held_out[i].text,
            data.held_out[i].label,
            data.labels[given[i]],
            round(float(predicted[i, given[i]]), 4),
        )
        for i in wrong
    ]
