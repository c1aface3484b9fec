"""An LSTM and a transformer tuned alike: the same search on the last of the training text, the same way to read on.

Each setting of a grid trains on a fraction of the tokens and predicts the validation text, which was cut off the end of
the training text. Long training prefers lower learning rates than short training. So the best setting then trains in
full, and again at half the rate until that helps no more (`try_lower_rates`), also scored on the validation text. The
grid has the same optimizers, learning rates and number of shapes for both networks. A step has as many tokens for both:
the transformer reads them as windows of 256; the LSTM reads more rows, each 64 tokens further, its state carried on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.recurrent import RecurrentDecoder, build_recurrent, carried_nats
from scratchlm.classic.smoothing import Katz
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import count_text_bytes, token_nats
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.networks import fit_streams, fit_windows
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import CausalLM
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig, ScheduleConfig, TrainingConfig

KINDS = ("lstm", "transformer")
OPTIMIZERS: Mapping[str, Sequence[float]] = {"AdamW": (0.0015, 0.004, 0.012), "Muon": (0.01, 0.02, 0.04, 0.08, 0.16)}
"""Learning rates of each optimizer; with Muon, AdamW steps what is no matrix of a layer at the same rate."""
VALIDATION = 24_000
"""Most tokens of validation text."""
STEP_TOKENS, LENGTHS = 1024, {"lstm": 64, "transformer": 256}
"""Tokens of a step, and of a row of it. Twice as many leave a search on so little text too few steps."""
RECURRENT_LAYERS = 2
FULL = 4
"""Most learning rates of a network that are trained in full."""
ORDERS = range(1, 7)
"""Orders of n-grams; Katz's back-off begins at 2."""


@dataclass(frozen=True)
class GridPoint:
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

    def text(self, kind: str) -> str:
        """Return the setting in words."""
        return f"{self.shape(kind)} with {self.optimizer} at {self.rate:g}"

    @property
    def config(self) -> OptimizerConfig:
        """The optimizer."""
        if self.optimizer == "AdamW":
            return AdamWConfig(learning_rate=self.rate, weight_decay=0.05)
        return MuonConfig(learning_rate=self.rate, adam=AdamWConfig(learning_rate=self.rate, weight_decay=0.0))


@dataclass(frozen=True)
class Choice:
    """A setting with what the search measured."""

    setting: GridPoint
    bits: float
    """Bits per byte of the validation text."""
    seconds: float
    flops: float
    """Estimated training FLOPs a token."""


def grid(sizes: Sequence[int]) -> list[GridPoint]:
    """Return all settings."""
    return [GridPoint(name, rate, size) for name, rates in OPTIMIZERS.items() for rate in rates for size in sizes]


def build(kind: str, size: int, vocabulary_size: int, seed: int) -> CausalLM:
    """Build a network of a size with random weights."""
    if kind == "lstm":
        shape = DecoderConfig(vocabulary_size, width=size, layers=RECURRENT_LAYERS, context=256)
        return build_recurrent(shape, "lstm", seed)
    return build_decoder(replace(at_depth(size)[0], vocabulary_size=vocabulary_size), seed)


