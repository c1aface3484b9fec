"""`experiment context`: how a model uses the tokens before the one it predicts.

The same held-out tokens are predicted with context of several lengths, with shuffled context, without attention and
without single heads. A repeated text is predicted with and without the induction heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepare import open_data
from scratchlm.inspection.heads import Head, all_heads, induction_scores, without_heads
from scratchlm.lab.experiments.config import ContextConfig
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.runs.depth_scaling import load_recipe

ROWS = 32
COPY_VOCABULARY, COPY_PERIOD = 128, 24
"""Vocabulary size of the model that learns to copy, and the length of the repeated text."""


NEAR = 8
"""Tokens that keep their order when those before them are shuffled."""
CONDITIONS = {
    "shuffled": "all tokens shuffled",
    "far shuffled": f"all but the last {NEAR} tokens shuffled",
    "no attention": "no attention",
}
"""Conditions other than the length of the context, as the table names them."""


def run(config: ContextConfig, steps: Steps, outcome: Outcome) -> None:
    """Predict the same tokens under each condition."""
    small = prepare_small_model(config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    found = steps.once("visible", _visible, small, config)
    heads = steps.once("heads", _heads, small, config)
    copies = steps.once("copies", _copies, partial(_copier, config), COPY_PERIOD, config)
    books = steps.once("copies of books", _copies, lambda: small.pretrained().decoder, small.shape.context // 2, config)
    report_context(outcome, {name: np.array(nats) for name, nats in found.items()}, small)
    report_heads(outcome, heads)
    report_copies(outcome, copies, books)
    outcome.notes += [
        "one model, one seed: intervals are over the predicted tokens, or over rows of random tokens",
        "an ablated head outputs zero; the model was not trained without it",
        "the most important head and the induction heads were selected on other rows than those tested",
    ]


def lengths(context: int) -> list[int]:
    """Return the context lengths to test: powers of two."""
    return [2**power for power in range(context.bit_length()) if 2**power <= context]


def _windows(small: SmallModel, config: ContextConfig) -> Tensor:
    """Draw windows of held-out text, each one token longer than the context, shape (N, context + 1)."""
    _, _, held_out = open_data(small.data)
    length = small.shape.context + 1
    draw = np.random.default_rng(config.seed)
    starts = draw.choice(len(held_out) - length, size=min(config.targets, len(held_out) - length), replace=False)
    return torch.from_numpy(np.stack([held_out.read(int(at), int(at) + length) for at in starts]).astype(np.int64))


@torch.no_grad()
def last_nats(decoder: Decoder, windows: Tensor) -> np.ndarray:
    """Return the loss in nats of each window's last token given the others, shape (N,)."""
    decoder.eval()
    found = []
    for start in range(0, len(windows), ROWS):
        rows = windows[start : start + ROWS]
        logits = decoder(rows[:, :-1])[:, -1].float()
        found.append(logits.logsumexp(-1) - logits.gather(1, rows[:, -1:]).squeeze(1))
    return torch.cat(found).double().numpy()


def _visible(small: SmallModel, config: ContextConfig) -> dict[str, list[float]]:
    """Predict with context of each length, with shuffled context, and without attention."""
    decoder, windows = small.pretrained().decoder, _windows(small, config)
    found = {str(count): last_nats(decoder, windows[:, -count - 1 :]) for count in lengths(small.shape.context)}
    draw = torch.Generator().manual_seed(config.seed)
    context = windows.size(1) - 1
    for name, kept in (("shuffled", 0), ("far shuffled", NEAR)):
        mixed = windows.clone()
        for row in mixed:
            order = torch.randperm(context - kept, generator=draw)
            row[: context - kept] = row[: context - kept][order].clone()
        found[name] = last_nats(decoder, mixed)
    found["no attention"] = last_nats(without_heads(decoder, all_heads(decoder)), windows)
    return {name: [round(float(each), 9) for each in nats] for name, nats in found.items()}


