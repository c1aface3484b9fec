"""Experiment ladder-respond: claims about the methods, and the blind ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scratchlm.lab.harness.methods import MethodResult
from scratchlm.lab.harness.outcome import Claim, Outcome, Table
from scratchlm.lab.shared.proportions import proportion


def claim(outcome: Outcome, by: Mapping[str, MethodResult]) -> None:
    """Add the claims."""

    def above_interval(above: str, below: str, score: str) -> bool:
        high, low = by[below].scores[score].high, by[above].scores[score].low
        return high is not None and low is not None and low > high

    says = {
        "model-is-right-most": ("The small model names the right value more often than the nearest sentence of stories",
                                "chat", "retrieval", "right"),
        "model-beats-recall": ("It does so more often than retrieved training answers", "chat", "recall", "right"),
        "model-beats-counting": ("and than 5-grams", "chat", "ngram", "right"),
        "model-stays-with-the-question": ("It mentions the subject more often than ELIZA's patterns",
                                          "chat", "eliza", "about"),
        "counting-is-less-fluent": ("Its replies are grammatical more often than those of 5-grams",
                                    "chat", "ngram", "fluent"),
    }  # fmt: skip
    for key, (text, above, below, score) in says.items():
        outcome.claims[key] = Claim(text, above_interval(above, below, score))


def report_ratings(
    outcome: Outcome, laid: Sequence[Mapping[str, str]], ratings: Sequence[Mapping[str, int]], names: Mapping[str, str]
) -> None:
    """Report the ratings of each method's replies, and add the claim."""
    rows = []
    for key, name in names.items():
        mine = [rating for row, rating in zip(laid, ratings, strict=True) if row["method"] == key]
        for side in ("relevant", "coherent"):
            outcome.values[f"{key}.read_{side}"] = proportion([float(each[side]) for each in mine])
        shown = [outcome.values[f"{key}.read_{side}"].shown(".1%") for side in ("relevant", "coherent")]
        rows.append([name, str(len(mine)), *shown])
    outcome.tables.append(Table("Blind ratings", ["", "replies", "relevant", "coherent"], rows))
    low, high = outcome.values["chat.read_relevant"].low, outcome.values["eliza.read_relevant"].high
    says = "In blind ratings the small model's replies are relevant more often than those of ELIZA's patterns"
    outcome.claims["read-as-relevant"] = Claim(says, low is not None and high is not None and low > high)
