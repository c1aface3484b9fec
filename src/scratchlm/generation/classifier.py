"""A trained classifier at work: texts in, labels and probabilities out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.base.device import autocast, choose_device, set_threads
from scratchlm.base.errors import UserError
from scratchlm.base.result import as_html
from scratchlm.base.terminal import say
from scratchlm.data.batches import padded
from scratchlm.generation.classrows import ClassRows, encode_rows
from scratchlm.generation.config import ClassifyConfig, Use
from scratchlm.model.network import SequenceModel
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, verify
from scratchlm.weights.linear import LINEAR_FILE, LinearModel, read_linear

BATCH_TOKENS = 4096
"""Tokens of one forward pass, about, when texts are classified."""
AT_ONCE = 256
"""Texts of a command that are answered together."""
SHOWN = 5
"""Most places that a message names."""
NO_TEXT = "is not UTF-8; convert it, for example with iconv -f LATIN1 -t UTF-8"


@dataclass(frozen=True)
class Classification:
    """What a text is called, and how likely each label is."""

    text: str
    label: str
    probabilities: dict[str, float]
    positive: str | None = None
    """Of two labels, the one that is given from a threshold on."""
    threshold: float = 0.5
    """Least probability of `positive` at which it is given."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        values = {"text": self.text, "label": self.label, "probabilities": self.probabilities}
        return values if self.positive is None else {**values, "positive": self.positive, "threshold": self.threshold}

    def __str__(self) -> str:
        cells = [self.label, f"{self.probabilities[self.label]:.3f}"]
        if self.positive is not None:
            cells.append(f"{self.positive} from {self.threshold:.3f}")
        return "\t".join([*cells, " ".join(self.text.split())])

    def _repr_html_(self) -> str:
        return as_html(str(self))


