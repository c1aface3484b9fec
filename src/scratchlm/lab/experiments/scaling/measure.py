"""`experiment scaling`: loss against parameters, tokens and compute; two published laws predict a larger run.

Each model size is trained on each number of tokens in its own run, with a full learning rate schedule. Validation text
chooses the learning rate. Two laws are fitted alike to these runs: that of Kaplan et al. 2020 (arXiv 2001.08361), in
which parameters and tokens interact, and that of Hoffmann et al. 2022 (arXiv 2203.15556), with separate terms and an
irreducible loss. The step "prediction" is written before the larger run begins, once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import count_text_bytes, token_nats
from scratchlm.lab.experiments.config import ScalingConfig
from scratchlm.lab.experiments.scaling.report import SeedMeasurements, report
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import book_text
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.scaling_laws import Run, predict
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder, outline
from scratchlm.model.presets import qwen3_shaped
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.config import AdamWConfig, MuonConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.optimizer import matrix_weights

CONTEXT = 128
"""Tokens of a training window."""
FACTORS = (0.3, 0.7, 1.6)
"""Learning rates that are tried, as factors of the usual one for the width."""
VALIDATION, EACH_BOOK = 24_576, 4096
"""Tokens at the end of the training text that choose learning rates, and tokens of each held-out book that are used."""
BYTES_A_TOKEN = 4
"""Bytes of books prepared for each token of the longest run, so that no run repeats its text."""


@dataclass(frozen=True)
class ScalingTexts:
    """Training text, the text that chooses learning rates, and the beginning of each held-out book."""

    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    books: list[np.ndarray]

    @property
    def book_bytes(self) -> int:
        """UTF-8 bytes of the held-out text."""
        return sum(count_text_bytes(ArrayTokens(book), self.tokenizer) for book in self.books)


@dataclass(frozen=True)
class RateRule:
    """The best learning rate of a run, as a factor of the usual one: its log is linear in log width and log tokens.

    It is fitted to the validation losses of all runs at several rates, as one parabola in the log rate with a minimum
    that moves, so that the noise of single runs hardly counts.
    """

    level: float
    by_width: float
    by_tokens: float
    centre: tuple[float, float]
    """Mean log width and mean log tokens of the runs."""
    longest: int
    """Tokens of the longest of them."""

    def factor(self, width: int, tokens: int) -> float:
        """Return the best factor, at most four times beyond those that were tried; longer runs have the longest's."""
        # The best rate fell up to 320,000 tokens but not to 720,000: a trend must not be extended.
        x, y = math.log(width) - self.centre[0], math.log(min(tokens, self.longest)) - self.centre[1]
        log = self.level + self.by_width * x + self.by_tokens * y
        return math.exp(min(max(log, math.log(FACTORS[0] / 4)), math.log(FACTORS[-1] * 4)))


def fit_rates(losses: Mapping[tuple[int, int, float], float]) -> RateRule:
    """Fit the rule to validation losses by width, tokens and factor.

    The loss of a cell is c + k f^2 - 2 k f m, with f the log factor and m its best place, linear in log width and log
    tokens: linear least squares. Where the losses do not curve upwards, the rule is the factor with the lowest mean.
    """
    cells = sorted({(width, tokens) for width, tokens, _ in losses})
    logs = np.log(np.array(cells, np.float64))
    centre = logs.mean(0)
    own, moved = np.eye(len(cells)), np.column_stack([np.ones(len(cells)), logs - centre])
    rows = [
        [*own[(at := cells.index((width, tokens)))], math.log(factor) ** 2, *(math.log(factor) * moved[at])]
        for width, tokens, factor in losses
    ]
    solution = np.linalg.lstsq(np.array(rows), np.array(list(losses.values())), rcond=1e-9)[0][len(cells) :]
    curvature, slopes = float(solution[0]), solution[1:]
    if curvature > 0:
        level, by_width, by_tokens = (float(slope) for slope in -slopes / (2 * curvature))
    else:
        means = {factor: np.mean([loss for at, loss in losses.items() if at[2] == factor]) for *_, factor in losses}
        level, by_width, by_tokens = math.log(min(means, key=lambda factor: float(means[factor]))), 0.0, 0.0
    return RateRule(level, by_width, by_tokens, (float(centre[0]), float(centre[1])), max(at[1] for at in cells))


