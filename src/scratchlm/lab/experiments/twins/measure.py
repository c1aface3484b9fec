"""`experiment twins`: models that differ in one part alone, trained on the same batches from the same seed.

A search finds the learning rate of each twin (`shared/variants.py`), because what is removed also changes which rate is
best. No branch begins at zero, without which a model without residuals would stay at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratchlm.lab.experiments.config import TwinsConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.lab.shared.variants import FACTOR, Variant, VariantText, curve_of, measure_variants
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.config import DecoderConfig, NoPositionsConfig, grouped
from scratchlm.model.decoder import Block, Decoder, build_decoder
from scratchlm.model.network import Stream
from scratchlm.model.presets import qwen3_shaped

WIDTH, LAYERS, HEADS, LENGTH, ROWS = 96, 4, 4, 128, 16
"""The model and its batches."""


class BlockWithoutResidual(Block):
    """A block whose branches take the place of the stream instead of being added to it."""

    def forward(self, x: Stream, context: AttentionContext) -> Stream:
        """Return what the feed-forward makes of what attention makes of the stream."""
        return self.feed_forward(self.feed_forward_norm(self.attention(self.attention_norm(x), context)))


class Nothing(nn.Module):
    """Adds zero to the stream."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the same shape."""
        return torch.zeros_like(x)


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


def with_heads(shape: DecoderConfig, count: int, width: int) -> DecoderConfig:
    """Return a shape with so many heads, each so wide."""
    return replace(shape, attention=replace(grouped(shape), heads=count, kv_heads=count, head_dim=width))


def width_alone() -> int:
    """Return how wide heads must be for attention alone to have as many weights as with the feed-forward, or more."""
    weights = 4 * WIDTH * WIDTH + 3 * WIDTH * 3 * WIDTH
    return 2 * math.ceil(weights / (4 * WIDTH * HEADS) / 2)


def making(
    shaped: Callable[[DecoderConfig], DecoderConfig] = lambda shape: shape,
    change: Callable[[Decoder], None] = lambda decoder: None,
) -> Callable[[int, int], Decoder]:
    """Return what makes a twin by the shape and the modules of the whole model; shared weights are drawn alike."""

    def make(vocabulary_size: int, seed: int) -> Decoder:
        shape = qwen3_shaped(vocabulary_size, width=WIDTH, layers=LAYERS, context=LENGTH)
        decoder = build_decoder(
            shaped(with_heads(replace(shape, zero_init_outputs=False), HEADS, WIDTH // HEADS)), seed
        )
        change(decoder)
        return decoder

    return make


TWINS: Mapping[str, Variant] = {
    "whole": Variant("nothing: the whole model", making()),
    "residual": Variant("residual connections", making(change=remove_residuals)),
    "norm": Variant("norms", making(change=remove_norms)),
    "positions": Variant("positions", making(lambda shape: replace(shape, positions=NoPositionsConfig()))),
    "warm-up": Variant("warm-up", making(), lambda training: replace(
        training, schedule=replace(training.schedule, warmup_steps=0))),
    "qk-norm": Variant("norms of queries and keys", making(
        lambda shape: replace(shape, attention=replace(grouped(shape), qk_norm=False)))),
    "heads": Variant("all heads but one, as wide as all", making(lambda shape: with_heads(shape, 1, WIDTH))),
    "feed-forward": Variant("feed-forwards", making(change=remove_feed_forwards)),
    "more-attention": Variant("feed-forwards, for wider heads", making(
        lambda shape: with_heads(shape, HEADS, width_alone()), remove_feed_forwards)),
}  # fmt: skip
"""The models, by the part that is removed."""


def run(config: TwinsConfig, steps: Steps, out: Findings) -> None:
    """Search the learning rate of each twin, train it, and test it."""
    size = max(1_000_000, 5 * config.pretraining_steps * ROWS * LENGTH)
    text = VariantText(prepare_text(config.books, size, config.vocabulary_size, steps.shared), config.targets, LENGTH)
    counts = (config.search_steps, config.pretraining_steps)
    results = measure_variants(TWINS, text, ROWS, counts, config.seed, steps)
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
    lines = {TWINS[key].name: curve_of(each["curve"]) for key, each in results.items()}
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
