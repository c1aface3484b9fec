"""`experiment twins`: models that differ in one part alone, trained on the same batches from the same seed.

A search finds the learning rate of each twin, because what is removed also changes which rate is best: the rates of
Muon and AdamW are multiplied by one factor. No branch begins at zero, without which a model without residuals would
stay at zero. A run that diverges counts as one that guesses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.config import TwinsConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.frozen import search_rates
from scratchlm.lab.shared.networks import Evaluations, fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.config import DecoderConfig, NoPositionsConfig, grouped
from scratchlm.model.decoder import Block, Decoder, build_decoder
from scratchlm.model.network import Stream
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.training.config import MuonConfig, TrainingConfig
from scratchlm.training.spikes import DivergenceError

WIDTH, LAYERS, HEADS, LENGTH, ROWS = 96, 4, 4, 128, 16
"""The model and its batches."""
LOOKS = 12
"""Evaluations of a training run."""
WATCHED = 2048
"""Tokens of each of them but the last."""
BLOCK = 256
"""Tokens of a block of held-out text."""
FACTOR = 2.0
"""Factor between two learning rates of a search."""


@dataclass(frozen=True)
class Twin:
    """A model that lacks a part, and how it is made from the whole one's shape, modules and training."""

    name: str
    shape: Callable[[DecoderConfig], DecoderConfig] = lambda shape: shape
    change: Callable[[Decoder], None] = lambda decoder: None
    training: Callable[[TrainingConfig], TrainingConfig] = lambda training: training


class BlockWithoutResidual(Block):
    """A block whose branches take the place of the stream instead of being added to it."""

    def forward(self, x: Stream, context: AttentionContext) -> Stream:
        """Return what the feed-forward makes of what attention makes of the stream."""
        return self.feed_forward(self.feed_forward_norm(self.attention(self.attention_norm(x), context)))


class Nothing(nn.Module):
    """Adds zero to the stream."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the same shape."""
        return x * 0.0


def remove_residuals(decoder: Decoder) -> None:
    """Take the residual connections out."""
    for number, block in enumerate(list(decoder.blocks)):
        block_without = BlockWithoutResidual(decoder.config, number)
        block_without.load_state_dict(block.state_dict())
        decoder.blocks[number] = block_without


def remove_norms(decoder: Decoder) -> None:
    """Take the norms of the stream out; those of queries and keys stay."""
    for block in decoder.blocks:
        block.attention_norm = block.feed_forward_norm = nn.Identity()
    decoder.set_submodule("final_norm", nn.Identity())


def remove_feed_forwards(decoder: Decoder) -> None:
    """Take the feed-forwards out, with their norms."""
    for block in decoder.blocks:
        block.feed_forward_norm, block.feed_forward = nn.Identity(), Nothing()


def with_heads(count: int, width: int) -> Callable[[DecoderConfig], DecoderConfig]:
    """Return what gives a shape so many heads, each so wide."""
    return lambda shape: replace(shape, attention=replace(grouped(shape), heads=count, kv_heads=count, head_dim=width))


def same_size(shape: DecoderConfig) -> int:
    """Return how wide heads must be for attention alone to have as many weights as with the feed-forward, or more."""
    weights = 4 * WIDTH * WIDTH + 3 * WIDTH * 3 * WIDTH
    return 2 * math.ceil(weights / (4 * WIDTH * HEADS) / 2)


TWINS: Mapping[str, Twin] = {
    "whole": Twin("nothing: the whole model"),
    "residual": Twin("residual connections", change=remove_residuals),
    "norm": Twin("norms", change=remove_norms),
    "positions": Twin("positions", lambda shape: replace(shape, positions=NoPositionsConfig())),
    "warm-up": Twin("warm-up", training=lambda training: replace(
        training, schedule=replace(training.schedule, warmup_steps=0))),
    "qk-norm": Twin("norms of queries and keys",
                    lambda shape: replace(shape, attention=replace(grouped(shape), qk_norm=False))),
    "heads": Twin("all heads but one, as wide as all", with_heads(1, WIDTH)),
    "feed-forward": Twin("feed-forwards", change=remove_feed_forwards),
    "more-attention": Twin("feed-forwards, for wider heads",
                           lambda shape: with_heads(HEADS, same_size(shape))(shape), remove_feed_forwards),
}  # fmt: skip
"""The models, by the part that is removed."""


class Text:
    """The text: half of what is held out chooses learning rates, the other half is the test."""

    def __init__(self, data: Path, config: TwinsConfig) -> None:
        self.tokenizer, self.train, held_out = open_data(data)
        ids = held_out.read(0, len(held_out)).astype(np.int64)
        half = len(ids) // 2
        self.valid, self.test = ArrayTokens(ids[:half][: config.targets]), ArrayTokens(ids[half:][: config.targets])

    def nats(self, decoder: Decoder, tokens: ArrayTokens) -> np.ndarray:
        """Return the loss of each token."""
        return token_nats(decoder, self.tokenizer, tokens, length=LENGTH)