@dataclass
class Trainer:
    """Trains runs of one seed, each as a step, and chooses learning rates."""

    config: ScalingConfig
    texts: ScalingTexts
    steps: Steps
    trials: dict[tuple[int, int, float], dict[str, Any]] = field(default_factory=dict)
    """What each run gave, by width, tokens and factor of the learning rate."""

    def trial(self, width: int, tokens: int, factor: float) -> dict[str, Any]:
        """Train a run, or find it among the steps."""
        at = (width, tokens, factor)
        if at not in self.trials:
            name = f"width-{width}-tokens-{tokens}-rate-{factor:g}"
            self.trials[at] = self.steps.once(name, lambda: self.train(*at, self.texts.train))
        return self.trials[at]

    @cached_property
    def rule(self) -> RateRule:
        """Train each width on the smaller numbers of tokens at every factor, and fit the rule to these runs."""
        tuned = itertools.product(self.config.widths, self.config.tokens[: self.config.tuned], FACTORS)
        return fit_rates({at: float(self.trial(*at)["validation"]) for at in tuned})

    def chosen(self, width: int, tokens: int) -> float:
        """Return the factor by the rule: of the tuned runs the nearest that was tried, of others the rule's own."""
        best = self.rule.factor(width, tokens)
        if width in self.config.widths and tokens in self.config.tokens[: self.config.tuned]:
            return min(FACTORS, key=lambda factor: abs(math.log(factor / best)))
        return float(f"{best:.2g}")

    def cell(self, width: int, tokens: int) -> dict[str, Any]:
        """Return the run of a width on a number of tokens, at the chosen learning rate."""
        return self.trial(width, tokens, self.chosen(width, tokens))

    def train(self, width: int, tokens: int, factor: float, ids: np.ndarray) -> dict[str, Any]:
        """Train one model on windows of `ids`; return its losses, size and compute."""
        config, tokenizer = self.config, self.texts.tokenizer
        training = recipe(width, tokens, factor, config)
        decoder = build_decoder(shape(width, config.layers, tokenizer.vocabulary_size), config.seed)
        fit_windows(decoder, ArrayTokens(ids), training, config.seed)
        validation = token_nats(decoder, tokenizer, ArrayTokens(self.texts.validation))
        books = [float(token_nats(decoder, tokenizer, ArrayTokens(book)).sum()) for book in self.texts.books]
        return {**planned(width, tokens, config, tokenizer), "validation": float(validation.mean()), "books": books}

    def repeated(self, width: int, few: int, many: int) -> dict[str, Any]:
        """Train as many steps as `many` tokens take on `few` tokens again and again: more steps, no more text."""
        order = np.random.default_rng(self.config.seed).permutation(len(self.texts.train) // CONTEXT)[: few // CONTEXT]
        ids = np.concatenate([self.texts.train[at * CONTEXT : (at + 1) * CONTEXT] for at in order])
        factor = self.chosen(width, many)
        return self.steps.once(f"width-{width}-tokens-{few}-repeated", lambda: self.train(width, many, factor, ids))


def shape(width: int, layers: int, vocabulary_size: int) -> DecoderConfig:
    """Return a model with 12 width^2 matrix weights in each layer, whatever the width."""
    heads = 2 * max(1, width // 64)
    return qwen3_shaped(vocabulary_size, width=width, layers=layers, context=CONTEXT, head_dim=width // heads)


def recipe(width: int, tokens: int, factor: float, config: ScalingConfig) -> TrainingConfig:
    """Return the training of a run: the rates of the depth scaling rule times a factor, warm-up over a tenth of it."""
    steps = max(1, round(tokens / (config.batch_size * CONTEXT)))
    adam = AdamWConfig(learning_rate=factor * 0.02 * (128 / width) ** 0.5, weight_decay=0.0)
    return TrainingConfig(
        steps=steps,
        batch_size=config.batch_size,
        sequence_length=CONTEXT,
        optimizer=MuonConfig(learning_rate=factor * 0.02, adam=adam),
        schedule=ScheduleConfig(warmup_steps=max(1, steps // 10)),
    )


def planned(width: int, tokens: int, config: ScalingConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what can be counted before a run: parameters, tokens and FLOPs."""
    decoder = outline(shape(width, config.layers, tokenizer.vocabulary_size))
    read = recipe(width, tokens, 1.0, config).steps * config.batch_size * CONTEXT
    counts = {"weights": matrix_weights(decoder), "parameters": decoder.parameter_count()}
    return {**counts, "tokens": read, "flops": read * decoder.flops_per_token(CONTEXT)}


def texts_of(config: ScalingConfig, steps: Steps) -> ScalingTexts:
    """Prepare the text. Raises `UserError` if a run would repeat its text."""
    longest = max(config.larger_tokens, *config.tokens)
    text = book_text(config.books, BYTES_A_TOKEN * (longest + VALIDATION), config.vocabulary_size, steps)
    train, validation = text.train[:-VALIDATION], text.train[-VALIDATION:]
    if len(train) < longest + CONTEXT:
        short = f"the books have {max(0, len(train) - CONTEXT)} tokens, and no run may repeat its text"
        raise UserError(f"--tokens, --larger-tokens {longest}: {short}; give fewer")
    books = [book[1 : EACH_BOOK + 1] for book in text.documents(text.held_out)]
    return ScalingTexts(text.tokenizer, train, validation, books)


def run(config: ScalingConfig, steps: Steps, out: Findings) -> None:
    """Train each size on each number of tokens, predict the larger run, and only then train it."""
    texts = texts_of(config, steps.shared)
    trainer = Trainer(config, texts, steps)
    cells = {(width, n): trainer.cell(width, n) for width in config.widths for n in config.tokens}
    for factor in FACTORS:
        trainer.trial(config.widths[0], config.tokens[-1], factor)  # what the rule loses where it was not tuned
    few, many = config.tokens[0], config.tokens[-2]
    repeated = trainer.repeated(config.widths[1], few, many)
    scale = 1 / math.log(2) / texts.book_bytes
    coming = planned(config.larger_width, config.larger_tokens, config, texts.tokenizer)
    runs = [run_of(each, scale) for each in cells.values()]
    everything = [each["parameters"] for each in (*cells.values(), coming)]
    prediction = steps.once("prediction", _predict, runs, run_of(coming, scale), everything, config.seed)
    factor = trainer.chosen(config.larger_width, config.larger_tokens)
    larger = trainer.trial(config.larger_width, config.larger_tokens, factor)
    rates = {cell: (trainer.chosen(*cell), trainer.rule.factor(*cell)) for cell in cells}
    out.values["rate.larger"] = Value(factor)
    report(out, SeedMeasurements(config, scale, cells, rates, trainer.trials, repeated, prediction, larger))
    out.values["held_out_bytes"] = Value(texts.book_bytes)
    out.notes += [
        f"{len(texts.books)} books are held out, the first {EACH_BOOK:,} tokens of each; gains are clustered by book",
        "the laws are fitted to the loss on this text, so its choice adds nothing to their errors",
    ]


def run_of(measured: dict[str, Any], scale: float) -> Run:
    """Return a run for the laws; N counts matrix weights inside blocks, as Kaplan et al. do without embeddings."""
    bits = scale * sum(measured["books"]) if "books" in measured else math.nan
    return Run(measured["weights"], measured["tokens"], measured["flops"], bits)


def _predict(runs: list[Run], coming: Run, everything: list[int], seed: int) -> dict[str, Any]:
    try:
        return predict(runs, coming, everything, seed)
    except ValueError as error:
        raise UserError(f"--widths, --tokens: {error}; give more of them") from None
