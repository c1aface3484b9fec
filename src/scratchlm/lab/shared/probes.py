"""Linear probes: logistic regressions that read a property of tokens from the states of a network.

Each is trained on all word types, on some types and tested on the others, and on control tasks (Hewitt and Liang 2019,
"Designing and interpreting probes with control tasks", arXiv 1909.03368). In a control task each word type has a random
label. Only a probe that learns types by heart is right there, so the gain over it, the selectivity, does not come from
learning by heart. Scores are balanced accuracies: guessing has one half.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import Comparison
from scratchlm.inspection.trace import layer_states
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.model.decoder import Decoder

SIDES = ("learn", "choose", "test")
"""Training, validation and test."""
PARTS = 4
"""Parts of the word types: a probe learns from two, its penalty is chosen on one and it is tested on one."""
CONTROLS = 3
"""Control tasks: random labels of the types."""
PENALTIES = (0.01, 1.0)
"""Inverse penalties to choose from: states and one-hot vectors need different ones."""

Features = Mapping[str, Any]
"""Of each side a matrix, (tokens, features): states, or ids that are one-hot encoded."""
Labels = Mapping[str, Int[np.ndarray, " N"]]


@dataclass(frozen=True)
class ProbeText:
    """Rows of tokens of one side, with labels; all arrays but `ids` are flat, one entry for each token of each row."""

    ids: Int[np.ndarray, "R T"]
    groups: Int[np.ndarray, " N"]
    """The book or story of each token."""
    labels: Mapping[str, Int[np.ndarray, " N"]]
    """0 or 1 for each property, -1 where it is undefined or not probed."""
    types: Mapping[str, np.ndarray]
    """For each property what a lookup table could answer by: the word, or the person."""
    rules: Mapping[str, Int[np.ndarray, " N"]]
    """What the hand-written rule guesses from the row alone."""

    def last_tokens(self, places: Int[np.ndarray, " P"], count: int) -> Int[np.ndarray, "P count"]:
        """Return the last `count` ids up to each place; the row's first id fills up what lies before the row."""
        row, at = np.divmod(places, self.ids.shape[1])
        back = np.maximum(at[:, None] - np.arange(count)[::-1], 0)
        return self.ids[row[:, None], back]


@dataclass(frozen=True)
class Drawn:
    """The tokens that are drawn to probe one property: of each side equally many of both labels."""

    places: Labels
    """Where they are in the flat arrays."""
    labels: Labels
    types: Mapping[str, np.ndarray]
    groups: Int[np.ndarray, " N"]
    """Books or stories of the test tokens."""
    rules: Int[np.ndarray, " N"]
    """Guesses of the hand-written rule on the test tokens."""
    parts: Labels
    """The part of each token's type."""


