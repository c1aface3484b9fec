"""`experiment attention-kinds`: loss, memory and speed of five kinds of attention at equal parameters.

Multi-head, grouped-query, latent and windowed attention, and Gated DeltaNet (`shared/delta.py`), in small models that
are otherwise the same, on the same batches; a search finds the learning rate of each (`shared/variants.py`). Memory is
what a cache must keep of a text in fp32. Speeds are clocked on this machine, one text at a time, without compilation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from scratchlm.lab.experiments.config import AttentionKindsConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.delta import REACH, GatedDeltaNet
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.lab.shared.variants import FACTOR, Variant, VariantText, curve_of, measure_variants
from scratchlm.model.cache import KVCache
from scratchlm.model.config import AttentionChoice, AttentionConfig, LatentAttentionConfig
from scratchlm.model.decoder import Block, Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped

WIDTH, LAYERS, HEADS, LENGTH, ROWS = 96, 4, 4, 256, 8
"""The models and their batches."""
WINDOW = 32
"""Positions that windowed attention sees."""
KEY, VALUE = 16, 20
"""Widths of a key and a value of Gated DeltaNet, which give it as many parameters."""
TEXTS = (256, 4096, 32_768)
"""Lengths of a text, in tokens, at which memory is reported."""
WRITTEN, REPEATS = 64, 5
"""Tokens that are written to clock the speed, and how often; the median counts."""
NEAR = 0.02
"""Fraction by which parameters, and losses called alike, may differ."""


def making(attention: AttentionChoice) -> Callable[[int, int], Decoder]:
    """Return what makes a model with this attention."""

    def make(vocabulary_size: int, seed: int) -> Decoder:
        shape = qwen3_shaped(vocabulary_size, width=WIDTH, layers=LAYERS, context=LENGTH)
        return build_decoder(replace(shape, attention=attention), seed)

    return make


def make_delta(vocabulary_size: int, seed: int) -> Decoder:
    """Make a model of Gated DeltaNet."""
    decoder = making(AttentionConfig(HEADS, HEADS, WIDTH // HEADS))(vocabulary_size, seed)
    draw = torch.Generator().manual_seed(seed)
    for block in decoder.blocks:
        assert isinstance(block, Block)
        layer = GatedDeltaNet(WIDTH, HEADS, KEY, VALUE)
        for parameter in layer.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=decoder.config.init_std, generator=draw)
        layer.begin()
        torch.nn.init.zeros_(layer.output.weight)  # as those of the other kinds
        block.attention = layer
    return decoder


KINDS: Mapping[str, Variant] = {
    "multi-head": Variant("multi-head", making(AttentionConfig(HEADS, HEADS, WIDTH // HEADS))),
    "grouped": Variant("grouped-query, half the key-value heads", making(AttentionConfig(HEADS, HEADS // 2, 32))),
    "latent": Variant("latent", making(LatentAttentionConfig(HEADS, 48, None, 24, 8, 24))),
    "windowed": Variant(
        f"multi-head, a window of {WINDOW}", making(AttentionConfig(HEADS, HEADS, WIDTH // HEADS, window=WINDOW))
    ),
    "delta": Variant("Gated DeltaNet", make_delta),
}


def cache_bytes(decoder: Decoder, length: int) -> int:
    """Return the bytes in fp32 that a cache must keep of a text of so many tokens."""
    total = 0
    for layer in decoder.attentions:
        if isinstance(layer, GatedDeltaNet):
            inputs = layer.heads * (2 * layer.key_dim + layer.value_dim)
            total += layer.heads * layer.key_dim * layer.value_dim + REACH * inputs
        else:
            total += layer.cache_numbers * min(length, layer.window or length)
    return 4 * total


@torch.no_grad()
def speeds(decoder: Decoder) -> dict[str, float]:
    """Return the tokens that are read and written in a second, medians over several times."""
    decoder.eval()
    reading, writing = [], []
    prompt = torch.arange(LENGTH - WRITTEN)[None] % decoder.config.vocabulary_size
    for _ in range(REPEATS):
        cache = KVCache(LENGTH)
        begun = time.perf_counter()
        token = decoder(prompt, cache)[:, -1:].argmax(-1)
        read = time.perf_counter()
        for _ in range(WRITTEN):
            token = decoder(token, cache)[:, -1:].argmax(-1)
        reading.append(prompt.size(1) / (read - begun))
        writing.append(WRITTEN / (time.perf_counter() - read))
    return {"reading": median(reading), "writing": median(writing)}


def costs(decoder: Decoder) -> dict[str, Any]:
    """Return the memory and the speed of a model."""
    return {"kept": {str(length): cache_bytes(decoder, length) for length in TEXTS}, **speeds(decoder)}


def run(config: AttentionKindsConfig, steps: Steps, out: Findings) -> None:
    """Search the learning rate of each kind, train it, and test it."""
    size = max(1_000_000, 5 * config.pretraining_steps * ROWS * LENGTH)
    text = VariantText(prepare_text(config.books, size, config.vocabulary_size, steps.shared), config.targets, LENGTH)
    counts = (config.search_steps, config.pretraining_steps)
    results = measure_variants(KINDS, text, ROWS, counts, config.seed, steps, costs)
    report(out, results)
    out.notes += [
        f"{LAYERS} layers of width {WIDTH}, batches of {ROWS} rows of {LENGTH} tokens, the same for all",
        "losses have intervals over blocks of held-out text",
        f"learning rates are searched by factors of {FACTOR:g} at the first seed, on validation text",
        "memory is what must be kept: of windowed layers the window, though the cache used here keeps all positions",
        f"speeds: a prompt of {LENGTH - WRITTEN} tokens and {WRITTEN} more, one text, eager PyTorch in fp32; Gated "
        "DeltaNet is plain PyTorch too, in chunks, and published kernels are faster",
    ]


def report(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Report loss, memory and speed of each kind, and add the claims."""
    for key, each in results.items():
        out.values |= {f"{key}.loss": mean_of(each["blocks"]), f"{key}.weights": Value(each["weights"])}
        out.values |= {f"{key}.bytes.{length}": Value(kept) for length, kept in each["kept"].items()}
        out.gain(f"{key}.rise", paired(np.subtract(each["blocks"], results["multi-head"]["blocks"])))
        out.timings |= {f"{key}.{what}": each[what] for what in ("reading", "writing")}
    rows: list[Row] = [
        [KINDS[key].name, f"{each['weights']:,}", f"{each['factor']:g}", Cell(f"{key}.loss"),
         Cell(f"{key}.rise", "+.3f") if key != "multi-head" else ""]
        for key, each in results.items()
    ]  # fmt: skip
    header = ["attention", "weights", "learning rate, times the recipe's", "nats per token", "more than multi-head"]
    out.table("Kinds of attention, each at its best learning rate", header, rows)
    costs: list[Row] = [
        [KINDS[key].name, *(f"{each['kept'][str(length)]:,}" for length in TEXTS),
         Cell(f"{key}.reading", ",.0f"), Cell(f"{key}.writing", ",.0f")]
        for key, each in results.items()
    ]  # fmt: skip
    sizes = [f"bytes of {length:,} tokens" for length in TEXTS]
    out.table("What a cache must keep of a text, and tokens a second", ["", *sizes, "read", "written"], costs)
    lines = {KINDS[key].name: curve_of(each["curve"]) for key, each in results.items()}
    out.curves("Loss on held-out text while training", "training steps", "nats per token", lines)
    _claim(out, results)


def _claim(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    names = {"grouped": "grouped-query attention", "latent": "latent attention", "delta": "Gated DeltaNet"}
    for key, name in names.items():
        alike = f"{key}.rise < {NEAR} * multi-head.loss"
        out.claim(f"{key}-learns-alike", alike, entry="learns-alike", name=name, near=NEAR)
    out.claim("a-window-costs")
    weights = [each["weights"] for each in results.values()]
    out.claim("sizes-are-alike", max(weights) <= (1 + NEAR) * min(weights), near=NEAR)
    kept = {key: each["kept"] for key, each in results.items()}
    longest = str(TEXTS[-1])
    smaller = [kept[key][longest] < kept["multi-head"][longest] / 2 for key in ("latent", "windowed", "delta")]
    out.claim("memory-need-not-grow", all([*smaller, kept["delta"][longest] == kept["delta"][str(TEXTS[0])]]))
    out.claim("rates-are-inside", all(each["inside"] for each in results.values()))
