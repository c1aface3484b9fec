"""Experiment ladder-translate: scores by length of the source, and the claims about the methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scratchlm.base.statistics import Comparison
from scratchlm.lab.harness.methods import MethodResult
from scratchlm.lab.harness.outcome import Claim, Outcome, Table, Value

LENGTHS = {
    "short": (1, 3, "to 3 words"),
    "middle": (4, 5, "4 and 5 words"),
    "long": (6, 99, "6 words and more"),
}
"""Groups of source lengths in words, for separate scores."""


def claim(
    outcome: Outcome, by: dict[str, MethodResult], compare: Callable[[MethodResult, MethodResult], Comparison]
) -> None:
    """Add the claims."""
    for key, above, below, says in (
        ("rules-beat-copying", "rules", "copy", "Rules beat copying the source"),
        ("attention-helps", "attention", "recurrent", "Attention helps a recurrent translator"),
        ("transformer-beats-words", "transformer", "ibm1", "A transformer beats word-for-word translation"),
        (
            "transformer-beats-recurrent",
            "transformer",
            "attention",
            "A transformer beats a recurrent network with attention",
        ),
        (
            "taught-beats-prompted",
            "decoder",
            "prompted",
            "A small decoder trained on pairs beats a published model prompted few-shot",
        ),
    ):
        if below not in by:  # no --init
            continue
        outcome.claims[key] = Claim(says, compare(by[below], by[above]).interval.low > 0)


def report_lengths(
    outcome: Outcome, sources: Sequence[str], each: dict[str, np.ndarray], results: Sequence[MethodResult]
) -> None:
    """Report the scores of each method by the length of the source."""
    lengths = np.array([len(source.split()) for source in sources])
    inside = {name: (lengths >= low) & (lengths <= high) for name, (low, high, _) in LENGTHS.items()}
    inside = {name: chosen for name, chosen in inside.items() if chosen.any()}
    rows = []
    for result in results:
        means = {name: float(each[result.key][chosen].mean()) for name, chosen in inside.items()}
        outcome.values.update({f"{result.key}.chrf.{name}": Value(mean) for name, mean in means.items()})
        rows.append([result.name, *(f"{mean:.1f}" for mean in means.values())])
    header = ["", *(f"{LENGTHS[name][2]}, {chosen.sum():,}" for name, chosen in inside.items())]
    outcome.tables.append(Table("chrF by the length of the source", header, rows))