def balanced(labels: np.ndarray, most: int, draw: np.random.Generator) -> Int[np.ndarray, " N"]:
    """Draw indices of equally many tokens labelled 0 and 1. Raises `UserError` for fewer than ten of a class."""
    kinds = [np.flatnonzero(labels == kind) for kind in (0, 1)]
    count = min(most // 2, *map(len, kinds))
    if count < 10:
        raise UserError("--windows, --stories: too few; a label occurs fewer than ten times in them")
    return np.sort(np.concatenate([draw.choice(kind, count, replace=False) for kind in kinds]))


def draw_tokens(sides: Mapping[str, ProbeText], key: str, most: int, seed: int) -> Drawn:
    """Draw the tokens for one property, a quarter of them for validation, and divide their types into parts."""
    draw = np.random.default_rng([seed, *key.encode()])
    of = {"learn": most, "choose": most // 4, "test": most}
    places = {side: balanced(sides[side].labels[key], of[side], draw) for side in SIDES}
    labels = {side: sides[side].labels[key][places[side]] for side in SIDES}
    types = {side: sides[side].types[key][places[side]] for side in SIDES}
    test = sides["test"]
    numbered = parts_of(types, labels, draw)
    parts = {side: np.array([numbered[each] for each in types[side]], np.int64) for side in SIDES}
    return Drawn(places, labels, types, test.groups[places["test"]], test.rules[key][places["test"]], parts)


def parts_of(types: Mapping[str, np.ndarray], labels: Labels, draw: np.random.Generator) -> dict[Any, int]:
    """Divide the types into parts with about equally many tokens of each label."""
    tokens: dict[Any, list[int]] = {}
    for side in SIDES:
        for each, label in zip(types[side].tolist(), labels[side].tolist(), strict=True):
            tokens.setdefault(each, [0, 0])[label] += 1
    sums, parts = np.zeros((PARTS, 2)), {}
    order = draw.permutation(len(tokens)).tolist()
    for at, counts in sorted(zip(order, tokens.items(), strict=True), key=lambda each: (-sum(each[1][1]), each[0])):
        each, added = counts
        # The part that has least of what this type adds, weighted by how much it adds of each label.
        parts[each] = int(np.argmin(sums @ np.array(added) + 1e-9 * ((np.arange(PARTS) + at) % PARTS)))
        sums[parts[each]] += added
    return parts


def random_labels(drawn: Drawn, number: int) -> Labels:
    """Return the labels of a control task: each type has one at random, the same wherever it occurs."""
    draw = np.random.default_rng([number, 1909])
    names = sorted({each for side in SIDES for each in drawn.types[side].tolist()})
    of = dict(zip(names, draw.permutation(len(names)) % 2, strict=True))
    return {side: np.array([of[each] for each in drawn.types[side].tolist()], np.int64) for side in SIDES}


def score_all(features: Features, labels: Labels) -> tuple[Float[np.ndarray, " N"], float]:
    """Train on all types; return the scores of the test tokens and the validation accuracy."""
    every = {side: np.ones(len(labels[side]), bool) for side in SIDES}
    right, chosen = _fitted(features, labels, every)
    return scored(right, labels["test"]), chosen


def score_unseen(features: Features, labels: Labels, parts: Labels) -> tuple[Float[np.ndarray, " N"], float]:
    """Test each token by a probe that saw no token of its type; return the scores and the validation accuracy."""
    right, chosen = np.zeros(len(labels["test"]), bool), []
    for part in range(PARTS):
        kept = {
            "learn": ~np.isin(parts["learn"], (part, (part + 1) % PARTS)),
            "choose": parts["choose"] == (part + 1) % PARTS,
            "test": parts["test"] == part,
        }
        if kept["test"].any():
            right[kept["test"]], valid = _fitted(features, labels, kept)
            chosen.append(valid)
    return scored(right, labels["test"]), float(np.mean(chosen))


def scored(right: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " N"]:
    """Return scores of tokens whose mean is the balanced accuracy: the mean of the accuracies of both labels."""
    sizes = np.bincount(labels, minlength=2)
    return right * (len(labels) / (np.count_nonzero(sizes) * sizes[labels]))


def _fitted(features: Features, labels: Labels, kept: Mapping[str, Bool[np.ndarray, " N"]]) -> tuple[np.ndarray, float]:
    """Fit a probe on the tokens that are kept; return which test tokens it gets right, and its validation accuracy."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    chosen = {side: features[side][kept[side]] for side in SIDES}
    truth = {side: labels[side][kept[side]] for side in SIDES}
    if len(set(truth["learn"].tolist())) < 2:  # too few types for both labels
        return np.zeros(len(truth["test"]), bool), 0.0
    ids = np.issubdtype(chosen["learn"].dtype, np.integer)
    scaler = (OneHotEncoder(handle_unknown="ignore") if ids else StandardScaler()).fit(chosen["learn"])
    chosen = {side: scaler.transform(chosen[side]) if len(chosen[side]) else chosen[side] for side in SIDES}
    best: tuple[np.ndarray, float] | None = None
    for penalty in PENALTIES:
        # The second is fast where features are few.
        solver = "lbfgs" if ids or chosen["learn"].shape[1] > 400 else "newton-cholesky"
        probe = LogisticRegression(C=penalty, max_iter=200, solver=solver, class_weight="balanced")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly converged is good enough
            probe.fit(chosen["learn"], truth["learn"])
        right = {side: probe.predict(chosen[side]) == truth[side] if len(truth[side]) else np.zeros(0, bool)
                 for side in ("choose", "test")}  # fmt: skip
        valid = float(scored(right["choose"], truth["choose"]).mean()) if len(truth["choose"]) else 0.0
        if best is None or valid > best[1]:
            best = (right["test"], valid)
    assert best is not None
    return best


def states_at(decoder: Decoder, ids: np.ndarray, places: Int[np.ndarray, " P"]) -> list[Float[np.ndarray, "P D"]]:
    """Return for each layer the states of some tokens, given by their places in the flattened rows, ascending."""
    rows, length = 16, ids.shape[1]
    layers: list[list[np.ndarray]] = []
    for start in range(0, len(ids), rows):
        inside = places[(places >= start * length) & (places < (start + rows) * length)] - start * length
        if len(inside):
            states = layer_states(decoder, torch.from_numpy(ids[start : start + rows]))
            layers.append([state.reshape(-1, state.size(-1))[inside].numpy() for state in states])
    return [np.concatenate(layer) for layer in zip(*layers, strict=True)]


def wider(score: Sequence[float] | np.ndarray, *clusters: Sequence[object]) -> Value:
    """Return a balanced accuracy with the widest of its intervals, each clustered another way: by book, by type."""
    widest = _widest(mean_of, np.asarray(score, np.float64), clusters, lambda value: value.ends[1] - value.ends[0])
    low, high = widest.ends
    return Value(widest.value, max(0.0, low), min(1.0, high), share=True)


def centre(accuracies: Sequence[float] | np.ndarray) -> float:
    """Return the centre of gravity of a property: the mean layer, weighted by the accuracy that each layer adds.

    A layer adds its accuracy above the best earlier layer, the first one above one half (after Tenney, Das and
    Pavlick 2019, arXiv 1905.05950). The result is zero if no layer exceeds one half.
    """
    best = np.maximum.accumulate(np.maximum(accuracies, 0.5))
    added = np.diff(best, prepend=0.5)
    return float((added * np.arange(len(added))).sum() / added.sum()) if added.sum() > 0 else 0.0


def centre_of(layers: Sequence[Sequence[float]], *clusters: Sequence[object]) -> Value:
    """Return the centre of gravity of the scores of each layer, with the widest of its intervals by bootstrap.

    Each interval resamples the clusters of one kind, and is 1.96 standard deviations wide on either side.
    """
    scores, draw, widest = np.asarray(layers, np.float64), np.random.default_rng(0), 0.0
    for each in clusters:
        names, of = np.unique(np.array(each), return_inverse=True)
        sums = np.stack([np.bincount(of, weights=row) for row in scores])
        counts, drawn = np.bincount(of), []
        for _ in range(200):
            taken = np.bincount(draw.integers(len(names), size=len(names)), minlength=len(names))
            drawn.append(centre(sums @ taken / (counts @ taken)))
        widest = max(widest, 1.96 * float(np.std(drawn, ddof=1)))
    middle = centre(scores.mean(1))
    return Value(middle, middle - widest, middle + widest)


def wider_gap(gaps: Sequence[float] | np.ndarray, *clusters: Sequence[object]) -> Comparison:
    """Return the comparison by paired differences with the widest of its intervals."""
    return _widest(paired, np.asarray(gaps, np.float64), clusters, lambda each: each.interval[1] - each.interval[0])


def _widest(of: Callable[..., Any], values: np.ndarray, clusters: Sequence[Any], width: Callable[[Any], float]) -> Any:
    results = [of(values, each) for each in clusters if len(set(each)) > 1] or [of(values)]
    return max(results, key=width)