def built(twin: Twin, vocabulary_size: int, seed: int) -> Decoder:
    """Build a twin with random weights; those that it shares with the whole model are drawn alike."""
    shape = qwen3_shaped(vocabulary_size, width=WIDTH, layers=LAYERS, context=LENGTH)
    shape = with_heads(HEADS, WIDTH // HEADS)(replace(shape, zero_init_outputs=False))
    decoder = build_decoder(twin.shape(shape), seed)
    twin.change(decoder)
    return decoder


def trained(twin: Twin, text: Text, steps: int, factor: float, seed: int) -> tuple[Decoder, list[dict[str, Any]]]:
    """Train a twin; return it and its losses during training, fewer of one that diverged."""
    decoder = built(twin, text.tokenizer.vocabulary_size, seed)
    recipe = load_recipe("default").training
    optimizer = recipe.optimizer
    assert isinstance(optimizer, MuonConfig)
    adam = replace(optimizer.adam, learning_rate=factor * optimizer.adam.learning_rate)
    optimizer = replace(optimizer, learning_rate=factor * optimizer.learning_rate, adam=adam)
    schedule = replace(recipe.schedule, warmup_steps=min(recipe.schedule.warmup_steps, steps // 5))
    training = replace(recipe, steps=steps, batch_size=ROWS, sequence_length=LENGTH, optimizer=optimizer,
                       schedule=schedule)  # fmt: skip
    watched = ArrayTokens(text.test.read(0, min(WATCHED, len(text.test))))

    def loss(step: int, model: Decoder) -> dict[str, float]:
        return {"loss": round(float(text.nats(model, watched).mean()), 9)}

    curve = Evaluations(max(1, steps // LOOKS), loss)
    try:
        fit_windows(decoder, text.train, twin.training(training), seed, [curve])
    except DivergenceError:
        return built(twin, text.tokenizer.vocabulary_size, seed), curve.seen
    return decoder, curve.seen


def searched(twin: Twin, text: Text, config: TwinsConfig) -> dict[str, Any]:
    """Return the factor of the learning rates with the lowest validation loss, and all that were tried."""

    def loss(factor: float) -> float:
        decoder, _ = trained(twin, text, config.search_steps, factor, config.seed)
        return round(float(text.nats(decoder, text.valid).mean()), 9)

    tried = search_rates(loss, 1.0, FACTOR)
    best = min(tried, key=lambda factor: tried[factor])
    return {"factor": best, "inside": min(tried) < best < max(tried), "tried": {str(at): tried[at] for at in tried}}


def run(config: TwinsConfig, steps: Steps, out: Findings) -> None:
    """Search the learning rate of each twin, train it, and test it."""
    size = max(1_000_000, 5 * config.pretraining_steps * ROWS * LENGTH)
    data = prepare_text(config.books, size, config.vocabulary_size, steps.shared)
    text = Text(data, config)
    results: dict[str, dict[str, Any]] = {}
    for key, twin in TWINS.items():
        best = steps.shared.once(f"search {key}", searched, twin, text, config)

        def work(twin: Twin = twin, factor: float = best["factor"]) -> dict[str, Any]:
            decoder, seen = trained(twin, text, config.pretraining_steps, factor, config.seed)
            nats = text.nats(decoder, text.test)
            blocks = [float(each.mean()) for each in np.array_split(nats, max(2, len(nats) // BLOCK))]
            return {"weights": decoder.parameter_count(), "curve": seen, "blocks": [round(each, 9) for each in blocks]}

        results[key] = {**best, **steps.once(f"train {key}", work)}
    report(out, results)
    out.notes += [
        f"{LAYERS} layers of width {WIDTH}, batches of {ROWS} rows of {LENGTH} tokens, the same for all",
        "losses have intervals over blocks of held-out text",
        f"learning rates are searched by factors of {FACTOR:g} at the first seed, on validation text",
    ]


def report(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Report the loss of each twin and how much it is above the whole model's, and add the claims."""
    for key, each in results.items():
        out.values |= {f"{key}.loss": mean_of(each["blocks"]), f"{key}.weights": Value(each["weights"])}
        out.gain(f"{key}.rise", paired(np.subtract(each["blocks"], results["whole"]["blocks"])))
    rows: list[Row] = [
        [TWINS[key].name, f"{each['weights']:,}", f"{each['factor']:g}", Cell(f"{key}.loss"),
         Cell(f"{key}.rise", "+.3f") if key != "whole" else ""]
        for key, each in results.items()
    ]  # fmt: skip
    header = ["removed", "weights", "learning rate, times the recipe's", "nats per token", "more than the whole model"]
    out.table("Models that lack a part, each at its best learning rate", header, rows)
    lines = {
        TWINS[key].name: ([at["step"] for at in each["curve"]], [at["loss"] for at in each["curve"]])
        for key, each in results.items()
    }
    out.curves("Loss on held-out text while training", "training steps", "nats per token", lines)
    removed = [key for key in results if key != "whole"]
    out.dots(
        "Loss above that of the whole model", "nats per token", {TWINS[key].name: f"{key}.rise" for key in removed}
    )
    _claim(out, results, removed)


def _claim(out: Findings, results: Mapping[str, Mapping[str, Any]], removed: Sequence[str]) -> None:
    out.claim("residuals-help")
    out.claim("norms-help")
    out.claim("positions-help")
    out.claim("warm-up-helps")
    out.claim("qk-norms-help")
    out.claim("several-heads-help")
    out.claim("feed-forwards-help")
    out.claim("feed-forwards-are-more-than-weights")
    out.claim("rates-are-inside", all(results[key]["inside"] for key in ("whole", *removed)))
