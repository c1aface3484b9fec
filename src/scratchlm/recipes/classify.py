"""`scratchlm finetune classify`: labelled texts in, a classifier and an account of its mistakes out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.base.device import DTYPES
from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.evaluation.classes import (
    Scores,
    answers,
    best_threshold,
    calibrated,
    f1_of,
    probabilities,
    score,
)
from scratchlm.finetuning.classify import add_classes, balanced_weights
from scratchlm.finetuning.config import ClassifyTrainingConfig
from scratchlm.generation.classifier import class_logits, encode_texts
from scratchlm.model.decoder import Decoder
from scratchlm.recipes.classreport import write_class_report
from scratchlm.recipes.finetuning import KeepBest, begin, equip, kept_line, open_model, resolved, train
from scratchlm.recipes.runs import end_run, holds_run, write_run_result
from scratchlm.text.labelled import Labelled, labels_of, read_labelled
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.batches import LabelledBatches, pad_of
from scratchlm.training.loss import class_loss
from scratchlm.weights.checkpoint import Classes, SavedModel, save_model

ERRORS_SHOWN = 20


@dataclass(frozen=True)
class Mistake:
    """A held-out text that was called something else, and how sure the classifier was."""

    text: str
    truth: str
    given: str
    probability: float


@dataclass(repr=False)
class ClassifyResult(Result):
    """What came out, on the held-out texts."""

    out: str
    labels: tuple[str, ...]
    positive: str | None
    training_texts: int
    truncated: int
    step: int
    """The step whose weights were kept."""
    chosen: bool
    """Whether they were chosen by their held-out F1, which flatters it a little; else they are the last."""
    steps: int
    scores: Scores
    temperature: float
    calibration_error: float
    calibration_error_after: float
    threshold: float
    f1_at_threshold: float
    mistakes: list[Mistake]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": 1, **dataclasses.asdict(self)}

    def __rich__(self) -> str:
        s, what = self.scores, f"F1 of {self.positive!r}" if self.positive else "mean F1"
        lines = [
            f"{what} {s.f1:.3f} ({s.f1_interval.low:.3f} to {s.f1_interval.high:.3f}), accuracy {s.accuracy:.3f} on "
            f"{s.texts:,} held-out texts; {self.training_texts:,} for training"
        ]
        if s.average_precision is not None:
            lines.append(
                f"average precision {s.average_precision:.3f}; F1 is highest, {self.f1_at_threshold:.3f}, where "
                f"{self.positive!r} is said from a probability of {self.threshold:.2f} on"
            )
        if self.truncated:
            lines.append(f"{self.truncated:,} texts are longer than the model's context; their ends were cut")
        lines.append(
            f"calibration error {self.calibration_error:.3f}, with temperature {self.temperature:.2f} "
            f"{self.calibration_error_after:.3f}"
        )
        lines.append(kept_line(self.step, self.steps, self.chosen, "F1 was the best"))
        lines += [
            f"sure and wrong: {m.text[:60]!r} is {m.truth}, said {m.given} ({m.probability:.2f})"
            for m in self.mistakes[:3]
        ]
        return "\n".join([*lines, f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"])


@dataclass(frozen=True)
class Data:
    """Texts as the model reads them."""

    labels: tuple[str, ...]
    positive: int | None
    rows: list[list[int]]
    truth: list[int]
    held_out: list[Labelled]
    held_out_rows: list[list[int]]
    held_out_truth: np.ndarray
    truncated: int


@holds_run
def finetune_classify(config: ClassifyTrainingConfig) -> ClassifyResult:
    """Train a classifier and write its run folder: the model that was best on held-out texts, scores, a report.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    started = time.perf_counter()
    config = resolved(config)
    model = open_model(config)
    data = _data(config, model)
    add_classes(model.decoder, data.labels, config.pooling, config.seed)
    positive = None if data.positive is None else data.labels[data.positive]
    model.classes = Classes(data.labels, positive=positive, prompt=config.prompt)
    equip(model, config)
    batches = LabelledBatches(data.rows, data.truth, config.training.batch_rows, config.seed, pad_of(model.tokenizer))
    weights = balanced_weights(data.truth, len(data.labels)) if config.class_weights == "balanced" else None
    loss = class_loss(weights)
    config = begin(config, model, batches, math.ceil(len(data.rows) / config.training.batch_rows), loss)
    best = KeepBest(model, config, lambda decoder: _measure(decoder, data, config), "f1", higher=True)
    kept = train("classify", config, model, batches, loss, best)
    return _finish(config, data, kept, best, time.perf_counter() - started)


