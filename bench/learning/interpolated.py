"""Networks interpolated with the n-grams of their training text: each alone, and both, in the same minutes.

Counting is part of the time. The weight of the n-grams is learned while the held-out text is read
(`scratchlm.evaluation.interpolation`). A network sees no token before its window, n-grams do; so both are also scored
with n-grams that start anew in each window. Finished runs are kept in a folder, so that a later call resumes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from bench.learning import books, shakespeare
from bench.learning.curves import median_of

from scratchlm.base.files import read_json, write_json
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.data.batches import ArrayTokens, whole_windows
from scratchlm.evaluation.bits import count_text_bytes, token_nats
from scratchlm.evaluation.interpolation import count_ngrams, interpolate
from scratchlm.model.decoder import Decoder
from scratchlm.runs.depth_scaling import load_recipe


class Run(NamedTuple):
    """A recipe, its minutes, the order of the n-grams, and what was aimed at."""

    text: str
    recipe: str
    depth: int | None
    minutes: float
    order: int
    bound: float

    @property
    def name(self) -> str:
        """What the run is called in the results."""
        sized = "" if self.depth is None else f" at depth {self.depth}"
        return f"{self.text}, `{self.recipe}`{sized} and {self.order}-grams, {self.minutes:.0f} minutes"


BUILDING = 1.0
"""Seconds kept for building the model and stopping."""
RUNS = (
    Run("characters of Shakespeare", "characters", None, 3, 7, 1.4697),
    Run("characters of Shakespeare", "characters", None, 10, 7, 1.42),
    Run("nine million words of books", "default", 3, 10, 5, 1.70),
)
"""Shakespeare in nats a character, books in bits a byte."""


def measure(seeds: Sequence[int], folder: Path) -> dict[str, Any]:
    """Train each once for each seed; finished runs in `folder` are not repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in RUNS:
        for seed in seeds:
            file = folder / f"{run.name}, seed {seed}.json"
            if not file.exists():
                write_json(file, of_books(run, seed, folder) if run.depth else of_characters(run, seed))
            runs.setdefault(run.name, []).append(read_json(file))
            print(run.name, runs[run.name][-1], flush=True)
    medians = {name: {key: median_of(found, key) for key in found[0] if key != "seed"} for name, found in runs.items()}
    bounds = {run.name: run.bound for run in RUNS}
    return {"task": "a network, n-grams, and both interpolated", "bounds": bounds, "medians": medians, "runs": runs}


def of_characters(run: Run, seed: int) -> dict[str, Any]:
    """Count and train on nine tenths of Shakespeare and score the last, in nats a character."""
    train, held_out, symbols = shakespeare.read_ids()
    started = time.perf_counter()
    ngrams = KneserNey.fit([train], symbols, run.order)
    counting = time.perf_counter() - started
    trained = shakespeare.train_recipe(run.recipe, seed, limit=60 * run.minutes - counting - BUILDING)
    length = trained.decoder.config.context
    network = _losses(trained.decoder, held_out, int(train[-1]), length)
    read = np.concatenate([train[-1:], held_out])
    told = {"seed": seed, "steps": trained.steps, "seconds": counting + trained.curve.points[-1][0]}
    return {**told, "counting": counting, **_scores(network, ngrams, read, length, 1 / len(held_out))}


def of_books(run: Run, seed: int, folder: Path) -> dict[str, Any]:
    """Count and train on 95% of the books and score the rest, in bits a byte."""
    assert run.depth is not None
    text = books.prepared(folder / "data")
    started = time.perf_counter()
    ngrams = count_ngrams(text.train, text.tokenizer, run.order)
    counting = time.perf_counter() - started
    decoder, result = books.train(books.Contender(run.recipe, run.minutes - counting / 60, run.depth), text, seed)
    length = load_recipe(run.recipe, run.depth).training.sequence_length
    network = token_nats(decoder, text.tokenizer, text.held_out, length=length)
    first = text.tokenizer.end_of_text
    read = np.concatenate([[first], text.held_out.read(0, len(text.held_out))])
    bits = 1 / np.log(2) / count_text_bytes(text.held_out, text.tokenizer)
    told = {"seed": seed, "steps": result["steps"], "seconds": counting + result["seconds"]}
    return {**told, "counting": counting, **_scores(network, ngrams, read, length, bits)}


def _scores(network: np.ndarray, ngrams: KneserNey, read: np.ndarray, length: int, unit: float) -> dict[str, float]:
    """Score a text after its first token: the network whose losses are given, the n-grams, and both."""
    counted = -ngrams.token_log_probabilities(read)[1:]
    windows = (read[at : at + length + 1] for at in range(0, len(read) - 1, length))
    anew = np.concatenate([-ngrams.token_log_probabilities(window)[1:] for window in windows])
    both, weight = interpolate(network, counted)
    losses = {"network": network, "n-grams": counted, "interpolated": both}
    losses["interpolated, n-grams anew in each window"] = interpolate(network, anew)[0]
    return {**{name: float(each.sum() * unit) for name, each in losses.items()}, "weight": weight}


@torch.no_grad()
def _losses(decoder: Decoder, ids: np.ndarray, before: int, length: int) -> np.ndarray:
    """Return the loss of each character in nats, in fp32."""
    decoder.eval()
    found = []
    for batch in whole_windows(ArrayTokens(ids), length, 32, before):
        wanted = batch.targets >= 0
        logits = decoder.logits(decoder.hidden(batch.ids))[wanted].float()
        found.append(F.cross_entropy(logits, batch.targets[wanted], reduction="none").double().numpy())
    return np.concatenate(found)