class Classifier:
    """A model with a head of classes."""

    def __init__(self, model: SavedModel) -> None:
        """Take a model. Raises `UserError` where it has learned no classes."""
        if model.classes is None:
            raise UserError("this model has learned no classes; teach it some with scratchlm finetune classify")
        if len(model.classes.labels) < 2:
            raise UserError("this is a reward model: it compares whole answers and knows no classes")
        self.model, self.classes = model, model.classes

    def __repr__(self) -> str:
        return f"<Classifier: {self.model.decoder.parameter_count():,} parameters, {', '.join(self.classes.labels)}>"

    @classmethod
    def load(cls, place: str | Path) -> Classifier:
        """Load the classifier of a model folder or of a run."""
        return cls(load_model(find_model(Path(place))))

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Label each text: the likeliest label, or, of two, the positive class from the model's threshold on.

        Raises `UserError` for an empty text, and for one that the tokenizer cannot encode.
        """
        require_texts(texts)
        if not texts:
            return []
        decoder, classes, labels = self.model.decoder, self.classes, self.classes.labels
        rows = encode_rows(self.model.tokenizer, texts, decoder.config.context, classes.prompt, classes.long)
        logits = torch.from_numpy(text_logits(decoder, rows)).double()
        positive = classes.positive if len(labels) == 2 else None
        answers = []
        for text, row in zip(texts, (logits / classes.temperature).softmax(-1).tolist(), strict=True):
            label = labels[row.index(max(row))]
            if positive is not None:
                index = labels.index(positive)
                label = positive if row[index] >= classes.threshold else labels[1 - index]
            answers.append(
                Classification(text, label, dict(zip(labels, row, strict=True)), positive, classes.threshold)
            )
        return answers


class LinearClassifier:
    """The linear model of a classifier's folder; it answers as `Classifier` does, and loads no network."""

    def __init__(self, model: LinearModel) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"<LinearClassifier: {self.model.weights.size:,} weights, {', '.join(self.model.settings.labels)}>"

    @classmethod
    def load(cls, place: str | Path) -> LinearClassifier:
        """Load the linear model of a model folder or of a run. Raises `UserError` where it has none."""
        folder = find_model(Path(place))
        verify(folder)
        model = read_linear(folder)
        if model is None:
            raise UserError(f"{folder}: holds no linear model; finetune classify writes one beside the network")
        return cls(model)

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Label each text with the likeliest label. Raises `UserError` for an empty text."""
        require_texts(texts)
        if not texts:
            return []
        settings, rows = self.model.settings, self.model.probabilities(texts)
        return [
            Classification(
                text,
                settings.labels[int(row.argmax())],
                dict(zip(settings.labels, row.tolist(), strict=True)),
                settings.positive,
            )
            for text, row in zip(texts, rows, strict=True)
        ]


def require_texts(texts: Sequence[str]) -> None:
    """Raise `UserError` for a text that is empty, or that is not text."""
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise UserError(f"text {number}: is empty; give some text")
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate, which stands for a byte that is no UTF-8
            raise UserError(f"text {number}: {NO_TEXT}") from error


def load_classifier(place: Path, use: Use) -> tuple[Classifier | LinearClassifier, str]:
    """Load the classifier of a folder that `use` names, and no other; with a sentence on the choice, if there was one.

    Raises `UserError` for a folder that has none.
    """
    folder = find_model(place)
    if use == "network" or (use == "best" and not (folder / LINEAR_FILE).exists()):
        return Classifier.load(folder), ""
    linear = LinearClassifier.load(folder)
    better, said = _chosen(linear.model, use)
    return (linear if better == "linear" else Classifier.load(folder)), said


def classifier_of(model: SavedModel, use: Use) -> tuple[Classifier | LinearClassifier | None, str]:
    """Return the classifier of a loaded model that `use` names, as `load_classifier` does; None of a model without."""
    if model.classes is None or len(model.classes.labels) < 2:
        return None, ""
    if use == "linear" and model.linear is None:
        raise UserError("--use linear: a model holds no linear model; use the network")
    better, said = ("network", "") if model.linear is None else _chosen(model.linear, use)
    return (LinearClassifier(model.linear) if model.linear and better == "linear" else Classifier(model)), said


def _chosen(linear: LinearModel, use: Use) -> tuple[Literal["linear", "network"], str]:
    """Return which of the two classifiers answers, and of the best one by what it was chosen."""
    if use != "best":
        return use, ""
    scores = linear.settings.held_out
    better, other = ("linear", "network") if scores.better() == "linear" else ("network", "linear")
    names = {"linear": "the linear model", "network": "the network"}
    f1, other_f1 = getattr(scores, better), getattr(scores, other)
    said = (
        f"({names[better]} answers: F1 {f1:.3f} on {scores.texts:,} held-out texts, {names[other]} {other_f1:.3f}; "
        f"chosen on these texts, so a little too high; --use {other} for the other)"
    )
    return scores.better(), said


def classify(config: ClassifyConfig) -> Iterator[Classification]:
    """Yield answers to the texts of a command: its arguments, or the lines of the standard input that are not empty.

    A text that cannot be read is named on stderr by its number or line, and the others are answered; at the end a
    `UserError` says how many there were.
    """
    set_threads(config.threads)
    classifier, said = load_classifier(config.model, config.use)
    if isinstance(classifier, Classifier):
        classifier.model.decoder.to(choose_device(config.device))
    if said:
        say(said)
    numbered = ((f"text {number}", text) for number, text in enumerate(config.texts, 1)) if config.texts else _lines()
    at_once = 1 if not config.texts and sys.stdin.isatty() else AT_ONCE
    total, refused = 0, []
    while chunk := list(islice(numbered, at_once)):
        total += len(chunk)
        for place, answer in zip(chunk, _answers(classifier, [text for _, text in chunk]), strict=True):
            if isinstance(answer, Classification):
                yield answer
            else:
                refused.append(place[0])
                say(f"{place[0]}: {answer}")
    if not total:
        raise UserError("classify: no text; give some as arguments, or one a line on the standard input")
    if refused:
        raise UserError(
            f"classify: {len(refused):,} of {total:,} texts have no answer ({_some(refused)}); fix or remove them"
        )


def _some(places: Sequence[str]) -> str:
    """Name the first places, and how many more there are."""
    return ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else "")


def _answers(classifier: Classifier | LinearClassifier, texts: Sequence[str]) -> list[Classification | UserError]:
    """Answer texts together, or one by one where one of them cannot be read."""
    try:
        return list(classifier.classify(texts))
    except UserError as error:
        if len(texts) == 1:
            return [UserError(str(error).removeprefix("text 1: "))]
        return [answer for text in texts for answer in _answers(classifier, [text])]


def _lines() -> Iterator[tuple[str, str]]:
    """Yield the lines of the standard input with their places; empty ones are passed over, and that is said.

    A mark of UTF-8 at the beginning and carriage returns at ends of lines are no part of a text. Bytes that are no
    UTF-8 become lone surrogates, which no tokenizer takes.
    """
    empty = []
    lines: Iterable[bytes | str] = getattr(sys.stdin, "buffer", sys.stdin)
    for number, line in enumerate(lines, 1):
        text = line if isinstance(line, str) else line.decode("utf-8", "surrogateescape")
        text = (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")
        if text.strip():
            yield f"line {number}", text
        else:
            empty.append(str(number))
    if empty:
        say(f"(empty lines are passed over: {_some(empty)})")


def text_logits(
    decoder: SequenceModel, rows: ClassRows, dtype: torch.dtype = torch.float32
) -> Float[np.ndarray, "N C"]:
    """Score the classes of texts; the logits of a text that is read in several rows are averaged."""
    logits = class_logits(decoder, rows.ids, dtype)
    counts = np.bincount(rows.text)
    sums = np.zeros((len(counts), logits.shape[1]), dtype=logits.dtype)
    np.add.at(sums, rows.text, logits)
    return sums / counts[:, None].astype(logits.dtype)


@torch.no_grad()
def class_logits(
    decoder: SequenceModel, rows: Sequence[Sequence[int]], dtype: torch.dtype = torch.float32
) -> Float[np.ndarray, "N C"]:
    """Score the classes of texts that are encoded; those of like length share a forward pass."""
    device = decoder.device
    decoder.eval()
    logits_of: dict[int, np.ndarray] = {}
    for chosen in _alike(rows):
        ids, last = padded([rows[index] for index in chosen])
        with autocast(device, dtype):
            logits = decoder.class_logits(decoder.hidden(ids.to(device)), last.to(device))
        logits_of.update(zip(chosen, logits.float().cpu().numpy(), strict=True))
    return np.stack([logits_of[index] for index in range(len(rows))])


def _alike(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the places of rows of like length, as many as a forward pass takes; the longest first."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    while order:
        count = max(1, BATCH_TOKENS // len(rows[order[-1]]))
        yield order[-count:]
        order = order[:-count]
