"""A trained classifier at work: texts in, labels and probabilities out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.base.device import autocast, choose_device, set_threads
from scratchlm.base.errors import UserError
from scratchlm.generation.config import ClassifyConfig
from scratchlm.model.network import TokenNetwork
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.batches import padded
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

BATCH_TOKENS = 4096
"""Tokens of one forward pass, about, when texts are classified."""


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

    def __repr__(self) -> str:
        return f"<Classifier: {self.model.decoder.parameter_count():,} parameters, {', '.join(self.classes.labels)}>"

    @classmethod
    def load(cls, place: str | Path) -> Classifier:
        """Load the classifier of a model folder or of a run."""
        return cls(load_model(find_model(Path(place))))

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
        rows = encode_texts(self.model.tokenizer, texts, decoder.config.context, self.classes.prompt)
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


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context: int, prompt: str = "{text}") -> list[list[int]]:
    """Encode texts in their prompt, each between what begins a text and what ends it.

    Of a text too long for the model the end is cut, never the prompt. Raises `UserError` for a prompt without room.
    """
    begin = [] if tokenizer.begin_of_text is None else [tokenizer.begin_of_text]
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    before, after = prompt.split("{text}")
    room = context - len(begin) - len(end)
    rows = [ids.tolist() for ids in tokenizer.encode_batch([before + text + after for text in texts])]
    long = [index for index, ids in enumerate(rows) if len(ids) > room]
    if long:
        first = tokenizer.encode(before) if before else []
        last = tokenizer.encode_after(after) if after else []
        left = room - len(first) - len(last)
        if left < 1:
            raise UserError(f"--prompt: has {len(first) + len(last)} tokens; the model sees {context}; shorten it")
        for index in long:
            text = tokenizer.encode_after(texts[index]) if first else tokenizer.encode(texts[index])
            rows[index] = [*first, *text[:left], *last]
    rows = [[*begin, *ids, *end] for ids in rows]
    if not all(rows):
        raise UserError("text: is empty, and this tokenizer has no token that could stand for it; give some text")
    return rows


@torch.no_grad()
def class_logits(
    decoder: TokenNetwork, rows: Sequence[Sequence[int]], dtype: torch.dtype = torch.float32
) -> Float[np.ndarray, "N C"]:
    """Score the classes of texts that are encoded; those of like length share a forward pass."""
    device = decoder.embedding.weight.device
    decoder.eval()
    found: dict[int, np.ndarray] = {}
    for chosen in _alike(rows):
        ids, last = padded([rows[index] for index in chosen])
        with autocast(device, dtype):
            logits = decoder.class_logits(decoder.hidden(ids.to(device)), last.to(device))
        found.update(zip(chosen, logits.float().cpu().numpy(), strict=True))
    return np.stack([found[index] for index in range(len(rows))])


def _alike(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the places of rows of like length, as many as a forward pass takes; the longest first."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    while order:
        count = max(1, BATCH_TOKENS // len(rows[order[-1]]))
        yield order[-count:]
        order = order[:-count]