def _heads(small: SmallModel, config: ContextConfig) -> dict[str, list[float]]:
    """Return the increase in loss on each window when one head is ablated."""
    decoder, windows = small.pretrained().decoder, _windows(small, config)[: config.targets // 2]
    whole = last_nats(decoder, windows)
    found = {}
    for head in all_heads(decoder):
        ablated = last_nats(without_heads(decoder, [head]), windows)
        found[_name(head)] = [round(float(each), 9) for each in ablated - whole]
    return found


def _name(head: Head) -> str:
    return f"{head[0] + 1}.{head[1] + 1}"


def _copier(config: ContextConfig) -> Decoder:
    """Train a two-layer model on random sequences, each of which occurs twice."""
    shape = qwen3_shaped(COPY_VOCABULARY, width=64, layers=2, context=4 * COPY_PERIOD)
    decoder = build_decoder(shape, config.seed)
    once = np.random.default_rng(config.seed).integers(0, COPY_VOCABULARY, (6000, COPY_PERIOD))
    tokens = ArrayTokens(np.concatenate([once, once], 1).ravel())
    training = replace(load_recipe("default").training, steps=config.copy_steps, batch_size=32)
    fit_windows(decoder, tokens, replace(training, sequence_length=shape.context), config.seed)
    return decoder


def _copies(make: Callable[[], Decoder], period: int, config: ContextConfig) -> dict[str, Any]:
    """Predict repeated random tokens with all heads, without the induction heads, and without as many others."""
    decoder = make()
    draw = torch.Generator().manual_seed(config.seed)
    size = decoder.config.vocabulary_size - 4  # the last ids are special tokens
    once, other = (torch.randint(0, size, (config.copies, period), generator=draw) for _ in range(2))
    ids = torch.cat([once, once], 1)
    scores = induction_scores(decoder, torch.cat([other, other], 1), period)
    ranked = sorted(scores, key=lambda head: -scores[head])
    chosen = [head for head in ranked if scores[head] > 0.5] or ranked[:1]
    found: dict[str, Any] = {"scores": {_name(head): round(score, 9) for head, score in scores.items()}}
    found["first"], found["second"] = _rounds(decoder, ids, period)
    for key, heads in (("without best", chosen), ("without others", ranked[len(chosen) :][-len(chosen) :])):
        found[key] = _rounds(without_heads(decoder, heads), ids, period)[1]
    return {**found, "chosen": [_name(head) for head in chosen]}


@torch.no_grad()
def _rounds(decoder: Decoder, ids: Tensor, period: int) -> tuple[list[float], list[float]]:
    """Return the mean loss of each row at the first and at the second occurrence."""
    decoder.eval()
    logits = decoder(ids[:, :-1]).float()
    nats = logits.logsumexp(-1) - logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
    sides = (nats[:, : period - 1], nats[:, period:])
    first, second = ([round(float(each), 9) for each in side.mean(1)] for side in sides)
    return first, second


def report_context(outcome: Outcome, nats: dict[str, np.ndarray], small: SmallModel) -> None:
    """Report how the loss depends on the length and the order of the context."""
    seen = lengths(small.shape.context)
    losses = {name: mean_of(each) for name, each in nats.items()}
    outcome.values |= {f"loss.{name.replace(' ', '-')}": loss for name, loss in losses.items()}
    lines = {"all tokens": (seen, [losses[str(count)].value for count in seen])}
    title = "Loss by context length"
    outcome.curves.append(Curves(title, "tokens of context", "nats per token", lines, logarithmic=True))
    rows = [[CONDITIONS.get(name, f"{name} tokens of context"), loss.shown()] for name, loss in losses.items()]
    title = f"The same {len(next(iter(nats.values()))):,} held-out tokens, nats per token"
    outcome.tables.append(Table(title, ["condition", "loss"], rows))
    whole, few = nats[str(seen[-1])], nats["16"] if "16" in nats else nats[str(seen[0])]
    shuffled, near = nats["shuffled"], f"Most of that is due to the order of the last {NEAR} tokens"
    for key, says, gaps in (
        ("context-helps", "The loss is lower with 16 tokens of context than with one", nats["1"] - few),
        ("far-context-helps", "and lower still with the full context", few - whole),
        ("order-matters", "The loss is higher if the context is shuffled", shuffled - whole),
        ("near-order-is-most", near, shuffled - 2 * nats["far shuffled"] + whole),
        ("attention-carries-context", "Without attention the loss is higher than with one token of context",
         nats["no attention"] - nats["1"]),
    ):  # fmt: skip
        outcome.claim(key, says, outcome.gain(key, paired(gaps)))


def report_heads(outcome: Outcome, found: dict[str, list[float]]) -> None:
    """Report the increase in loss when each head is ablated."""
    means = {name: mean_of(gaps) for name, gaps in found.items()}
    outcome.values |= {f"head.{name}": mean for name, mean in means.items()}
    ranked = sorted(means, key=lambda name: -means[name].value)
    rows = [[name, means[name].shown("+.3f")] for name in ranked]
    outcome.tables.append(Table("Increase in loss without one head (layer.head)", ["head", "nats per token"], rows))
    half = len(next(iter(found.values()))) // 2
    # Selected on the first half of the windows, tested on the second.
    top = max(found, key=lambda name: float(np.mean(found[name][:half])))
    most, middle = (
        mean_of(found[top][half:]),
        float(np.median([float(np.mean(gaps[half:])) for gaps in found.values()])),
    )
    outcome.values |= {"head.most": most, "head.median": Value(middle)}
    says = "Ablating the most important head costs over three times as much as the median head"
    outcome.claim("heads-are-unequal", says, most.above(3 * max(middle, 0.001)))


def report_copies(outcome: Outcome, found: dict[str, Any], books: dict[str, Any]) -> None:
    """Report how repeated random tokens are predicted, with and without the induction heads."""
    ways = ("first", "second", "without best", "without others")
    first, second, best, others = (np.array(found[way]) for way in ways)
    measured = {way.replace(" ", "-"): float(np.mean(found[way])) for way in ways}
    measured |= {f"books.{way}": float(np.mean(books[way])) for way in ways[:2]}
    measured |= {"books.best-score": max(books["scores"].values()), "best-score": max(found["scores"].values())}
    outcome.values |= {
        f"copy.{key}": Value(value) for key, value in {**measured, "heads": len(found["chosen"])}.items()
    }
    rows = [
        ["first occurrence", f"{first.mean():.3f}", f"{np.mean(books['first']):.3f}"],
        ["second occurrence", f"{second.mean():.3f}", f"{np.mean(books['second']):.3f}"],
        [f"second occurrence, without the induction heads ({', '.join(found['chosen'])})", f"{best.mean():.3f}", ""],
        ["second occurrence, without as many other heads", f"{others.mean():.3f}", ""],
    ]
    header = ["", "trained on repeated text", "trained on books"]
    outcome.tables.append(Table("Repeated random tokens, nats per token", header, rows))
    for key, says, gaps in (
        ("copies", "A model trained on repetitions predicts the second occurrence of random tokens better",
         first - second),
        ("induction-heads-copy", "Without the induction heads their loss is higher", best - second),
        ("copying-hangs-on-them", "and more than half of the gain from repetition is lost",
         (best - second) - 0.5 * (first - second)),
        ("other-heads-matter-less", "which is more than without as many other heads", best - others),
    ):  # fmt: skip
        outcome.claim(key, says, outcome.gain(key, paired(gaps)))
