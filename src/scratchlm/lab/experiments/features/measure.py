"""`experiment features`: what can be read from a model's layers that no one told it, and at which layer.

A probe is a logistic regression on the state of a token at one layer (Alain and Bengio 2016, arXiv 1610.01644). It
learns on text that the model was trained on and is judged on other books. Beside it: the token alone, the last eight
tokens, the rule itself in the window, a network of random weights, and marks in random order.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import standard_error
from scratchlm.data.prepare import open_data
from scratchlm.inspection.states import layer_states
from scratchlm.lab.experiments.features.config import FeaturesConfig
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.probe_labels import COMPOUND, NAMES, SIMPLE, marks_of
from scratchlm.lab.shared.proportions import mean_of, of_draws
from scratchlm.lab.shared.small_model import BOOKS, Ours, prepare_ours
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.tokens.base import Tokenizer

SHUFFLES = 10
"""Random orders of the marks."""
LAST = 8
"""Tokens that a probe without a network sees."""
SIDES = ("learn", "choose", "test")
READERS = {
    "token": "the token alone",
    "last": f"the last {LAST} tokens",
    "handmade": "its rule, in the window alone",
    "untrained": "random weights, best layer",
    "learned": "trained, best layer",
    "shuffled": "trained, random marks",
}


class Windows:
    """Windows of text with the marks of their tokens; only the second half of a window is read."""

    def __init__(
        self, ids: np.ndarray, pieces: Mapping[int, bytes], starts: Sequence[int], books: Sequence[int]
    ) -> None:
        length = ids.shape[1]
        self.ids, self.starts, self.books = ids, list(starts), np.repeat(books, length // 2)
        of_all = [marks_of([pieces[int(id)] for id in row]) for row in ids]
        self.seen = {key: np.concatenate([marks[key][length // 2 :] for marks in of_all]) for key in NAMES}
        """What follows from the window alone, which is what a feature made by hand can count."""
        self.marks: dict[str, np.ndarray] = dict(self.seen)

    def last_tokens(self, count: int) -> np.ndarray:
        """Return for each token that is read the ids up to it, shape (tokens, count)."""
        length = self.ids.shape[1]
        return np.concatenate(
            [np.stack([row[at - count + 1 : at + 1] for at in range(length // 2, length)]) for row in self.ids]
        )


def files(config: FeaturesConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    return {"books": config.data_file(BOOKS)}


def run(config: FeaturesConfig, steps: Steps, outcome: Outcome) -> None:
    """Read each mark from each layer."""
    ours = prepare_ours(config.data_file(BOOKS), config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    seen = Seen(ours, config)
    found = {key: steps.once(key, partial(_read, key, seen, config)) for key in NAMES}
    tell(outcome, found)
    outcome.notes += [
        "one model and one network of random weights; errors are those of held-out books",
        "as many tokens with a mark as without are read, so guessing is right half the time",
        "marks are given by rules; the rule in the window misses only what happened before the window began",
        "the best layer is chosen on text that no probe learned from and none is judged on",
        "what can be read from a layer need not be used by the model",
    ]


def _windows(ours: Ours, config: FeaturesConfig) -> dict[str, Windows]:
    """Draw windows: two sides of the text that was trained on, and other books."""
    tokenizer, train, held_out = open_data(ours.data)
    draw = np.random.default_rng(config.seed)
    length = ours.shape.context
    specials = set(tokenizer.specials.values())
    pieces = {id: b"\n\n" if id in specials else _bytes(tokenizer, id) for id in range(tokenizer.vocabulary_size)}
    found = {}
    for tokens, sides in (
        (train, {"learn": config.windows, "choose": config.windows // 4}),
        (held_out, {"test": config.windows // 2}),
    ):
        ids = tokens.read(0, len(tokens)).astype(np.int64)
        most, asked = len(ids) // length, sum(sides.values())
        if most < asked:
            raise UserError(f"--windows {config.windows}: the text has {most} windows where {asked} are asked for")
        places = draw.permutation(most)  # of one draw, so that no window of one side is one of the other
        for side, count in sides.items():
            starts, places = length * np.sort(places[:count]), places[count:]
            books = np.searchsorted(np.flatnonzero(ids == tokenizer.end_of_text), starts + length // 2)
            found[side] = _marked(ids, pieces, starts, books, length)
    return found


def _bytes(tokenizer: Tokenizer, id: int) -> bytes:
    return tokenizer.token_bytes(id) or b" "


def _marked(
    ids: np.ndarray, pieces: Mapping[int, bytes], starts: np.ndarray, books: np.ndarray, length: int
) -> Windows:
    """Cut windows, and mark their tokens with all of the text before them in view."""
    windows = Windows(np.stack([ids[at : at + length] for at in starts]), pieces, starts.tolist(), books.tolist())
    whole = marks_of([pieces[int(id)] for id in ids])
    for key in NAMES:
        windows.marks[key] = np.concatenate([whole[key][at + length // 2 : at + length] for at in starts])
    return windows


class Seen:
    """The windows, and what the networks make of them, each computed when it is first asked for."""

    def __init__(self, ours: Ours, config: FeaturesConfig) -> None:
        self.ours, self.config = ours, config

    @cached_property
    def windows(self) -> dict[str, Windows]:
        """The windows of each side."""
        return _windows(self.ours, self.config)

    @cached_property
    def states(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """For the network of random weights and the trained one, by layer and side: states, shape (tokens, width)."""
        found = {}
        # Our shape's branches begin at zero, where every layer would be the one before it.
        untrained = build_decoder(replace(self.ours.shape, zero_init_outputs=False), self.ours.seed)
        for reader, decoder in (("untrained", untrained), ("learned", self.ours.pretrained().decoder)):
            sides = {side: _states(decoder, windows) for side, windows in self.windows.items()}
            count = self.ours.shape.layers + 1
            found[reader] = [{side: sides[side][layer] for side in SIDES} for layer in range(count)]
        return found


def _states(decoder: Decoder, windows: Windows) -> list[np.ndarray]:
    """Return for each layer the states of the tokens that are read, shape (tokens, width)."""
    half = windows.ids.shape[1] // 2
    parts = []
    for start in range(0, len(windows.ids), 16):
        rows = torch.from_numpy(windows.ids[start : start + 16])
        parts.append([state[:, half:].reshape(-1, state.size(-1)).numpy() for state in layer_states(decoder, rows)])
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def _read(key: str, seen: Seen, config: FeaturesConfig) -> dict[str, Any]:
    """Read one mark in every way; tell of each probe which of the test tokens it got right."""
    windows = seen.windows
    draw = np.random.default_rng([config.seed, list(NAMES).index(key)])
    places = {side: balanced(windows[side].marks[key], config.tokens, draw) for side in SIDES}
    truth = {side: windows[side].marks[key][places[side]] for side in SIDES}

    def sides(make: Any) -> dict[str, Any]:
        return {side: make(windows[side], places[side]) for side in SIDES}

    found: dict[str, Any] = {"book": windows["test"].books[places["test"]].tolist(), "right": {}, "layers": {}}
    given = {
        "token": sides(lambda each, at: each.last_tokens(1)[at]),
        "last": sides(lambda each, at: each.last_tokens(LAST)[at]),
        "handmade": sides(lambda each, at: each.seen[key][at][:, None].astype(np.int64)),
    }
    for reader, inputs in given.items():
        found["right"][reader] = _right(inputs, truth)["test"]
    for reader, states in seen.states.items():
        layers = [{side: layer[side][places[side]] for side in SIDES} for layer in states]
        rights = [_right(each, truth) for each in layers]
        best = int(np.argmax([np.mean(each["choose"]) for each in rights]))
        found["layers"][reader] = [each["test"] for each in rights]
        found["right"][reader] = rights[best]["test"]
        if reader == "learned":
            # One order may happen to go along with what else the states tell, and all test tokens share it: draw many.
            mixed = [
                {**truth, **{side: draw.permutation(truth[side]) for side in ("learn", "choose")}}
                for _ in range(SHUFFLES)
            ]
            found["shuffled"] = [float(np.mean(_right(layers[best], each)["test"])) for each in mixed]
            found["best"] = best
    return found


def balanced(marks: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """Draw places, as many marked as not. Raises `UserError` where one of both kinds is missing."""
    kinds = [np.flatnonzero(marks == kind) for kind in (0, 1)]
    count = min(most // 2, *map(len, kinds))
    if count < 10:
        raise UserError("--windows: too few; a mark occurs fewer than ten times in them")
    return np.sort(np.concatenate([draw.choice(kind, count, replace=False) for kind in kinds]))


def _right(inputs: Mapping[str, Any], truth: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Fit a probe, on ids as ones at their places; tell of the two other sides which tokens were read right."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    ids = np.issubdtype(inputs["learn"].dtype, np.integer)
    scaler = (OneHotEncoder(handle_unknown="ignore") if ids else StandardScaler()).fit(inputs["learn"])
    given = {side: scaler.transform(inputs[side]) for side in SIDES}
    found = []
    for held_back in (0.01, 1.0):  # what suits states of a network need not suit ones at places
        probe = LogisticRegression(C=held_back, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly there is as good
            probe.fit(given["learn"], truth["learn"])
        sides = ("choose", "test")
        found.append({side: (probe.predict(given[side]) == truth[side]).astype(int).tolist() for side in sides})
    return max(found, key=lambda each: float(np.mean(each["choose"])))


def centre(accuracies: Sequence[float]) -> float:
    """Return the layer around which a mark comes to be readable: the mean of layers, weighted by what each adds.

    What a layer adds is how far it lies above the best before it, and above one half at the first (after Tenney, Das
    and Pavlick 2019, arXiv 1905.05950). Zero where nothing can be read anywhere.
    """
    best = np.maximum.accumulate(np.maximum(accuracies, 0.5))
    added = np.diff(best, prepend=0.5)
    return float((added * np.arange(len(added))).sum() / added.sum()) if added.sum() > 0 else 0.0


def tell(outcome: Outcome, found: Mapping[str, dict[str, Any]]) -> None:
    """Tell how well each feature is read from each layer, and judge what the notes say of it."""
    rows, by_layer = [], []
    curves = {}
    for key, each in found.items():
        for reader in READERS:
            if reader != "shuffled":
                outcome.values[f"{key}.{reader}"] = mean_of(each["right"][reader], each["book"])
        outcome.values[f"{key}.shuffled"] = of_draws(each["shuffled"])
        layers = [mean_of(right, each["book"]) for right in each["layers"]["learned"]]
        outcome.values |= {f"{key}.layer{at}": value for at, value in enumerate(layers)}
        outcome.values[f"{key}.centre"] = Value(centre([value.value for value in layers]))
        rows.append([NAMES[key], *(f"{outcome.values[f'{key}.{reader}'].value:.1%}" for reader in READERS)])
        place = f"{outcome.values[f'{key}.centre'].value:.2f}"
        by_layer.append([NAMES[key], *(f"{value.value:.1%}" for value in layers), place])
        curves[NAMES[key]] = (list(range(len(layers))), [value.value for value in layers])
    count = len(next(iter(found.values()))["book"])
    outcome.tables.append(Table(f"Read right, of about {count:,} tokens each", ["the token", *READERS.values()], rows))
    depth = len(next(iter(found.values()))["layers"]["learned"]) - 1
    header = ["the token", "vectors", *(f"layer {at + 1}" for at in range(depth)), "centre"]
    outcome.tables.append(Table("The same by layer of the trained model", header, by_layer))
    outcome.curves.append(Curves("What can be read at each layer", "layer", "share read right", curves))
    _claim(outcome, found)


def _ahead(found: Mapping[str, dict[str, Any]], key: str, one: Any, other: Any) -> bool:
    """Tell whether one probe reads a mark better than another, beyond the error of books."""
    gaps = np.subtract(one, other).astype(np.float64)
    return bool(gaps.mean() - 1.96 * standard_error(gaps, found[key]["book"]) > 0)


def _claim(outcome: Outcome, found: Mapping[str, dict[str, Any]]) -> None:
    values, claims = outcome.values, outcome.claims
    claims["simple-in-vectors"] = Claim(
        "Every simple mark is read from the token's vector, before any layer, at least nine times of ten",
        all((values[f"{key}.layer0"].low or 0) >= 0.9 for key in SIMPLE),
    )
    claims["layers-add-compound"] = Claim(
        "For every compound mark the best layer beats the vectors",
        all(_ahead(found, key, found[key]["right"]["learned"], found[key]["layers"]["learned"][0]) for key in COMPOUND),
    )
    claims["simple-precedes-compound"] = Claim(
        "Every simple mark comes to be readable before every compound one",
        max(values[f"{key}.centre"].value for key in SIMPLE) < min(values[f"{key}.centre"].value for key in COMPOUND)
        and all((values[f"{key}.learned"].low or 0) > 0.5 for key in COMPOUND),
    )
    for other, says in (
        ("untrained", "For every compound mark training beats random weights"),
        ("last", f"and beats the last {LAST} tokens without a network"),
    ):
        holds = all(_ahead(found, k, found[k]["right"]["learned"], found[k]["right"][other]) for k in COMPOUND)
        claims[f"learned-beats-{other}"] = Claim(says, holds)
    claims["handmade-leads"] = Claim(
        "Who knows the rule needs no model: counted in the window, it is right more often for each compound mark",
        all(_ahead(found, k, found[k]["right"]["handmade"], found[k]["right"]["learned"]) for k in COMPOUND),
    )
    every = of_draws([right for each in found.values() for right in each["shuffled"]])
    values["shuffled"] = every
    claims["shuffled-at-chance"] = Claim(
        "With marks in random order probes are right half the time: the interval of all of them holds one half",
        every.low is not None and every.high is not None and every.low <= 0.5 <= every.high,
    )
