"""Small models that copy a repeated random text, and which of their heads the copying needs.

An induction head attends to the token after the previous occurrence of the current token. It needs a head in a layer
below that passes on the token before each position, a previous-token head (Olsson et al. 2022, arXiv 2209.11895). But a
high induction score alone does not show that mechanism: if all texts repeat after the same number of tokens, a head can
attend that far back by position, without comparing tokens. So one model is trained on texts of many periods and one on
a single period. Both are tested at that period, and at another one that neither met in training. The models have more
heads than the mechanism needs, so that heads with low scores remain as a neutral control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scratchlm.data.batches import ArrayTokens
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.heads import Head, ablated, all_heads, induction_scores
from scratchlm.inspection.trace import attention_maps, trace
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.model.config import grouped
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.depth_scaling import load_recipe

VOCABULARY, ROW, BATCH = 64, 64, 32
"""Vocabulary size, and tokens and rows of a batch."""
LAYERS, HEADS, WIDTH = 3, 4, 64
SHORTEST, PERIOD, OTHER = 2, 12, 8
"""Shortest period of the model of many periods; its longest, the only one of the other model; one that no model meets
in training."""
REPEATS = 8
"""Occurrences of each text in training."""
RATE = 0.01
"""Learning rate of Muon: at 0.02 some seeds learn to copy only later."""
SPECIALS = 4
"""Last ids of a vocabulary, which are special tokens."""
HIGH = 0.3
"""Score from which a head is called an induction head or a previous-token head."""


@dataclass(frozen=True)
class Roles:
    """Heads by what they attend to."""

    induction: list[Head]
    previous: list[Head]
    """Those that attend to the previous token, in layers below an induction head, which can read them."""
    neutral: list[Head]
    """As many others as there are heads in the larger of these roles, those whose higher score is lowest."""


def copying_model(shortest: int, longest: int, steps: int, seed: int) -> Decoder:
    """Train a model on random texts of `shortest` to `longest` tokens but `OTHER`, each repeated `REPEATS` times."""
    shape = qwen3_shaped(VOCABULARY, width=WIDTH, layers=LAYERS, context=ROW)
    shape = replace(shape, attention=replace(grouped(shape), heads=HEADS, kv_heads=HEADS))
    decoder = build_decoder(shape, seed)
    draw = np.random.default_rng(seed)
    periods = [period for period in range(shortest, longest + 1) if period != OTHER]
    texts: list[np.ndarray] = []
    count = 0
    while count <= steps * BATCH * ROW:
        text = draw.integers(0, VOCABULARY, int(draw.choice(periods)))
        texts += [text] * REPEATS
        count += REPEATS * len(text)
    recipe = load_recipe("default").training
    training = replace(recipe, steps=steps, batch_size=BATCH, sequence_length=ROW)
    training = replace(training, optimizer=replace(recipe.optimizer, learning_rate=RATE))
    fit_windows(decoder, ArrayTokens(np.concatenate(texts)), training, seed)
    return decoder.eval()


def repeated(rows: int, period: int, vocabulary_size: int, seed: int) -> Int[Tensor, "N T"]:
    """Draw rows of random tokens, each of which occurs twice."""
    draw = torch.Generator().manual_seed(seed)
    once = torch.randint(0, vocabulary_size - SPECIALS, (rows, period), generator=draw)
    return torch.cat([once, once], 1)


@torch.no_grad()
def previous_scores(decoder: Decoder, ids: Int[Tensor, "B T"]) -> dict[Head, float]:
    """Return the mean attention of each head to the token before the current one."""
    maps, places = attention_maps(decoder, ids), torch.arange(1, ids.size(1))
    return {(layer, head): float(maps[layer][:, head, places, places - 1].mean()) for layer, head in all_heads(decoder)}


def roles(induction: dict[Head, float], previous: dict[Head, float]) -> Roles:
    """Name heads by their scores; of a model without a high score, the best head of a role has it."""
    ranked = sorted(induction, key=lambda head: -induction[head])
    chosen = [head for head in ranked if induction[head] > HIGH] or ranked[:1]
    deepest = max(layer for layer, _ in chosen)
    below = [head for head in induction if head not in chosen and head[0] < deepest]
    below.sort(key=lambda head: -previous[head])
    feeding = [head for head in below if previous[head] > HIGH] or below[:1]
    rest = [head for head in induction if head not in (*chosen, *feeding)]
    rest.sort(key=lambda head: max(induction[head], previous[head]))
    return Roles(chosen, feeding, rest[: max(len(chosen), len(feeding))])


@torch.no_grad()
def losses(
    decoder: Decoder, ids: Int[Tensor, "N T"], period: int, edit: Sequence[Edit] = ()
) -> tuple[list[float], list[float]]:
    """Return the mean loss in nats of each row at the first and at the second occurrence."""
    logits = trace(decoder, ids[:, :-1], edit=edit).logits.float()
    nats = logits.logsumexp(-1) - logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
    sides = (nats[:, : period - 1], nats[:, period:])
    first, second = ([round(float(each), 9) for each in side.mean(1)] for side in sides)
    return first, second


def measure(decoder: Decoder, rows: int) -> dict[str, Any]:
    """Test a model that copies at two periods, whole and without the heads of each role.

    Heads get their roles on other rows than those that are tested.
    """
    size = decoder.config.vocabulary_size
    scored = {period: repeated(rows, period, size, 1) for period in (PERIOD, OTHER)}
    induction = {period: induction_scores(decoder, ids, period) for period, ids in scored.items()}
    previous = previous_scores(decoder, scored[PERIOD])
    named = roles(induction[PERIOD], previous)
    without: dict[str, Sequence[Head]] = {
        "induction": named.induction,
        "previous": named.previous,
        "both": [*named.induction, *named.previous],
        "neutral": named.neutral,
        "first-layer": [head for head in all_heads(decoder) if head[0] == 0],
    }
    tested = {period: repeated(rows, period, size, 2) for period in (PERIOD, OTHER)}
    measured: dict[str, Any] = {"scores": [
        [name(head), *(round(of[head], 9) for of in (induction[PERIOD], induction[OTHER], previous))]
        for head in all_heads(decoder)
    ]}  # fmt: skip
    measured["roles"] = {role: [name(head) for head in without[role]] for role in ("induction", "previous", "neutral")}
    measured["first"], measured["second"] = losses(decoder, tested[PERIOD], PERIOD)
    measured["other.first"], measured["other.second"] = losses(decoder, tested[OTHER], OTHER)
    for role, heads in without.items():
        for other, period in (("", PERIOD), ("other.", OTHER)):
            way = f"{other}without-{role}"
            measured[f"{way}.first"], measured[way] = losses(decoder, tested[period], period, ablated(heads))
    # Where a text repeats every OTHER tokens, attention PERIOD - 1 back is attention to a place, not to a token.
    measured["by-place"] = round(max(induction_scores(decoder, scored[OTHER], PERIOD).values()), 9)
    unfed = induction_scores(decoder, scored[PERIOD], PERIOD, ablated(named.previous))
    measured["fed"], measured["unfed"] = (
        round(sum(of[head] for head in named.induction) / len(named.induction), 9) for of in (induction[PERIOD], unfed)
    )
    return measured


def name(head: Head) -> str:
    """Return layer and head, both from 1."""
    return f"{head[0] + 1}.{head[1] + 1}"