def _measure(decoder: Decoder, data: Data, config: ClassifyTrainingConfig) -> dict[str, float]:
    """Return loss, accuracy and F1 on the held-out texts."""
    chances = probabilities(class_logits(decoder, data.held_out_rows, DTYPES[config.dtype]))
    given = answers(chances, data.positive)
    return {
        "loss": -float(np.log(chances[np.arange(len(chances)), data.held_out_truth] + 1e-300).mean()),
        "accuracy": float((given == data.held_out_truth).mean()),
        "f1": f1_of(data.held_out_truth, given, len(data.labels), data.positive),
    }


def _data(config: ClassifyTrainingConfig, model: SavedModel) -> Data:
    """Read and encode the texts of both sides."""
    assert config.data is not None
    columns = [column for column in (config.text_column, config.label_column) if column is not None]
    texts = read_labelled(read_records(config.data, columns), config.text_column, config.label_column)
    labels_of(texts)  # said before one side of a split is found to be empty
    if config.held_out is not None:
        held_out = read_labelled(read_records(config.held_out, columns), config.text_column, config.label_column)
    else:
        texts, held_out = two_sides(texts, parse_split(config.split), lambda each: each.text)
    labels = labels_of(texts, held_out)
    positive = _positive(config.positive, labels, texts)
    context = model.decoder.config.context
    rows, held_out_rows = (
        encode_texts(model.tokenizer, [each.text for each in side], context, config.prompt)
        for side in (texts, held_out)
    )
    numbers = {label: index for index, label in enumerate(labels)}
    return Data(
        labels=labels,
        positive=positive,
        rows=rows,
        truth=[numbers[each.label] for each in texts],
        held_out=held_out,
        held_out_rows=held_out_rows,
        held_out_truth=np.array([numbers[each.label] for each in held_out]),
        truncated=sum(len(row) >= context for row in [*rows, *held_out_rows]),
    )


def _positive(given: str | None, labels: Sequence[str], texts: Sequence[Labelled]) -> int | None:
    """Return the number of the label that is sought: of two labels the one named, else the rarer."""
    if given is not None and given not in labels:
        raise UserError(f"--positive {given!r}: no such label; there are {', '.join(map(repr, labels[:10]))}")
    if len(labels) > 2:
        return None
    if given is not None:
        return labels.index(given)
    first = sum(each.label == labels[0] for each in texts)
    return 0 if 2 * first < len(texts) else 1


def _finish(
    config: ClassifyTrainingConfig, data: Data, model: SavedModel, best: KeepBest, seconds: float
) -> ClassifyResult:
    """Calibrate the kept model, choose its threshold, score it, and write result and report."""
    assert config.out is not None
    logits = class_logits(model.decoder, data.held_out_rows, DTYPES[config.dtype])
    temperature, before, after = calibrated(logits, data.held_out_truth)
    chances = probabilities(logits, temperature)
    threshold = 0.5
    if data.positive is not None:
        threshold = best_threshold(chances[:, data.positive], data.held_out_truth == data.positive)
    assert model.classes is not None
    model.classes = dataclasses.replace(model.classes, temperature=temperature, threshold=threshold)
    save_model(config.out / "model", model)
    scores = score(chances, data.held_out_truth, data.labels, data.positive)
    at_threshold = answers(chances, data.positive, threshold)
    result = ClassifyResult(
        out=str(config.out),
        labels=data.labels,
        positive=model.classes.positive,
        training_texts=len(data.rows),
        truncated=data.truncated,
        step=best.step,
        chosen=config.keep == "best",
        steps=config.training.steps,
        scores=scores,
        temperature=temperature,
        calibration_error=before,
        calibration_error_after=after,
        threshold=threshold,
        f1_at_threshold=f1_of(data.held_out_truth, at_threshold, len(data.labels), data.positive),
        mistakes=_mistakes(data, chances),
        seconds=seconds,
    )
    write_run_result(config.out, result.as_dict())
    write_class_report(config.out, result, chances, data.held_out_truth, data.positive)
    end_run(config.out)
    return result


def _mistakes(data: Data, chances: np.ndarray) -> list[Mistake]:
    """Return the held-out texts that were called wrongly, the surest first."""
    given = answers(chances, data.positive)
    wrong = np.flatnonzero(given != data.held_out_truth)
    wrong = wrong[np.argsort(-chances[wrong, given[wrong]], kind="stable")][:ERRORS_SHOWN]
    return [
        Mistake(
            data.held_out[i].text, data.held_out[i].label, data.labels[given[i]], round(float(chances[i, given[i]]), 4)
        )
        for i in wrong
    ]
