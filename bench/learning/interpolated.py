"""Networks interpolated with the n-grams of their training text: each alone, and both, in the same minutes.

Counting is part of the time. The weight of the n-grams is learned while the held-out text is read
(`scratchlm.evaluation.interpolation`). Controls say what else would give as much: n-grams that start anew in each
window, since a network reads one token before its window and n-grams several; windows that overlap, for the same
reason; one weight throughout; pairs instead of longer n-grams, and the temperature that suits the network best, either
of which makes it less sure of itself. Finished runs are kept in a folder, so that a later call resumes.
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
from scratchlm.data.batches import ArrayTokens, overlapping_windows, whole_windows
from scratchlm.evaluation.bits import count_text_bytes
from scratchlm.evaluation.interpolation import count_ngrams, interpolate
from scratchlm.model.decoder import Decoder


class Run(NamedTuple):
    """A recipe, its minutes, the order of the n-grams, and what was aimed at."""

    text: str
    unit: str
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
    Run("characters of Shakespeare", "nats a character", "characters", None, 3, 7, 1.4697),
    Run("characters of Shakespeare", "nats a character", "characters", None, 10, 7, 1.42),
    Run("nine million words of books", "bits per byte", "default", 3, 10, 5, 1.70),
)
TEMPERATURES = (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4)


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
    about = {run.name: {"unit": run.unit, "bound": run.bound} for run in RUNS}
    return {"task": "a network, n-grams, and both interpolated", "about": about, "medians": medians, "runs": runs}


def of_characters(run: Run, seed: int) -> dict[str, Any]:
    """Count and train on nine tenths of Shakespeare and score the last, in nats a character."""
    train, held_out, symbols = shakespeare.read_ids()
    started = time.perf_counter()
    ngrams = KneserNey.fit([train], symbols, run.order)
    counting = time.perf_counter() - started
    trained = shakespeare.train_recipe(run.recipe, seed, limit=60 * run.minutes - counting - BUILDING)
    told = {"seed": seed, "steps": trained.steps, "seconds": counting + trained.curve.points[-1][0]}
    pairs, read = KneserNey.fit([train], symbols, 2), np.concatenate([train[-1:], held_out])
    return {**told, "counting": counting, **_scores(trained.decoder, ngrams, pairs, read, 1 / len(held_out))}


def of_books(run: Run, seed: int, folder: Path) -> dict[str, Any]:
    """Count and train on 95% of the books and score the rest, in bits per byte."""
    assert run.depth is not None
    text = books.prepared(folder / "data")
    started = time.perf_counter()
    ngrams = count_ngrams(text.train, text.tokenizer, run.order)
    counting = time.perf_counter() - started
    decoder, result = books.train(books.Contender(run.recipe, run.minutes - counting / 60, run.depth), text, seed)
    told = {"seed": seed, "steps": result["steps"], "seconds": counting + result["seconds"]}
    pairs = count_ngrams(text.train, text.tokenizer, 2)
    read = np.concatenate([[text.tokenizer.end_of_text], text.held_out.read(0, len(text.held_out))])
    bits = 1 / np.log(2) / count_text_bytes(text.held_out, text.tokenizer)
    return {**told, "counting": counting, **_scores(decoder, ngrams, pairs, read, bits)}


def _scores(decoder: Decoder, ngrams: KneserNey, pairs: KneserNey, read: np.ndarray, unit: float) -> dict[str, float]:
    """Score a text after its first token: the network, the n-grams, both, and the controls."""
    read, length = read.astype(np.int64), decoder.config.context
    by_temperature = _losses(decoder, read, length)
    network, overlapping = by_temperature[0], _losses(decoder, read, length, length // 2)[0]
    counted, in_pairs = (-each.token_log_probabilities(read)[1:] for each in (ngrams, pairs))
    windows = (read[at : at + length + 1] for at in range(0, len(read) - 1, length))
    anew = np.concatenate([-ngrams.token_log_probabilities(window)[1:] for window in windows])
    both, weight = interpolate(network, counted)
    losses = {
        "network": network,
        "n-grams": counted,
        "interpolated": both,
        "n-grams anew in each window": interpolate(network, anew)[0],
        "one weight, a half": np.log(2) - np.logaddexp(-network, -counted),
        "pairs instead": interpolate(network, in_pairs)[0],
        "network at the best temperature": min(by_temperature, key=np.sum),
        "network, windows overlap by half": overlapping,
        "interpolated, windows overlap by half": interpolate(overlapping, counted)[0],
    }
    return {**{name: float(each.sum() * unit) for name, each in losses.items()}, "weight": weight}


@torch.no_grad()
def _losses(decoder: Decoder, read: np.ndarray, length: int, stride: int | None = None) -> np.ndarray:
    """Return the loss of each token after the first in nats, in fp32, in a row for each of `TEMPERATURES`."""
    decoder.eval()
    tokens, first, found = ArrayTokens(read[1:]), int(read[0]), []
    whole = whole_windows(tokens, length, 32, first)
    for batch in whole if stride is None else overlapping_windows(tokens, length, stride, 32, first):
        wanted = batch.targets >= 0
        logits, targets = decoder.logits(decoder.hidden(batch.ids)[wanted]).float(), batch.targets[wanted]
        found.append([F.cross_entropy(logits / each, targets, reduction="none").numpy() for each in TEMPERATURES])
    return np.concatenate(found, axis=1).astype(np.float64)
