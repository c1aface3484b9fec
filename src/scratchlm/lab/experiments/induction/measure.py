"""`experiment induction`: when a model of books begins to copy, and which head does it.

An induction head attends to the token after the last occurrence of the current one. In the experiment of Olsson et al.
(2022, "In-context learning and induction heads", arXiv 2209.11895) such heads form suddenly, after billions of tokens,
and the loss falls in a bump. Here the books say every phrase twice, which makes copying useful at once; models of the
books as they are, and models of one layer, are trained on as many tokens beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scratchlm.data.batches import ArrayTokens, Tokens
from scratchlm.data.prepared import open_data
from scratchlm.inspection.heads import ablated, all_heads, induction_scores
from scratchlm.lab.experiments.config import InductionConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.copying import SPECIALS, losses, name, previous_scores, repeated
from scratchlm.lab.shared.networks import Evaluations, fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.model.config import MLPConfig, grouped
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.depth_scaling import load_recipe

WIDTH, HEADS, HIDDEN, LENGTH, ROWS = 128, 4, 32, 128, 16
"""The models and their batches. With so narrow a feed-forward the head forms earlier, and scores higher."""
SHORTEST, LONGEST = 8, 32
"""Tokens of a phrase."""
PERIOD, FAR = 24, 48
"""Tokens after which the test repeats: as in some phrases, and more than any phrase has."""
RATE = 0.01
"""Learning rate of Muon."""
LOOKS = 20
"""Evaluations of a training run."""
WINDOW = 3
"""Evaluations between the two that a bump is measured at."""
SCORE, UNTRAINED, GAIN, COST, TIMES = 0.4, 0.1, 1.0, 0.3, 3.0
"""What an induction head must reach, and an untrained model must not: its score, how much less the second half of
repeated random tokens costs, and what is lost without it, in nats and as a multiple of the median head."""


class Kind(NamedTuple):
    """A model, and the text that it is trained on."""

    name: str
    layers: int
    twice: bool


KINDS: Mapping[str, Kind] = {
    "twice": Kind("two layers, phrases twice", 2, True),
    "one": Kind("one layer, phrases twice", 1, True),
    "plain": Kind("two layers, plain books", 2, False),
}


class Probes(NamedTuple):
    """Rows of tokens, each of which stands twice, to choose a head and to test it."""

    choosing: Int[Tensor, "N T"]
    testing: Int[Tensor, "N T"]
    phrases: Int[Tensor, "N T"]
    """Passages of held-out books."""
    far: Int[Tensor, "N F"]
    """Random tokens that repeat after `FAR`."""


def run(config: InductionConfig, steps: Steps, out: Findings) -> None:
    """Train each model and test its heads."""
    count = config.pretraining_steps * ROWS * LENGTH
    data = prepare_text(config.books, max(1_000_000, 4 * count), config.vocabulary_size, steps.shared)
    results = {key: steps.once(f"train {key}", trained, kind, config, data) for key, kind in KINDS.items()}
    report(out, results, config.pretraining_steps)
    out.notes += [
        f"width {WIDTH}, {HEADS} heads, feed-forward {HIDDEN}, batches of {ROWS} rows of {LENGTH} tokens",
        f"phrases of {SHORTEST} to {LONGEST} tokens; the test repeats after {PERIOD} tokens, and once after {FAR}",
        "random tokens are drawn evenly from those of the training text; intervals are over rows of them",
        "the best head is chosen on one draw of random tokens and tested on another",
        "shape, learning rate and phrases were chosen at seed 0 so that a head forms; the published result is of other "
        "seeds, and after it the tests of the claims were made harder, with the same trained models",
    ]


def said_twice(ids: np.ndarray, seed: int) -> np.ndarray:
    """Return a text in which every phrase, of a random length, stands twice."""
    draw, at, phrases = np.random.default_rng(seed), 0, []
    while at < len(ids):
        length = int(draw.integers(SHORTEST, LONGEST + 1))
        phrases += [ids[at : at + length]] * 2
        at += length
    return np.concatenate(phrases)


def probes_of(train: Tokens, held_out: Tokens, rows: int) -> Probes:
    """Draw the rows that test a model."""
    seen = torch.from_numpy(np.unique(train.read(0, len(train))).astype(np.int64))
    choosing, testing, far = (
        seen[repeated(rows, period, len(seen) + SPECIALS, seed)]
        for seed, period in ((1, PERIOD), (2, PERIOD), (3, FAR))
    )
    starts = np.linspace(0, len(held_out) - PERIOD, rows).astype(int)
    once = torch.from_numpy(np.stack([held_out.read(at, at + PERIOD).astype(np.int64) for at in starts]))
    return Probes(choosing, testing, torch.cat([once, once], 1), far)


def trained(kind: Kind, config: InductionConfig, data: Any) -> dict[str, Any]:
    """Train a model; return its heads' scores and its losses while training, and what each head is worth at the end."""
    tokenizer, train, held_out = open_data(data)
    probes = probes_of(train, held_out, config.copies)
    count = config.pretraining_steps * ROWS * LENGTH + 1
    text = train.read(0, min(count, len(train))).astype(np.int64)
    if kind.twice:
        text = said_twice(text, config.seed)[:count]
    shape = qwen3_shaped(tokenizer.vocabulary_size, width=WIDTH, layers=kind.layers, context=LENGTH)
    narrow = MLPConfig(hidden=HIDDEN, activation="relu_squared")
    attention = replace(grouped(shape), heads=HEADS, kv_heads=HEADS, head_dim=WIDTH // HEADS)
    decoder = build_decoder(replace(shape, attention=attention, feed_forward=narrow), config.seed)
    looks = Evaluations(max(1, config.pretraining_steps // LOOKS), lambda step, model: look(model, probes))
    recipe = load_recipe("default").training
    training = replace(
        recipe, steps=config.pretraining_steps, batch_size=ROWS, sequence_length=LENGTH,
        optimizer=replace(recipe.optimizer, learning_rate=RATE),
    )  # fmt: skip
    fit_windows(decoder, ArrayTokens(text), training, config.seed, [looks])
    return {"looks": looks.seen, **measured(decoder.eval(), probes)}


def look(decoder: Decoder, probes: Probes) -> dict[str, float]:
    """Return the best head's score, and the losses of each half, on random tokens and on held-out phrases."""
    training = decoder.training
    decoder.eval()
    seen = {"score": max(induction_scores(decoder, probes.choosing, PERIOD).values())}
    for key, ids in (("random", probes.choosing), ("phrases", probes.phrases)):
        for half, nats in zip(("first", "second"), losses(decoder, ids, PERIOD), strict=True):
            seen[f"{key}.{half}"] = float(np.mean(nats))
    decoder.train(training)
    return {key: round(value, 9) for key, value in seen.items()}


def measured(decoder: Decoder, probes: Probes) -> dict[str, Any]:
    """Return the scores of the heads and the losses of each row, whole and without each head."""
    chosen = induction_scores(decoder, probes.choosing, PERIOD)
    scores = induction_scores(decoder, probes.testing, PERIOD)
    previous = previous_scores(decoder, probes.testing)
    first, second = losses(decoder, probes.testing, PERIOD)
    without: dict[str, list[float]] = {
        name(head): losses(decoder, probes.testing, PERIOD, ablated([head]))[1] for head in all_heads(decoder)
    }
    best = max(chosen, key=lambda head: chosen[head])
    return {
        "best": name(best), "first": first, "second": second, "without": without,
        "scores": {name(head): round(scores[head], 9) for head in scores},
        "previous": {name(head): round(previous[head], 9) for head in scores},
        "far": round(induction_scores(decoder, probes.far, FAR)[best], 9),
        "phrases": [losses(decoder, probes.phrases, PERIOD, edits)[1] for edits in ([], ablated([best]))],
    }  # fmt: skip


def saved(seen: Mapping[str, float]) -> float:
    """Return how much less the second occurrence of a phrase costs than the first, in nats per token."""
    return seen["phrases.first"] - seen["phrases.second"]


def bump(seen: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]) -> tuple[float, float, int]:
    """Return how much more is saved after the evaluations in which the best head's score rises most, and by another.

    The second number is another model's, after the same training steps; the third is the first of these evaluations.
    """
    rises = [after["score"] - before["score"] for before, after in zip(seen, seen[WINDOW:], strict=False)]
    at = int(np.argmax(rises))
    own, other = (saved(each[at + WINDOW]) - saved(each[at]) for each in (seen, others))
    return own, other, at


def tokens_needed(seen: Sequence[Mapping[str, float]]) -> float | None:
    """Return after how many million tokens the best head's score was first as high as an induction head's."""
    high = [each["step"] for each in seen if each["score"] >= SCORE]
    return high[0] * ROWS * LENGTH / 1e6 if high else None


def report(out: Findings, results: Mapping[str, Mapping[str, Any]], count: int) -> None:
    """Report scores and losses of each model, and add the claims."""
    for key, each in results.items():
        best, seen = each["best"], each["looks"]
        out.values |= {
            f"{key}.score": Value(each["scores"][best]), f"{key}.far": Value(each["far"]),
            f"{key}.untrained": Value(seen[0]["score"]), f"{key}.guess": Value(seen[0]["random.second"]),
            f"{key}.first": mean_of(each["first"]), f"{key}.second": mean_of(each["second"]),
        }  # fmt: skip
        out.gain(f"{key}.gain", paired(np.subtract(each["first"], each["second"])))
        report_heads(out, key, each)
    twice, one = results["twice"], results["one"]
    gains = [np.subtract(each["first"], each["second"]) for each in (twice, one)]
    out.gain("layers.gain", paired(gains[0] - gains[1]))
    own, other, at = bump(twice["looks"], one["looks"])
    out.values |= {"bump.two": Value(own), "bump.one": Value(other), "bump.more": Value(own - other),
                   "bump.begins": Value(twice["looks"][at]["step"] * ROWS * LENGTH / 1e6)}  # fmt: skip
    tokens = tokens_needed(twice["looks"])
    if tokens is not None:
        out.values["formed"] = Value(tokens)
    show(out, results)
    out.claim("head-forms", score=SCORE, untrained=UNTRAINED, far=FAR)
    out.claim("it-copies", gain=GAIN)
    out.claim("the-head-does-it", cost=COST, times=TIMES)
    out.claim("one-layer-does-not", gain=GAIN, untrained=UNTRAINED)
    out.claim("the-loss-falls-with-it")
    out.claim("plain-books-have-none-yet", steps=count, untrained=UNTRAINED)


def report_heads(out: Findings, key: str, each: Mapping[str, Any]) -> None:
    """Report what is lost without the best head, without the one that feeds it, and without the median of the others.

    The feeding head is the one of the first layer that attends most to the previous token. A median below zero counts
    as zero, so that it makes no test easier.
    """
    rises = {head: np.subtract(rows, each["second"]) for head, rows in each["without"].items()}
    best, first = each["best"], [head for head in rises if head.startswith("1.") and head != each["best"]]
    feeding = max(first, key=lambda head: each["previous"][head])
    ranked = sorted(rises.keys() - {best, feeding}, key=lambda head: float(rises[head].mean()))
    middle = rises[ranked[len(ranked) // 2]]
    for role, rise in (("best", rises[best]), ("feeding", rises[feeding]), ("median", middle)):
        out.gain(f"{key}.{role}", paired(rise))
    out.gain(f"{key}.excess", paired(rises[best] - TIMES * max(0.0, float(middle.mean()))))
    out.gain(f"{key}.phrases", paired(np.subtract(each["phrases"][1], each["phrases"][0])))


def show(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the tables and the figures."""
    header = ["model", "score", f"after {FAR}", "untrained", "first half", "second half", "best head off",
              "feeding head off", "median head off", "phrases, best off"]  # fmt: skip
    rows: list[Row] = [
        [KINDS[key].name, *(Cell(f"{key}.{value}", ".2f") for value in ("score", "far", "untrained")),
         *(Cell(f"{key}.{value}", ".2f") for value in ("first", "second")),
         *(Cell(f"{key}.{value}", "+.2f") for value in ("best", "feeding", "median", "phrases"))]
        for key in results
    ]  # fmt: skip
    out.table("Score of the best head, and nats per token of repeated random tokens and held-out phrases", header, rows)
    heads: list[Row] = [
        [head, f"{results['twice']['scores'][head]:.2f}", f"{results['twice']['previous'][head]:.2f}",
         f"{np.subtract(results['twice']['without'][head], results['twice']['second']).mean():+.2f}"]
        for head in results["twice"]["scores"]
    ]  # fmt: skip
    header = ["layer.head", "induction score", "previous-token score", "more nats without it"]
    out.table("Heads of the model of two layers on phrases said twice, at the first seed", header, heads)
    for title, unit, field in (
        ("Score of the best head while training", "attention to the token after the last occurrence", "score"),
        ("Loss at the second occurrence of held-out phrases", "nats per token", "phrases.second"),
        ("Loss at the second occurrence of random tokens", "nats per token", "random.second"),
    ):
        lines = {
            KINDS[key].name: ([look["step"] for look in each["looks"]], [look[field] for look in each["looks"]])
            for key, each in results.items()
        }
        out.curves(title, "training steps", unit, lines)
