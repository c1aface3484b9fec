"""Experiment ablations: tables and curves of the ablations, and the claims about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.shared.small_model import SmallModel
from scratchlm.model.counting import sizes_of

PROMPT, ANSWER = "Once upon a", " time"
TURNS = tuple(round(-1.0 + 0.125 * step, 3) for step in range(17))


def report_parts(outcome: Outcome, small: SmallModel) -> None:
    """Report the number of parameters of each part, and add the claim that they sum to the total."""
    sizes = sizes_of(small.shape)
    outcome.values["parameters"] = Value(sizes.parameters)
    for name, count in sizes.parts.items():
        outcome.values[f"part.{name}"] = Value(count)
    ranked = sorted(sizes.parts.items(), key=lambda item: -item[1])
    rows = [[name, f"{count:,}", f"{count / sizes.parameters:.1%}"] for name, count in ranked]
    outcome.tables.append(Table("Parameters by part", ["part", "count", "fraction"], rows))
    whole = sum(sizes.parts.values()) == small.random().decoder.parameter_count()
    outcome.claims["parts-sum"] = Claim("The parts sum to the total", whole)


def report_turn(outcome: Outcome, found: dict[str, Any]) -> None:
    """Report how a prediction depends on one weight."""
    probabilities = found["probabilities"]
    outcome.values["turn.before"] = Value(found["before"])
    outcome.values["turn.least"], outcome.values["turn.most"] = Value(min(probabilities)), Value(max(probabilities))
    outcome.values["turn.slope"], outcome.values["turn.measured"] = Value(found["slope"]), Value(found["measured"])
    title = f"Probability of {ANSWER!r} after {PROMPT!r} as one parameter of {found['name']} varies"
    lines = {f"entry {found['place']:,}, trained value {found['value']:.3f}": (TURNS, probabilities)}
    outcome.curves.append(Curves(title, "added to the parameter", "probability", lines))
    near = abs(found["measured"] - found["slope"]) < 0.05 * abs(found["slope"])
    outcome.claims["gradient-foretells"] = Claim(
        "The gradient predicts within 5% how a small change of one parameter moves the probability",
        near,
    )


def report_frozen(outcome: Outcome, found: dict[str, dict[str, Any]]) -> None:
    """Report the loss that training each part alone reaches."""
    rows = []
    for name, each in found.items():
        blocks = np.array(each["blocks"])
        mean, half = float(blocks.mean()), 1.96 * standard_error(blocks)
        outcome.values[f"free.{name.replace(' ', '-')}"] = Value(mean, mean - half, mean + half)
        rows.append([name, f"{each['trained']:,}", f"{mean:.3f}"])
    header = ["trainable parts", "parameters", "nats per token after training"]
    outcome.tables.append(Table("Trained from random weights, the rest frozen", header, rows))
    parts = [name for name in found if name not in ("everything", "nothing")]
    best = min(parts, key=lambda name: outcome.values[f"free.{name.replace(' ', '-')}"].value)
    for key, more, less, says in (
        ("frozen-learn-less", "everything", best, "All parts together reach a lower loss than the best part alone"),
        (
            "norms-are-not-enough",
            "embedding alone",
            "norms alone",
            "Training the norms alone reaches a higher loss than training the embedding alone",
        ),
        ("nothing-learns-nothing", "norms alone", "nothing", "but a lower one than no training"),
    ):
        gaps = np.array(found[less]["blocks"]) - np.array(found[more]["blocks"])
        compared = comparison_of(float(gaps.mean()), standard_error(gaps))
        outcome.values[f"{key}.gap"] = Value(compared.difference, *compared.interval)
        outcome.claims[key] = Claim(says, compared.interval.low > 0)


def report_perturbed(outcome: Outcome, found: dict[str, list[float]], key: str, title: str, x: str) -> None:
    """Report the loss for each size of a change to the weights."""
    rows, means = [], []
    for size, blocks in found.items():
        mean, half = float(np.mean(blocks)), 1.96 * standard_error(blocks)
        outcome.values[f"{key}.{size}"] = Value(mean, mean - half, mean + half)
        means.append(mean)
        rows.append([size, f"{mean:.3f}"])
    outcome.tables.append(Table(title, [x, "nats per token"], rows))
    outcome.curves.append(Curves(title, x, "nats per token", {key: ([float(size) for size in found], means)}))


def claim_perturbed(outcome: Outcome) -> None:
    """Add the claims about noise and zeroed weights."""

    def of(name: str) -> float:
        return outcome.values[name].value

    outcome.claims["little-noise-is-forgiven"] = Claim(
        "Noise of 1% of their standard deviation on all matrices changes the loss by less than 1%",
        abs(of("noise.0.01") - of("noise.0.0")) < 0.01 * of("noise.0.0"),
    )
    outcome.claims["much-noise-destroys"] = Claim(
        "Noise of 100% of their standard deviation raises the loss by more than 1 nat per token",
        of("noise.1.0") > of("noise.0.0") + 1,
    )
    outcome.claims["small-weights-matter-little"] = Claim(
        "Setting the smallest 10% of the weights to zero raises the loss by less than 1%",
        of("cut.0.1") - of("cut.0.0") < 0.01 * of("cut.0.0"),
    )
