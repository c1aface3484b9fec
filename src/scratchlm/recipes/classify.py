"""`scratchlm finetune classify`: labelled texts in, a classifier and an account of its mistakes out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.device import DTYPES, choose_device, set_threads
from scratchlm.base.errors import UserError
from scratchlm.base.files import prepare_output, sha256_of, write_json
from scratchlm.evaluation.classes import (
    Scores,
    answers,
    best_threshold,
    calibrated,
    f1_of,
    probabilities,
    score,
)
from scratchlm.finetuning.classify import (
    Labelled,
    add_classes,
    balanced_weights,
    class_logits,
    class_loss,
    encode_texts,
    labels_of,
    read_labelled,
    split_labelled,
)
from scratchlm.finetuning.config import ClassifyTrainingConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import add_adapter, freeze
from scratchlm.recipes.classreport import write_class_report
from scratchlm.recipes.runs import (
    RECIPE_FILE,
    begin_run,
    device_name,
    dtype_name,
    end_run,
    require_given,
    require_same_data,
    run_fit,
    stored_settings,
)
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split
from scratchlm.tokens.base import PAD
from scratchlm.tokens.batches import LabelledBatches
from scratchlm.training.config import TrainingConfig
from scratchlm.training.forecast import choose_dtype
from scratchlm.training.loop import Pace, Setting
from scratchlm.training.loss import Loss
from scratchlm.weights.checkpoint import Classes, SavedModel, base_of, find_model, load_model, save_model

ADAPTER = "default"
ERRORS_SHOWN = 20


@dataclass(frozen=True)
class Mistake:
    """A held-out text that was called something else, and how sure the classifier was."""

    text: str
    truth: str
    given: str
    probability: float


@dataclass
class ClassifyResult:
    """What came out, on the held-out texts."""

    out: str
    labels: tuple[str, ...]
    positive: str | None
    training_texts: int
    truncated: int
    step: int
    """The step whose weights were kept: that of the best held-out F1."""
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
        lines.append(f"kept: step {self.step:,} of {self.steps:,}, whose held-out F1 was the best")
        lines += [
            f"sure and wrong: {m.text[:60]!r} is {m.truth}, said {m.given} ({m.probability:.2f})"
            for m in self.mistakes[:3]
        ]
        return "\n".join([*lines, f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"])


class BestF1:
    """A hook that scores held-out texts, keeps the best model in a folder, and tells when to give up."""

    name = "evaluation"

    def __init__(self, model: SavedModel, folder: Path, data: Data, every: int, patience: int, dtype: torch.dtype):
        self.every, self.patience = every, patience
        self.best, self.step, self.waited = -1.0, 0, 0
        self._model, self._folder, self._data, self._dtype = model, folder, data, dtype

    def __call__(self, step: int, decoder: Decoder) -> dict[str, Any]:
        """Return loss, accuracy and F1."""
        started, data = time.perf_counter(), self._data
        chances = probabilities(class_logits(decoder, data.held_out_rows, self._dtype))
        given = answers(chances, data.positive)
        f1 = f1_of(data.held_out_truth, given, len(data.labels), data.positive)
        loss = -float(np.log(chances[np.arange(len(chances)), data.held_out_truth] + 1e-300).mean())
        if f1 > self.best and step > 0:
            self.best, self.step, self.waited = f1, step, 0
            save_model(self._folder, self._model)
        else:
            self.waited += 1
        accuracy = float((given == data.held_out_truth).mean())
        seconds = {"seconds": time.perf_counter() - started, "clock": time.time()}
        return {"loss": loss, "accuracy": accuracy, "f1": f1, "best": self.step == step, "timing": seconds}

    def pace(self, steps: int) -> Pace:
        """Return what ends a run of `steps` steps early, when no better F1 was found for long."""
        return lambda step: step if self.patience and self.waited >= self.patience else steps

    def state(self) -> dict[str, Any]:
        """Return the best F1 so far, its step, and the evaluations since."""
        return {"best": self.best, "step": self.step, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self.best, self.step, self.waited = state["best"], state["step"], state["waited"]


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


def finetune_classify(config: ClassifyTrainingConfig) -> ClassifyResult:
    """Train a classifier and write its run folder: the model that was best on held-out texts, scores, a report.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    started = time.perf_counter()
    config = _resolved(config)
    assert config.init is not None
    assert config.data is not None
    assert config.out is not None
    if config.resume is None:
        prepare_output(config.out, force=config.force, marker=RECIPE_FILE, sources=(config.data, config.init))
    else:
        require_same_data(config.resume, _digest(config), config.data)
    threads, device = set_threads(config.threads), choose_device(config.device)
    source = find_model(config.init)
    model = load_model(source)
    data = _data(config, model)
    _equip(model, config, data, source)
    batches = LabelledBatches(data.rows, data.truth, config.training.batch_rows, config.seed, _pad(model))
    loss = class_loss(_weights(config, data))
    if config.resume is None:
        config = dataclasses.replace(config, threads=threads, device=device_name(device), training=_steps(config, data))
        if config.dtype == "auto":
            setting = Setting(device, seed=config.seed)
            chosen, _ = choose_dtype("auto", model.decoder, batches, config.training, setting, loss)
            config = dataclasses.replace(config, dtype=dtype_name(chosen))
        _begin(config, model)
    best = _train(config, model, data, batches, loss)
    return _finish(config, data, best, time.perf_counter() - started)


