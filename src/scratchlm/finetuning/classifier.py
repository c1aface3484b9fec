"""A trained classifier at work: texts in, labels and probabilities out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scratchlm.base.device import choose_device, set_threads
from scratchlm.base.errors import UserError
from scratchlm.finetuning.classify import class_logits, encode_texts
from scratchlm.finetuning.config import ClassifyConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model


@dataclass(frozen=True)
class Answer:
    """What a text is called, and how likely each label is."""

    text: str
    label: str
    probabilities: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"text": self.text, "label": self.label, "probabilities": self.probabilities}

    def __str__(self) -> str:
        return f"{self.label}\t{self.probabilities[self.label]:.3f}\t{' '.join(self.text.split())}"


class Classifier:
    """A model with a head of classes."""

    def __init__(self, model: SavedModel) -> None:
        """Take a model. Raises `UserError` where it has learned no classes."""
        if model.classes is None:
            raise UserError("this model has learned no classes; teach it some with scratchlm finetune classify")
        if len(model.classes.labels) < 2:
            raise UserError("this is a model of rewards: it compares whole answers and knows no classes")
        self.model, self.classes = model, model.classes

    @classmethod
    def load(cls, place: Path) -> Classifier:
        """Load the classifier of a model folder or of a run."""
        return cls(load_model(find_model(place)))

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Call each text by its likeliest label, or of two by the sought one from the model's threshold on.

        Raises `UserError` for an empty text.
        """
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise UserError(f"text {number}: is empty; give some text")
        if not texts:
            return []
        decoder, labels = self.model.decoder, self.classes.labels
        rows = encode_texts(self.model.tokenizer, texts, decoder.config.context)
        logits = torch.from_numpy(class_logits(decoder, rows)).double()
        chances = (logits / self.classes.temperature).softmax(-1)
        return [
            Answer(text, self._label(row), dict(zip(labels, row.tolist(), strict=True)))
            for text, row in zip(texts, chances, strict=True)
        ]

    def _label(self, chances: torch.Tensor) -> str:
        labels, positive = self.classes.labels, self.classes.positive
        if positive is None or len(labels) != 2:
            return labels[int(chances.argmax())]
        index = labels.index(positive)
        return positive if chances[index] >= self.classes.threshold else labels[1 - index]


def classify(config: ClassifyConfig) -> list[Answer]:
    """Classify the texts of a command: its arguments, or the lines of the standard input."""
    set_threads(config.threads)
    classifier = Classifier.load(config.model)
    classifier.model.decoder.to(choose_device(config.device))
    texts = list(config.texts) or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise UserError("classify: no text; give some as arguments, or one a line on the standard input")
    return classifier.classify(texts)
