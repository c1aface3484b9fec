"""Training of networks on windows of a text, and networks as text classifiers, with the classic ones' interface."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.classic.recurrent import CarriedLoss, RecurrentDecoder
from scratchlm.data.batches import LabelledBatches, StreamBatches, Tokens, WindowBatches, length_bucketed_order, pad_of
from scratchlm.data.pairs import SourceTargetBatches
from scratchlm.finetuning.head import add_classes
from scratchlm.generation.classifier import class_logits
from scratchlm.generation.classrows import encode_texts
from scratchlm.model.lora import add_adapter, freeze
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.network import SequenceModel
from scratchlm.runs.hooks import Stateless
from scratchlm.tokens.base import PAD, Tokenizer
from scratchlm.training.config import AdamWConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import Hook, fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.loss import Loss, class_loss, next_token_loss
from scratchlm.weights.checkpoint import SavedModel

PLAIN = AdamWConfig(learning_rate=3e-3, weight_decay=0.01)
"""Optimizer of recurrent networks on pairs."""


@dataclass
class Reader:
    """A network and its tokenizer."""

    decoder: SequenceModel
    tokenizer: Tokenizer


class BucketedBatches(LabelledBatches):
    """Whole texts with a class each, in batches of similar length, to measure what such an order costs."""

    def _order(self, epoch: int) -> np.ndarray:
        return length_bucketed_order([len(row) for row in self.rows_of_ids], self.rows, self.seed, epoch)


@dataclass
class NetworkTexts:
    """A text classifier: a class head on the mean of a network's states, trained in full or with adapters."""

    make: Callable[[], SavedModel | Reader]
    """Makes the initial model, anew for each fit."""
    epochs: float
    optimizer: OptimizerConfig
    batch_size: int = 32
    least_steps: int = 1
    by_length: bool = False
    """Whether texts of similar length share a batch."""
    adapter: LoRAConfig | None = None
    dtype: torch.dtype = torch.float32
    seed: int = 0
    model: SavedModel | Reader | None = None

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> NetworkTexts:
        """Train a new copy of the model that `make` makes."""
        model = self.model = self.make()
        add_classes(model.decoder, [str(label) for label in range(int(max(labels)) + 1)], "mean", self.seed)
        if self.adapter is not None:
            assert isinstance(model, SavedModel), "adapters need the matrices of a decoder"
            add_adapter(model.decoder, "classes", self.adapter, self.seed)
            freeze(model.decoder, "classes")
        rows, numbers = self._rows(texts), [int(label) for label in labels]
        kind = BucketedBatches if self.by_length else LabelledBatches
        size = min(self.batch_size, len(rows))  # a batch never holds a text twice
        batches = kind(rows, numbers, size, self.seed, pad_of(model.tokenizer))
        steps = max(self.least_steps, math.ceil(self.epochs * len(rows) / size))
        schedule = ScheduleConfig(shape="linear", warmup_steps=10)
        config = TrainingConfig(steps=steps, batch_size=size, optimizer=self.optimizer, schedule=schedule)
        runtime = RuntimeConfig(dtype=self.dtype, seed=self.seed)
        fit(Loop(model.decoder, batches, config, loss=class_loss(), runtime=runtime))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class of each text."""
        assert self.model is not None, "call fit first"
        scores = torch.from_numpy(class_logits(self.model.decoder, self._rows(texts), self.dtype))
        probabilities: np.ndarray = scores.double().softmax(-1).numpy()
        return probabilities

    def size(self) -> int:
        """Return the bytes of the weights, in fp32."""
        return 0 if self.model is None else 4 * self.model.decoder.parameter_count()

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        assert self.model is not None
        return encode_texts(self.model.tokenizer, texts, self.model.decoder.config.context)


class Evaluations(Stateless):
    """A hook that notes what `look` says of a model after every so many training steps."""

    name = "look"

    def __init__(self, every: int, look: Callable[[int, Any], dict[str, Any]]) -> None:
        self.every, self._look = every, look
        self.seen: list[dict[str, Any]] = []

    def __call__(self, step: int, decoder: Any) -> None:
        """Note one evaluation."""
        self.seen.append({"step": step, **self._look(step, decoder)})


def fit_windows(
    model: SequenceModel, tokens: Tokens, training: TrainingConfig, seed: int, hooks: Sequence[Hook] = ()
) -> None:
    """Train a model on windows of a text."""
    batches = WindowBatches(tokens, training.batch_size, training.sequence_length, seed)
    fit(Loop(model, batches, training, runtime=RuntimeConfig(seed=seed)), hooks=hooks)


def fit_streams(model: RecurrentDecoder, tokens: Tokens, training: TrainingConfig, seed: int) -> None:
    """Train a recurrent model on rows that go on through a text, with the state carried from batch to batch."""
    batches = StreamBatches(tokens, training.batch_size, training.sequence_length, seed)
    fit(Loop(model, batches, training, loss=CarriedLoss(), runtime=RuntimeConfig(seed=seed)))


def fit_pairs(
    model: SequenceModel, rows: Sequence[tuple[Sequence[int], Sequence[int]]], tokenizer: Tokenizer, batch_size: int,
    epochs: float, seed: int, *, optimizer: OptimizerConfig = PLAIN, loss: Loss = next_token_loss,
) -> None:  # fmt: skip
    """Train a model that reads a source and writes a target on pairs of their ids."""
    assert tokenizer.end_of_text is not None
    batches = SourceTargetBatches(rows, batch_size, seed, tokenizer.end_of_text, tokenizer.specials[PAD])
    steps, schedule = max(1, round(epochs * len(rows) / batch_size)), ScheduleConfig("linear", warmup_steps=50)
    training = TrainingConfig(steps=steps, optimizer=optimizer, schedule=schedule)
    fit(Loop(model, batches, training, loss=loss, runtime=RuntimeConfig(seed=seed)))
