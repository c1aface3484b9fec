"""Experiment features: accuracy of the probes, and the claims about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchlm.base.statistics import standard_error
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.shared.probe_labels import CONTEXTUAL, NAMES, SIMPLE
from scratchlm.lab.shared.proportions import mean_of, of_draws

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
    outcome.tables.append(Table(f"Probe accuracy, about {count:,} tokens each", ["the token", *READERS.values()], rows))
    depth = len(next(iter(found.values()))["layers"]["learned"]) - 1
    header = ["the token", "embedding", *(f"layer {at + 1}" for at in range(depth)), "centre of gravity"]
    outcome.tables.append(Table("Probe accuracy by layer of the trained model", header, by_layer))
    outcome.curves.append(Curves("Probe accuracy by layer", "layer", "accuracy", curves))
    _claim(outcome, found)


def _ahead(found: Mapping[str, dict[str, Any]], key: str, one: Any, other: Any) -> bool:
    """Return whether one probe is more accurate than another, beyond the error clustered by book."""
    gaps = np.subtract(one, other).astype(np.float64)
    return bool(gaps.mean() - 1.96 * standard_error(gaps, found[key]["book"]) > 0)


def _claim(outcome: Outcome, found: Mapping[str, dict[str, Any]]) -> None:
    values, claims = outcome.values, outcome.claims
    claims["simple-in-vectors"] = Claim(
        "Probes on the embedding read every simple property with at least 90% accuracy",
        all((values[f"{key}.layer0"].low or 0) >= 0.9 for key in SIMPLE),
    )
    claims["layers-add-compound"] = Claim(
        "For every contextual property the best layer beats the embedding",
        all(
            _ahead(found, key, found[key]["right"]["learned"], found[key]["layers"]["learned"][0]) for key in CONTEXTUAL
        ),
    )
    claims["simple-precedes-compound"] = Claim(
        "Every simple property becomes readable at an earlier layer than every contextual one",
        max(values[f"{key}.centre"].value for key in SIMPLE) < min(values[f"{key}.centre"].value for key in CONTEXTUAL)
        and all((values[f"{key}.learned"].low or 0) > 0.5 for key in CONTEXTUAL),
    )
    for other, says in (
        ("untrained", "For every contextual property the trained model beats random weights"),
        ("last", f"and beats a probe on the last {LAST} tokens without a network"),
    ):
        holds = all(_ahead(found, k, found[k]["right"]["learned"], found[k]["right"][other]) for k in CONTEXTUAL)
        claims[f"learned-beats-{other}"] = Claim(says, holds)
    claims["handmade-leads"] = Claim(
        "For every contextual property the hand-written rule within the window beats the model",
        all(_ahead(found, k, found[k]["right"]["handmade"], found[k]["right"]["learned"]) for k in CONTEXTUAL),
    )
    every = of_draws([right for each in found.values() for right in each["shuffled"]])
    values["shuffled"] = every
    claims["shuffled-at-chance"] = Claim(
        "With shuffled labels probes are at chance: the interval of their mean accuracy contains one half",
        every.low is not None and every.high is not None and every.low <= 0.5 <= every.high,
    )
