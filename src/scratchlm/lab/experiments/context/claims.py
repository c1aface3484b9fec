"""Experiment context: losses under each condition, and the claims about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.shared.small_model import SmallModel

NEAR = 8
"""Tokens that keep their order when those before them are shuffled."""
CONDITIONS = {
    "shuffled": "all tokens shuffled",
    "far shuffled": f"all but the last {NEAR} tokens shuffled",
    "no attention": "no attention",
}
"""Conditions other than the length of the context, as the table names them."""


def lengths(context: int) -> list[int]:
    """Return the context lengths to test: powers of two."""
    return [2**power for power in range(context.bit_length()) if 2**power <= context]


def _more(outcome: Outcome, key: str, says: str, gaps: Sequence[float] | np.ndarray) -> None:
    """Add a difference in nats, and the claim that it is above zero."""
    values = np.asarray(gaps, np.float64)
    compared = comparison_of(float(values.mean()), standard_error(values))
    outcome.values[key] = Value(compared.difference, *compared.interval)
    outcome.claims[key] = Claim(says, compared.interval.low > 0)


def report_context(outcome: Outcome, nats: dict[str, np.ndarray], small: SmallModel) -> None:
    """Report how the loss depends on the length and the order of the context."""
    seen = lengths(small.shape.context)
    half = {name: 1.96 * standard_error(each) for name, each in nats.items()}
    for name, each in nats.items():
        mean = float(each.mean())
        outcome.values[f"loss.{name.replace(' ', '-')}"] = Value(mean, mean - half[name], mean + half[name])
    losses = [float(nats[str(count)].mean()) for count in seen]
    outcome.curves.append(Curves("Loss by context length", "tokens of context", "nats per token",
                                 {"all tokens": (seen, losses)}, logarithmic=True))  # fmt: skip
    rows = []
    for name in nats:
        shown = outcome.values[f"loss.{name.replace(' ', '-')}"].shown()
        rows.append([f"{name} tokens of context" if name.isdigit() else CONDITIONS[name], shown])
    title = f"The same {len(next(iter(nats.values()))):,} held-out tokens, nats per token"
    outcome.tables.append(Table(title, ["condition", "loss"], rows))
    whole, few = nats[str(seen[-1])], nats["16"] if "16" in nats else nats[str(seen[0])]
    _more(outcome, "context-helps", "The loss is lower with 16 tokens of context than with one", nats["1"] - few)
    _more(outcome, "far-context-helps", "and lower still with the full context", few - whole)
    _more(outcome, "order-matters", "The loss is higher if the context is shuffled", nats["shuffled"] - whole)
    _more(outcome, "near-order-is-most", f"Most of that is due to the order of the last {NEAR} tokens",
          nats["shuffled"] - 2 * nats["far shuffled"] + whole)  # fmt: skip
    says = "Without attention the loss is higher than with one token of context"
    _more(outcome, "attention-carries-context", says, nats["no attention"] - nats["1"])


def report_heads(outcome: Outcome, found: dict[str, list[float]]) -> None:
    """Report the increase in loss when each head is ablated."""
    means = {name: float(np.mean(gaps)) for name, gaps in found.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    for name, gaps in found.items():
        half = 1.96 * standard_error(gaps)
        outcome.values[f"head.{name}"] = Value(means[name], means[name] - half, means[name] + half)
    rows = [[name, outcome.values[f"head.{name}"].shown("+.3f")] for name in ranked]
    outcome.tables.append(Table("Increase in loss without one head (layer.head)", ["head", "nats per token"], rows))
    half = len(next(iter(found.values()))) // 2
    # Selected on the first half of the windows, tested on the second.
    top = max(found, key=lambda name: float(np.mean(found[name][:half])))
    rest = {name: float(np.mean(gaps[half:])) for name, gaps in found.items()}
    middle, margin = float(np.median(list(rest.values()))), 1.96 * standard_error(found[top][half:])
    outcome.values["head.most"] = Value(rest[top], rest[top] - margin, rest[top] + margin)
    outcome.values["head.median"] = Value(middle)
    unequal = rest[top] - margin > 3 * max(middle, 0.001)
    outcome.claims["heads-are-unequal"] = Claim(
        "Ablating the most important head costs over three times as much as the median head", unequal
    )


def report_copies(outcome: Outcome, found: dict[str, Any], books: dict[str, Any]) -> None:
    """Report how repeated random tokens are predicted, with and without the induction heads."""
    ways = ("first", "second", "without best", "without others")
    first, second, best, others = (np.array(found[way]) for way in ways)
    for way in ways:
        outcome.values[f"copy.{way.replace(' ', '-')}"] = Value(float(np.mean(found[way])))
    outcome.values["copy.books.first"] = Value(float(np.mean(books["first"])))
    outcome.values["copy.books.second"] = Value(float(np.mean(books["second"])))
    outcome.values["copy.books.best-score"] = Value(max(books["scores"].values()))
    outcome.values["copy.best-score"] = Value(max(found["scores"].values()))
    outcome.values["copy.heads"] = Value(len(found["chosen"]))
    named = ", ".join(found["chosen"])
    rows = [
        ["first occurrence", f"{first.mean():.3f}", f"{np.mean(books['first']):.3f}"],
        ["second occurrence", f"{second.mean():.3f}", f"{np.mean(books['second']):.3f}"],
        [f"second occurrence, without the induction heads ({named})", f"{best.mean():.3f}", ""],
        ["second occurrence, without as many other heads", f"{others.mean():.3f}", ""],
    ]
    header = ["", "trained on repeated text", "trained on books"]
    outcome.tables.append(Table("Repeated random tokens, nats per token", header, rows))
    _more(
        outcome,
        "copies",
        "A model trained on repetitions predicts the second occurrence of random tokens better",
        first - second,
    )
    _more(outcome, "induction-heads-copy", "Without the induction heads their loss is higher", best - second)
    says = "and more than half of the gain from repetition is lost"
    _more(outcome, "copying-hangs-on-them", says, (best - second) - 0.5 * (first - second))
    says = "which is more than without as many other heads"
    _more(outcome, "other-heads-matter-less", says, best - others)