def train(kind: str, setting: GridPoint, text: BookText, tokens: int, seed: int) -> CausalLM:
    """Train a network with a setting on `tokens` tokens of the training text, more than once if it is shorter."""
    model = build(kind, setting.size, text.tokenizer.vocabulary_size, seed)
    length = min(LENGTHS[kind], len(text.train) // 4)
    rows = max(1, STEP_TOKENS // length)
    steps = max(1, round(tokens / (rows * length)))
    schedule = ScheduleConfig(warmup_steps=min(20, steps // 5))
    training = TrainingConfig(
        steps=steps, batch_size=rows, sequence_length=length, optimizer=setting.config, schedule=schedule
    )
    if isinstance(model, RecurrentDecoder):
        fit_streams(model, ArrayTokens(text.train), training, seed)
    else:
        fit_windows(model, ArrayTokens(text.train), training, seed)
    return model


def read_on(model: CausalLM, text: BookText, ids: np.ndarray) -> Float[np.ndarray, " N"]:
    """Return the loss of each token in nats, of an LSTM with its state carried on, else in windows half overlapping."""
    if isinstance(model, RecurrentDecoder):
        return np.concatenate(carried_nats(model, text.documents(ids)))
    return token_nats(model, text.tokenizer, ArrayTokens(ids), stride=model.config.context // 2)


def cut(text: BookText) -> tuple[BookText, np.ndarray]:
    """Cut the validation text off the end of the training text; return the text without it, and its ids."""
    count = min(VALIDATION, len(text.train) // 8)
    return replace(text, train=text.train[:-count]), text.train[-count:]


def bits_of(nats: np.ndarray, ids: np.ndarray, text: BookText) -> float:
    """Return bits per byte of the losses of ids."""
    return float(nats.sum()) / math.log(2) / count_text_bytes(ArrayTokens(ids), text.tokenizer)


def tune(
    kind: str, sizes: Sequence[int], text: BookText, validation: np.ndarray, fraction: float, steps: Steps
) -> list[Choice]:
    """Measure every setting of the grid on the validation text, each after a fraction of the training tokens."""

    def measure(setting: GridPoint) -> dict[str, float]:
        started = time.perf_counter()
        model = train(kind, setting, text, round(fraction * len(text.train)), 0)
        bits = bits_of(read_on(model, text, validation), validation, text)
        return {"bits": bits, "seconds": time.perf_counter() - started, "flops": model.flops_per_token(256)}

    return [Choice(setting, **steps.once(f"tuning-{kind}-{setting.key}", measure, setting)) for setting in grid(sizes)]


def try_lower_rates(
    choices: Sequence[Choice], measure: Callable[[Choice], dict[str, Any]]
) -> dict[Choice, dict[str, Any]]:
    """Measure the best setting of a search in full, then half its learning rate, until "validation" falls no more.

    Returns what was measured of each, at most `FULL`; the last but one is the best, or the last if that limit ended it.
    """
    choice = min(choices, key=lambda each: each.bits)
    losses = {choice: measure(choice)}
    while len(losses) < FULL:
        lower = replace(choice, setting=replace(choice.setting, rate=choice.setting.rate / 2))
        losses[lower] = measure(lower)
        if losses[lower]["validation"] >= losses[choice]["validation"]:
            break
        choice = lower
    return losses


def tune_orders(
    text: BookText, validation: np.ndarray, steps: Steps, name: str = "tuning-orders"
) -> dict[str, dict[str, float]]:
    """Return bits per byte of the validation text for n-grams of each order, counted on the training text.

    `name` is that of the step.
    """
    before, after = text.documents(text.train), text.documents(validation)

    def measure() -> dict[str, dict[str, float]]:
        losses: dict[str, dict[str, float]] = {"kneser": {}, "katz": {}}
        for name, kind, orders in (("kneser", KneserNey, ORDERS), ("katz", Katz, ORDERS[1:])):
            for order in orders:
                model = kind.fit(before, text.tokenizer.vocabulary_size, order)
                nats = -np.concatenate([model.token_log_probabilities(row)[1:] for row in after])
                losses[name][str(order)] = bits_of(nats, validation, text)
        return losses

    return steps.once(name, measure)


def best_order(losses: Mapping[str, float]) -> int:
    """Return the order with the fewest bits per byte."""
    return int(min(losses, key=lambda order: losses[order]))


def report_tuning(
    out: Findings, tuned: Mapping[str, Sequence[Choice]], orders: Mapping[str, Mapping[str, float]]
) -> None:
    """Report bits per byte of the validation text for each setting and each order of n-grams."""
    cells: dict[tuple[str, float], list[Cell]] = {}
    header = ["optimizer, learning rate"]
    for kind, choices in tuned.items():
        for choice in choices:
            setting, key = choice.setting, f"tuning.{kind}.{choice.setting.key}"
            out.values[key] = Value(choice.bits)
            cells.setdefault((setting.optimizer, setting.rate), []).append(Cell(key))
            if (title := f"{kind}, {setting.shape(kind)}") not in header:
                header.append(title)
        for optimizer in OPTIMIZERS:
            least = min(each.bits for each in choices if each.setting.optimizer == optimizer)
            out.values[f"tuning.{kind}.{optimizer}"] = Value(least)
        out.timings[f"tuning.{kind}.seconds"] = sum(each.seconds for each in choices)
    rows: list[Row] = [[f"{optimizer}, {rate:g}", *row] for (optimizer, rate), row in cells.items()]
    out.table("Search of settings: bits per byte of the validation text", header, rows)
    counts = sorted({int(order) for losses in orders.values() for order in losses})
    for kind, losses in orders.items():
        out.values |= {f"tuning.{kind}.{order}": Value(bits) for order, bits in losses.items()}
    rows = [[str(order), *(Cell(f"tuning.{kind}.{order}") for kind in orders)] for order in counts]
    out.table("N-grams by order: bits per byte of the validation text", ["order", "Kneser-Ney", "Katz"], rows)


def report_candidates(out: Findings, full: Mapping[str, Mapping[Choice, Mapping[str, Any]]]) -> None:
    """Report the learning rates that were trained in full, and their bits per byte of the validation text."""
    rows: list[Row] = []
    for kind, losses in full.items():
        for choice, each in losses.items():
            key = f"full.{kind}.{choice.setting.key}"
            out.values[key] = Value(each["validation"])
            rows.append([f"{kind}, {choice.setting.text(kind)}", Cell(key)])
    out.table(
        "Learning rates trained in full: bits per byte of the validation text", ["setting", "bits per byte"], rows
    )
