"""`experiment context`: how a model uses the tokens before the one it predicts.

The same held-out tokens are predicted with context of several lengths, with shuffled context, without attention and
without single heads. A repeated text is predicted with and without the induction heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.data.prepare import open_data
from scratchlm.inspection.heads import Head, all_heads, induction_scores, without_heads
from scratchlm.lab.experiments.context.claims import NEAR, lengths, report_context, report_copies, report_heads
from scratchlm.lab.experiments.context.config import ContextConfig
from scratchlm.lab.harness.outcome import Outcome
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import BOOKS, SmallModel, prepare_small_model
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

ROWS = 32
COPY_VOCABULARY, COPY_PERIOD = 128, 24
"""Vocabulary size of the model that learns to copy, and the length of the repeated text."""


def files(config: ContextConfig) -> dict[str, Path]:
    """Return the input files."""
    return {"books": config.data_file(BOOKS)}


def run(config: ContextConfig, steps: Steps, outcome: Outcome) -> None:
    """Predict the same tokens under each condition."""
    small = prepare_small_model(
        config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps
    )
    found = steps.once("visible", partial(_visible, small, config))
    heads = steps.once("heads", partial(_heads, small, config))
    of_books = partial(_copies, lambda: small.pretrained().decoder, small.shape.context // 2, config)
    copies = steps.once("copies", partial(_copies, partial(_copier, config), COPY_PERIOD, config))
    books = steps.once("copies of books", of_books)
    report_context(outcome, {name: np.array(nats) for name, nats in found.items()}, small)
    report_heads(outcome, heads)
    report_copies(outcome, copies, books)
    outcome.notes += [
        "one model, one seed: intervals are over the predicted tokens, or over rows of random tokens",
        "an ablated head outputs zero; the model was not trained without it",
        "the most important head and the induction heads were selected on other rows than those tested",
    ]


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
    training = replace(training, sequence_length=shape.context)
    batches = WindowBatches(tokens, training.batch_size, training.sequence_length, config.seed)
    fit(Loop(decoder, batches, training, runtime=RuntimeConfig(seed=config.seed)))
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
