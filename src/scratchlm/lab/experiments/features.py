"""`experiment features`: which properties of a token linear probes can read from a model, and at which layer.

A probe is a logistic regression on the state of a token at one layer (Alain and Bengio 2016, arXiv 1610.01644). It
is trained on the model's training text and tested on other books. The baselines are the current token, the last eight
tokens, the labelling rule within the window, a randomly initialised network, and shuffled labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import standard_error
from scratchlm.data.prepare import open_data
from scratchlm.inspection.states import layer_states
from scratchlm.lab.experiments.config import FeaturesConfig
from scratchlm.lab.harness.outcome import Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.probe_labels import CONTEXTUAL, NAMES, SIMPLE, label_tokens
from scratchlm.lab.shared.proportions import mean_of, of_draws
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model
from scratchlm.model.decoder import Decoder, build_decoder

SHUFFLES = 10
"""Random permutations of the labels."""
SIDES = ("learn", "choose", "test")
"""Training, validation and test."""
LAST = 8
"""Tokens that the n-gram baseline probe sees."""
READERS = {
    "token": "current token",
    "last": f"last {LAST} tokens",
    "handmade": "hand-written rule, within the window",
    "untrained": "random weights, best layer",
    "learned": "trained, best layer",
    "shuffled": "trained, shuffled labels",
}


class Windows:
    """Windows of text with the labels of their tokens; probes read only the second half of a window."""

    def __init__(self, ids: np.ndarray, pieces: Mapping[int, bytes], books: np.ndarray) -> None:
        length = ids.shape[1]
        self.ids, self.books = ids, np.repeat(books, length // 2)
        of_all = [label_tokens([pieces[int(id)] for id in row]) for row in ids]
        self.by_rule = {key: np.concatenate([labels[key][length // 2 :] for labels in of_all]) for key in NAMES}
        """Labels that the rule gives from the window alone: the hand-written baseline."""
        self.labels: dict[str, np.ndarray] = dict(self.by_rule)

    def last_tokens(self, count: int) -> np.ndarray:
        """Return for each probed token the last `count` ids up to it, shape (tokens, count)."""
        length = self.ids.shape[1]
        return np.stack([row[at - count + 1 : at + 1] for row in self.ids for at in range(length // 2, length)])


def run(config: FeaturesConfig, steps: Steps, outcome: Outcome) -> None:
    """Probe each layer for each label."""
    small = prepare_small_model(config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    inputs = Inputs(small, config)
    report(outcome, {key: steps.once(key, _probe, key, inputs, config) for key in NAMES})
    outcome.notes += [
        "one trained and one randomly initialised network; errors are clustered by held-out book",
        "the classes are balanced, so guessing has an accuracy of one half",
        "labels come from rules; the rule within the window misses only what happened before the window",
        "the best layer is selected on validation text, apart from training and test text",
        "the model need not use what a probe can read from a layer",
    ]


class Inputs:
    """Windows and the networks' states on them, each computed at first use."""

    def __init__(self, small: SmallModel, config: FeaturesConfig) -> None:
        self.small, self.config = small, config

    @cached_property
    def windows(self) -> dict[str, Windows]:
        """Windows of each side: training and validation from the model's training text, test from other books."""
        tokenizer, train, held_out = open_data(self.small.data)
        draw, length, count = np.random.default_rng(self.config.seed), self.small.shape.context, self.config.windows
        specials = set(tokenizer.specials.values())
        ids = range(tokenizer.vocabulary_size)
        pieces = {id: b"\n\n" if id in specials else tokenizer.token_bytes(id) or b" " for id in ids}
        found = {}
        for tokens, sides in ((train, {"learn": count, "choose": count // 4}), (held_out, {"test": count // 2})):
            text = tokens.read(0, len(tokens)).astype(np.int64)
            whole = label_tokens([pieces[int(id)] for id in text])
            most, needed = len(text) // length, sum(sides.values())
            if most < needed:
                raise UserError(f"--windows {count}: the text has only {most} windows, and {needed} are needed")
            places = draw.permutation(most)  # one permutation, so that no window is in two sides
            for side, wanted in sides.items():
                starts, places = length * np.sort(places[:wanted]), places[wanted:]
                books = np.searchsorted(np.flatnonzero(text == tokenizer.end_of_text), starts + length // 2)
                windows = found[side] = Windows(np.stack([text[at : at + length] for at in starts]), pieces, books)
                for key, labels in whole.items():  # with all of the text before a window
                    windows.labels[key] = np.concatenate([labels[at + length // 2 : at + length] for at in starts])
        return found

    @cached_property
    def states(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """States of the random and the trained network by layer and side, each of shape (tokens, width)."""
        found = {}
        # With zero-initialised branches every layer would equal the one before it.
        untrained = build_decoder(replace(self.small.shape, zero_init_outputs=False), self.small.seed)
        for reader, decoder in (("untrained", untrained), ("learned", self.small.pretrained().decoder)):
            sides = {side: _states(decoder, windows) for side, windows in self.windows.items()}
            found[reader] = [dict(zip(sides, layer, strict=True)) for layer in zip(*sides.values(), strict=True)]
        return found


def _states(decoder: Decoder, windows: Windows) -> list[np.ndarray]:
    """Return for each layer the states of the probed tokens, shape (tokens, width)."""
    half = windows.ids.shape[1] // 2
    parts = []
    for start in range(0, len(windows.ids), 16):
        rows = torch.from_numpy(windows.ids[start : start + 16])
        parts.append([state[:, half:].reshape(-1, state.size(-1)).numpy() for state in layer_states(decoder, rows)])
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def _probe(key: str, inputs: Inputs, config: FeaturesConfig) -> dict[str, Any]:
    """Train every probe for one label; return which test tokens each gets right."""
    windows = inputs.windows
    draw = np.random.default_rng([config.seed, list(NAMES).index(key)])
    places = {side: balanced(windows[side].labels[key], config.tokens, draw) for side in SIDES}
    truth = {side: windows[side].labels[key][places[side]] for side in SIDES}

    def sides(make: Any) -> dict[str, Any]:
        return {side: make(windows[side], places[side]) for side in SIDES}

    found: dict[str, Any] = {"book": windows["test"].books[places["test"]].tolist(), "right": {}, "layers": {}}
    given = {
        "token": sides(lambda each, at: each.last_tokens(1)[at]),
        "last": sides(lambda each, at: each.last_tokens(LAST)[at]),
        "handmade": sides(lambda each, at: each.by_rule[key][at][:, None].astype(np.int64)),
    }
    for reader, features in given.items():
        found["right"][reader] = _right(features, truth)["test"]
    for reader, states in inputs.states.items():
        layers = [{side: layer[side][places[side]] for side in SIDES} for layer in states]
        rights = [_right(each, truth) for each in layers]
        best = int(np.argmax([np.mean(each["choose"]) for each in rights]))
        found["layers"][reader] = [each["test"] for each in rights]
        found["right"][reader] = rights[best]["test"]
        if reader == "learned":
            # One permutation may correlate with the states by chance, for all test tokens at once: draw several.
            mixed = [
                {**truth, **{side: draw.permutation(truth[side]) for side in ("learn", "choose")}}
                for _ in range(SHUFFLES)
            ]
            found["shuffled"] = [float(np.mean(_right(layers[best], each)["test"])) for each in mixed]
            found["best"] = best
    return found


def balanced(labels: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """Draw indices of equally many tokens labelled 0 and 1. Raises `UserError` for fewer than ten of a class."""
    kinds = [np.flatnonzero(labels == kind) for kind in (0, 1)]
    count = min(most // 2, *map(len, kinds))
    if count < 10:
        raise UserError("--windows: too few; a label occurs fewer than ten times in them")
    return np.sort(np.concatenate([draw.choice(kind, count, replace=False) for kind in kinds]))


def _right(features: Mapping[str, Any], truth: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Fit a probe (ids are one-hot encoded); return which validation and test tokens it gets right."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    ids = np.issubdtype(features["learn"].dtype, np.integer)
    scaler = (OneHotEncoder(handle_unknown="ignore") if ids else StandardScaler()).fit(features["learn"])
    given = {side: scaler.transform(features[side]) for side in SIDES}
    found = []
    for inverse_penalty in (0.01, 1.0):  # states and one-hot vectors need different regularisation
        probe = LogisticRegression(C=inverse_penalty, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly converged is good enough
            probe.fit(given["learn"], truth["learn"])
        sides = ("choose", "test")
        found.append({side: (probe.predict(given[side]) == truth[side]).astype(int).tolist() for side in sides})
    return max(found, key=lambda each: float(np.mean(each["choose"])))


def centre(accuracies: Sequence[float]) -> float:
    """Return the centre of gravity of a label: the mean layer, weighted by the accuracy that each layer adds.

    A layer adds its accuracy above the best earlier layer, the first one above one half (after Tenney, Das and
    Pavlick 2019, arXiv 1905.05950). The result is zero if no layer exceeds one half.
    """
    best = np.maximum.accumulate(np.maximum(accuracies, 0.5))
    added = np.diff(best, prepend=0.5)
    return float((added * np.arange(len(added))).sum() / added.sum()) if added.sum() > 0 else 0.0


def report(outcome: Outcome, found: Mapping[str, dict[str, Any]]) -> None:
    """Report the accuracy of every probe at every layer, and add the claims."""
    values = outcome.values
    rows, by_layer, curves = [], [], {}
    for key, each in found.items():
        values |= {f"{key}.{reader}": mean_of(each["right"][reader], each["book"]) for reader in list(READERS)[:-1]}
        values[f"{key}.shuffled"] = of_draws(each["shuffled"])
        layers = [mean_of(right, each["book"]) for right in each["layers"]["learned"]]
        values |= {f"{key}.layer{at}": value for at, value in enumerate(layers)}
        place = centre([value.value for value in layers])
        values[f"{key}.centre"] = Value(place)
        rows.append([NAMES[key], *(f"{values[f'{key}.{reader}'].value:.1%}" for reader in READERS)])
        by_layer.append([NAMES[key], *(f"{value.value:.1%}" for value in layers), f"{place:.2f}"])
        curves[NAMES[key]] = (list(range(len(layers))), [value.value for value in layers])
    title = f"Probe accuracy, about {len(next(iter(found.values()))['book']):,} tokens each"
    outcome.tables.append(Table(title, ["the token", *READERS.values()], rows))
    depth = len(by_layer[0]) - 3
    header = ["the token", "embedding", *(f"layer {at + 1}" for at in range(depth)), "centre of gravity"]
    outcome.tables.append(Table("Probe accuracy by layer of the trained model", header, by_layer))
    outcome.curves.append(Curves("Probe accuracy by layer", "layer", "accuracy", curves))
    _claim(outcome, found)


def _claim(outcome: Outcome, found: Mapping[str, dict[str, Any]]) -> None:
    values = outcome.values

    def ahead(one: str, other: str | int) -> bool:
        """Return whether one probe beats another, or the learned one at a layer, for every contextual property."""
        for each in (found[key] for key in CONTEXTUAL):
            baseline = each["layers"]["learned"][other] if isinstance(other, int) else each["right"][other]
            gaps = np.subtract(each["right"][one], baseline).astype(np.float64)
            if not gaps.mean() - 1.96 * standard_error(gaps, each["book"]) > 0:
                return False
        return True

    says = "Probes on the embedding read every simple property with at least 90% accuracy"
    outcome.claim("simple-in-vectors", says, all((values[f"{key}.layer0"].low or 0) >= 0.9 for key in SIMPLE))
    says = "For every contextual property the best layer beats the embedding"
    outcome.claim("layers-add-compound", says, ahead("learned", 0))
    says = "Every simple property becomes readable at an earlier layer than every contextual one"
    simple, contextual = ([values[f"{key}.centre"].value for key in keys] for keys in (SIMPLE, CONTEXTUAL))
    readable = all(values[f"{key}.learned"].above(0.5) for key in CONTEXTUAL)
    outcome.claim("simple-precedes-compound", says, max(simple) < min(contextual) and readable)
    says = "For every contextual property the trained model beats random weights"
    outcome.claim("learned-beats-untrained", says, ahead("learned", "untrained"))
    says = f"and beats a probe on the last {LAST} tokens without a network"
    outcome.claim("learned-beats-last", says, ahead("learned", "last"))
    says = "For every contextual property the hand-written rule within the window beats the model"
    outcome.claim("handmade-leads", says, ahead("handmade", "learned"))
    every = values["shuffled"] = of_draws([right for each in found.values() for right in each["shuffled"]])
    says = "With shuffled labels probes are at chance: the interval of their mean accuracy contains one half"
    within = every.low is not None and every.high is not None and every.low <= 0.5 <= every.high
    outcome.claim("shuffled-at-chance", says, within)