def _resolved(config: ClassifyTrainingConfig) -> ClassifyTrainingConfig:
    """Return the settings of a new run, or those that the run to resume was begun with."""
    if config.resume is None:
        require_given(init=config.init, data=config.data, out=config.out)
        return config
    stored = stored_settings(ClassifyTrainingConfig, config.resume)
    threads = config.threads or stored.threads
    return dataclasses.replace(stored, out=config.resume, resume=config.resume, threads=threads, json=config.json)


def _train(
    config: ClassifyTrainingConfig, model: SavedModel, data: Data, batches: LabelledBatches, loss: Loss
) -> BestF1:
    """Run the loop; afterwards the best model stands in the run's model/."""
    assert config.out is not None
    training, dtype = config.training, DTYPES[config.dtype]
    best = BestF1(model, config.out / "model", data, training.evaluate_every, config.patience, dtype)
    run_fit(
        "scratchlm finetune classify",
        config.out,
        model,
        batches,
        training,
        Setting(choose_device(config.device), dtype, config.seed),
        hooks=[best],
        loss=loss,
        pace=best.pace(training.steps),
        resume=config.resume is not None,
    )
    return best


def _data(config: ClassifyTrainingConfig, model: SavedModel) -> Data:
    """Read and encode the texts of both sides."""
    assert config.data is not None
    columns = [column for column in (config.text_column, config.label_column) if column is not None]
    texts = read_labelled(read_records(config.data, columns), config.text_column, config.label_column)
    labels_of(texts)  # said before one side of a split is found to be empty
    if config.held_out is not None:
        held_out = read_labelled(read_records(config.held_out, columns), config.text_column, config.label_column)
    else:
        texts, held_out = split_labelled(texts, parse_split(config.split))
    labels = labels_of(texts, held_out)
    positive = _positive(config.positive, labels, texts)
    context = model.decoder.config.context
    rows = encode_texts(model.tokenizer, [each.text for each in texts], context)
    held_out_rows = encode_texts(model.tokenizer, [each.text for each in held_out], context)
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


def _equip(model: SavedModel, config: ClassifyTrainingConfig, data: Data, source: Path) -> None:
    """Give the model its head and its adapters, and freeze what is not trained."""
    if config.frozen_layers > model.decoder.config.layers:
        raise UserError(f"--frozen-layers {config.frozen_layers}: the model has {model.decoder.config.layers} layers")
    add_classes(model, data.labels, config.pooling, config.seed)
    positive = None if data.positive is None else data.labels[data.positive]
    model.classes = Classes(data.labels, positive=positive)
    name = ADAPTER if config.lora else None
    if name is not None:
        if model.adapters:
            raise UserError(f"--init {config.init}: has an adapter already; begin from the model below it")
        add_adapter(model.decoder, name, config.adapter, config.seed)
        model.adapters = {name: config.adapter}
    freeze(model.decoder, name, layers=config.frozen_layers)
    model.base = None
    if config.lora or config.frozen_layers:
        own = frozenset(n for n, parameter in model.decoder.named_parameters() if parameter.requires_grad)
        model.base = base_of(source, own)
    model.provenance = {
        **model.provenance,
        "task": f"classes: {', '.join(data.labels[:10])}",
        "init": source.name,
        "labelled": None if config.data is None else config.data.name,
    }


def _pad(model: SavedModel) -> int:
    return model.tokenizer.specials.get(PAD, model.tokenizer.end_of_text or 0)


def _weights(config: ClassifyTrainingConfig, data: Data) -> Tensor | None:
    return balanced_weights(data.truth, len(data.labels)) if config.class_weights == "balanced" else None


def _steps(config: ClassifyTrainingConfig, data: Data) -> TrainingConfig:
    """Turn epochs into steps, and evaluate at least four times."""
    training = config.training
    steps = max(1, math.ceil(config.epochs * len(data.rows) / training.batch_rows))
    every = max(1, min(training.evaluate_every or steps, steps // 4))
    return dataclasses.replace(training, steps=steps, evaluate_every=every, checkpoint_every=every)


def _digest(config: ClassifyTrainingConfig) -> str:
    assert config.data is not None
    files = [config.data] if config.held_out is None else [config.data, config.held_out]
    return ":".join(sha256_of(path) for path in files)


def _begin(config: ClassifyTrainingConfig, model: SavedModel) -> None:
    """Write the run's settings and manifest."""
    assert config.out is not None
    paths = {key: path.absolute() for key in ("init", "data", "held_out") if (path := getattr(config, key)) is not None}
    values = to_dict(dataclasses.replace(config, **paths))
    usual = dict(flatten(to_dict(ClassifyTrainingConfig(init=Path(), data=Path(), out=Path()))))
    marks = {name: "default" if usual.get(name) == value else "flag" for name, value in flatten(values)}
    told = {"dtype": config.dtype, "seed": config.seed, "tokenizer": model.tokenizer.fingerprint}
    begin_run(config.out, values, marks, {**told, "data_hash": _digest(config)})


def _finish(config: ClassifyTrainingConfig, data: Data, best: BestF1, seconds: float) -> ClassifyResult:
    """Calibrate the kept model, choose its threshold, score it, and write result and report."""
    assert config.out is not None
    model = load_model(config.out / "model")
    model.decoder.to(choose_device(config.device))
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
    write_json(config.out / "result.json", result.as_dict())
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
