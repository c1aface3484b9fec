"""Character-level Shakespeare: nats per character on the last 10%, after training on the first 90%.

Every held-out character is predicted once, in non-overlapping windows of the training length. Recipes were tuned on the
last 5% of the training part. Times include everything after building the model except evaluation. Matrix products use
the faster dtype of the machine. A run that would exceed its time limit takes fewer steps, with a schedule that ends at
the last of them.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from bench.learning.curves import Curve, median_of
from bench.store import data_file

from scratchlm.base.device import autocast, faster_dtype
from scratchlm.data.batches import ArrayTokens, whole_windows
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.network import CausalLM
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.loss import cross_entropy_sum
from scratchlm.training.profiling import Deadline
from scratchlm.training.progress import TrainingProgress
from scratchlm.training.stages import training_batches

BOUNDS = {"characters-quick": 1.88, "characters": 1.4697}
"""Target of each: nanoGPT's held-out loss on a CPU and on a GPU, from its README."""
LIMITS = {"characters-quick": 120.0, "characters": 1800.0}
"""Time limit of training in seconds."""
SETTLED = 40
"""Steps after which their time is used for planning."""


class Trained(NamedTuple):
    """A trained model, its steps, and its losses on the way."""

    decoder: Decoder
    steps: int
    curve: Curve


def read_ids() -> tuple[np.ndarray, np.ndarray, int]:
    """Return the ids of the training part and of the held-out part, and the number of characters known."""
    text = data_file("pretrain/tinyshakespeare.txt").read_text(encoding="utf-8")
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    ids = np.fromiter((numbers[character] for character in text), dtype=np.int64)
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(numbers)


def held_out_nats(network: CausalLM, ids: np.ndarray, before: int, length: int, dtype: torch.dtype) -> float:
    """Return the mean loss of `ids` in nats; `before` is the character before the first."""
    total = 0.0
    with torch.no_grad(), autocast(torch.device("cpu"), dtype):
        for batch in whole_windows(ArrayTokens(ids), length, 32, before):
            total += float(cross_entropy_sum(network.logits(network.hidden(batch.ids)), batch.targets))
    return total / len(ids)


def train_recipe(recipe: str, seed: int, limit: float) -> Trained:
    """Train by a recipe of this package, in its usual steps, or fewer where they would exceed the limit in seconds."""
    train, held_out, symbols = read_ids()
    started, found = time.perf_counter(), load_recipe(recipe)
    quiet = {"evaluate_every": 0, "sample_every": 0, "checkpoint_every": 0}
    config: TrainingConfig = dataclasses.replace(found.training, **quiet)
    decoder = build_decoder(dataclasses.replace(found.model, vocabulary_size=symbols), seed)
    curve = Curve(
        lambda model: held_out_nats(model, held_out, int(train[-1]), config.sequence_length, torch.float32),
        every=max(1, config.steps // 8),
        started=started,
    )
    batches = training_batches(ArrayTokens(train), config, seed)
    runtime = RuntimeConfig(dtype=faster_dtype(), seed=seed)
    deadline = Deadline(limit, 0.01, lambda: time.perf_counter() - curve.spent)
    progress = TrainingProgress(f"{recipe}, seed {seed}", config.steps)

    def pace(step: int) -> int:
        planned = deadline(step)  # the first steps compile, so their time predicts nothing
        return found.training.steps if step < SETTLED else min(found.training.steps, planned)

    loop = Loop(decoder, batches, config, runtime=runtime)
    with progress:
        fit(loop, hooks=[curve], watcher=progress, pace=pace)
    return Trained(decoder, loop.step, curve)


def result_of(recipe: str, seed: int) -> dict[str, Any]:
    """Train by a recipe; return the loss curve and the result."""
    decoder, steps, curve = train_recipe(recipe, seed, LIMITS[recipe])
    seconds, loss = curve.points[-1]
    return {"seed": seed, "parameters": decoder.parameter_count(), "steps": steps, "seconds": seconds, "loss": loss,
            "curve": curve.points}  # fmt: skip


def nanogpt_in_transformers(seed: int, steps: int = 2000) -> dict[str, Any]:
    """Train by nanoGPT's CPU recipe in fp32, with a transformers GPT-2 of the same shape."""
    from transformers import GPT2Config, GPT2LMHeadModel

    train, held_out, symbols = read_ids()
    rows, length, warmup, peak, least = 12, 64, 100, 1e-3, 1e-4
    started = time.perf_counter()
    torch.manual_seed(seed)
    shape = GPT2Config(vocab_size=symbols, n_positions=length, n_embd=128, n_layer=4, n_head=4,
                       resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)  # fmt: skip
    model = GPT2LMHeadModel(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    generator, spent, curve = np.random.default_rng(seed), 0.0, []
    for step in range(steps):
        left = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / (steps - warmup)))
        rate = peak * (step + 1) / (warmup + 1) if step < warmup else least + left * (peak - least)
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = generator.integers(0, len(train) - length, rows)
        table = torch.from_numpy(np.stack([train[at : at + length + 1] for at in starts]))
        logits = model(table[:, :-1]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), table[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % (steps // 8) == 0:
            now = time.perf_counter()
            curve.append((now - started - spent, _peer_nats(model, held_out, int(train[-1]), length)))
            spent += time.perf_counter() - now
            told = f"step {step + 1}/{steps}, loss {curve[-1][1]:.4f}, {curve[-1][0]:.0f} s"
            print(f"nanoGPT's recipe, seed {seed}: {told}", file=sys.stderr, flush=True)
    parameters = sum(p.numel() for p in model.parameters())
    return {"seed": seed, "parameters": parameters, "steps": steps, "seconds": curve[-1][0], "loss": curve[-1][1],
            "curve": curve}  # fmt: skip


@torch.no_grad()
def _peer_nats(model: torch.nn.Module, ids: np.ndarray, before: int, length: int) -> float:
    model.eval()
    total = 0.0
    for batch in whole_windows(ArrayTokens(ids), length, 32, before):
        logits = model(batch.ids).logits.flatten(0, 1)
        total += float(torch.nn.functional.cross_entropy(logits, batch.targets.flatten(), reduction="sum"))
    model.train()
    return total / len(ids)


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Train each recipe and the peer once for each seed."""
    runs = {name: [result_of(name, seed) for seed in seeds] for name in LIMITS}
    try:
        runs["nanoGPT's recipe in transformers"] = [nanogpt_in_transformers(seed) for seed in seeds]
    except ImportError as error:
        print(f"transformers: left out, {error}")
    medians = {
        name: {key: median_of(found, key) for key in ("seconds", "loss", "parameters", "steps")}
        for name, found in runs.items()
    }
    return {"task": "character-level Shakespeare, nats a character", "bounds": BOUNDS, "medians": medians, "runs": runs}
