"""An LSTM and a transformer tuned alike: the same search on the last of the training text, the same way to read on.

Each setting of a grid trains on a fraction of the tokens and predicts the validation text, the end of the training
text. The grid has the same optimizers, learning rates and number of shapes for both networks, and the shapes take about
as long to train. A step has as many tokens for both. The transformer reads them as windows of 256. The LSTM reads more
rows, each 64 tokens further with its state carried on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.recurrent import RecurrentDecoder, build_recurrent, carried_nats
from scratchlm.classic.smoothing import Katz
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import count_text_bytes, token_nats
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.networks import fit_streams, fit_windows
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import CausalLM
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig, ScheduleConfig, TrainingConfig

KINDS = ("lstm", "transformer")
OPTIMIZERS: Mapping[str, Sequence[float]] = {"AdamW": (0.003, 0.006, 0.012), "Muon": (0.01, 0.02, 0.04, 0.08)}
"""Learning rates of each optimizer; with Muon, AdamW steps what is no matrix of a layer at the same rate."""
VALIDATION = 24_000
"""Most tokens of validation text."""
STEP_TOKENS, LENGTHS = 2048, {"lstm": 64, "transformer": 256}
"""Tokens of a step, and of a row of it."""
RECURRENT_LAYERS = 2
ORDERS = range(1, 7)
"""Orders of n-grams; Katz's back-off begins at 2."""


@dataclass(frozen=True)
class Setting:
    """A point of the grid: optimizer, learning rate and shape."""

    optimizer: str
    rate: float
    size: int
    """Layers of a transformer, width of an LSTM."""

    @property
    def key(self) -> str:
        """Its name among values."""
        return f"{self.optimizer}.{self.rate:g}.{self.size}"

    def shape(self, kind: str) -> str:
        """Return what the size is, in words."""
        return f"width {self.size}" if kind == "lstm" else f"{self.size} layers"

    def told(self, kind: str) -> str:
        """Return the setting in words."""
        return f"{self.shape(kind)} with {self.optimizer} at {self.rate:g}"

    def config(self) -> OptimizerConfig:
        """Return the optimizer."""
        if self.optimizer == "AdamW":
            return AdamWConfig(learning_rate=self.rate, weight_decay=0.05)
        return MuonConfig(learning_rate=self.rate, adam=AdamWConfig(learning_rate=self.rate, weight_decay=0.0))


@dataclass(frozen=True)
class Choice:
    """A setting with what the search measured."""

    setting: Setting
    bits: float
    """Bits per byte of the validation text."""
    seconds: float
    flops: float
    """Estimated training FLOPs a token."""

    @property
    def at_edge(self) -> bool:
        """Whether its learning rate is the lowest or highest that was tried, so that one beyond might be better."""
        rates = OPTIMIZERS[self.setting.optimizer]
        return self.setting.rate in (min(rates), max(rates))


def grid(sizes: Sequence[int]) -> list[Setting]:
    """Return all settings."""
    return [Setting(name, rate, size) for name, rates in OPTIMIZERS.items() for rate in rates for size in sizes]


def build(kind: str, size: int, vocabulary_size: int, seed: int) -> CausalLM:
    """Build a network of a size with random weights."""
    if kind == "lstm":
        shape = DecoderConfig(vocabulary_size, width=size, layers=RECURRENT_LAYERS, context=256)
        return build_recurrent(shape, "lstm", seed)
    return build_decoder(replace(at_depth(size)[0], vocabulary_size=vocabulary_size), seed)


def train(kind: str, setting: Setting, text: BookText, learned: np.ndarray, tokens: int, seed: int) -> CausalLM:
    """Train a network with a setting on `tokens` tokens of a text, from its beginning again if it is shorter."""
    model = build(kind, setting.size, text.tokenizer.vocabulary_size, seed)
    length = min(LENGTHS[kind], len(learned) // 4)
    rows = max(1, STEP_TOKENS // length)
    steps = max(1, round(tokens / (rows * length)))
    schedule = ScheduleConfig(warmup_steps=min(20, steps // 5))
    training = TrainingConfig(
        steps=steps, batch_size=rows, sequence_length=length, optimizer=setting.config(), schedule=schedule
    )
    if isinstance(model, RecurrentDecoder):
        fit_streams(model, ArrayTokens(learned), training, seed)
    else:
        fit_windows(model, ArrayTokens(learned), training, seed)
    return model


def read_on(model: CausalLM, text: BookText, ids: np.ndarray) -> Float[np.ndarray, " N"]:
    """Return the loss of each token in nats, of an LSTM with its state carried on, else in windows half overlapping."""
    if isinstance(model, RecurrentDecoder):
        return np.concatenate(carried_nats(model, text.documents(ids)))
    return token_nats(model, text.tokenizer, ArrayTokens(ids), stride=model.config.context // 2)


def cut(text: BookText) -> tuple[np.ndarray, np.ndarray]:
    """Cut the validation text off the end of the training text; return what is left, and the validation text."""
    count = min(VALIDATION, len(text.train) // 8)
    return text.train[:-count], text.train[-count:]


def tune(kind: str, sizes: Sequence[int], text: BookText, fraction: float, steps: Steps) -> list[Choice]:
    """Measure every setting of the grid on the validation text, each after a fraction of the training tokens."""
    learned, validation = cut(text)
    size = count_text_bytes(ArrayTokens(validation), text.tokenizer)

    def measure(setting: Setting) -> dict[str, object]:
        started = time.perf_counter()
        model = train(kind, setting, text, learned, round(fraction * len(learned)), 0)
        bits = float(read_on(model, text, validation).sum()) / math.log(2) / size
        return {"bits": bits, "seconds": time.perf_counter() - started, "flops": model.flops_per_token(256)}

    return [Choice(setting, **steps.once(f"tuning-{kind}-{setting.key}", measure, setting)) for setting in grid(sizes)]


def tune_orders(text: BookText, steps: Steps) -> dict[str, dict[str, float]]:
    """Return bits per byte of the validation text for n-grams of each order, counted on the text before it."""
    learned, validation = cut(text)
    size = count_text_bytes(ArrayTokens(validation), text.tokenizer)
    before, after = text.documents(learned), text.documents(validation)

    def measure() -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {"kneser": {}, "katz": {}}
        for name, kind, orders in (("kneser", KneserNey, ORDERS), ("katz", Katz, ORDERS[1:])):
            for order in orders:
                model = kind.fit(before, text.tokenizer.vocabulary_size, order)
                nats = -sum(float(model.token_log_probabilities(row)[1:].sum()) for row in after)
                found[name][str(order)] = nats / math.log(2) / size
        return found

    return steps.once("tuning-orders", measure)


def best_order(found: Mapping[str, float]) -> int:
    """Return the order with the fewest bits per byte."""
    return int(min(found, key=lambda order: found[order]))
