"""Tables, figures and claims of `experiment ladder-translate`, from the scores of each method on each sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import (
    Column,
    Compare,
    Method,
    MethodResult,
    add_comparison,
    add_groups,
    claim_gains,
    paired_by,
)
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.verdicts import below, every
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.translation_scores import bleu, bleu_gain
from scratchlm.lab.shared.translators import best_of, rate_at_edge

COLUMNS = (
    Column("chrf", "chrF, mean of sentences", ".1f", interval=True),
    Column("bleu", "BLEU", ".1f", interval=True),
)
LENGTHS = {"short": (1, 3, "to 3 words"), "middle": (4, 5, "4 and 5 words"), "long": (6, 99, "6 words and more")}
"""Groups of source lengths in words, for separate scores."""
VARIANTS = {
    "phrases.beam1": "phrase-based, tuned, no beam",
    "phrases.untuned": "phrase-based, weights not tuned",
    "transformer.beam": "encoder-decoder transformer, beam",
    "longer.beam": "transformer with more epochs, beam",
}
"""Methods that search otherwise, or with other weights, after the same training."""
CLAIMS = (
    ("rules-beat-copying", "rules", "copy"),
    ("phrases-beat-words", "phrases.untuned", "ibm1"),
    ("words-beat-no-attention", "ibm1", "recurrent"),
    ("attention-helps", "attention", "recurrent"),
    ("transformer-beats-recurrent", "transformer", "attention"),
    ("taught-beats-prompted", "decoder", "prompted"),
)  # fmt: skip
"""Claims that the first of two methods scores higher than the second in chrF, with the control of each."""
RIVALS = {"transformer": "a transformer", "longer": "a transformer trained for more epochs"}
"""The rivals of phrase-based translation, two training lengths of one network."""


@dataclass(frozen=True)
class Pairs:
    """Sentences with their translations."""

    train: list[tuple[str, str]]
    tested: list[tuple[str, list[str]]]
    clusters: list[int]
    """The group of each tested sentence; those of one group share translations."""


def report(
    out: Findings, chosen: Sequence[Method[Any]], results_of: Mapping[str, Mapping[str, Any]], pairs: Pairs
) -> None:
    """Report the scores of all methods and variants, and add the claims."""
    scores = dict(results_of)
    for key, measured in results_of.items():
        scores |= {f"{key}.{name}": each for name, each in measured["variants"].items()}
    each = {key: np.array(measured["each"]) for key, measured in scores.items()}
    counts = {key: np.array(measured["counts"]) for key, measured in scores.items()}

    def values(key: str) -> dict[str, Value]:
        return {"chrf": mean_of(each[key], pairs.clusters), "bleu": bleu(counts[key], pairs.clusters)}

    results = [method.result(values(method.key), results_of[method.key]) for method in chosen]
    compare = paired_by(each, pairs.clusters)
    title = f"{len(pairs.train):,} training pairs, {len(pairs.tested):,} test sentences"
    add_comparison(out, title, results, COLUMNS, compare, "+.1f")
    report_variants(out, {key: values(key) for key in VARIANTS})
    sizes = np.array([len(source.split()) for source, _ in pairs.tested])
    groups = {name: (shown, (sizes >= low) & (sizes <= high)) for name, (low, high, shown) in LENGTHS.items()}

    def mean(key: str, inside: np.ndarray) -> Value:
        return mean_of(each[key][inside], np.array(pairs.clusters)[inside].tolist())

    add_groups(out, "chrF by the length of the source", "chrf", results, groups, mean, ".1f")
    out.values["pairs"] = Value(len(pairs.train))
    by = {result.key: result for result in results}
    by |= {key: MethodResult(key, name, {}, 0.0, 0.0, 0.0) for key, name in VARIANTS.items()}
    out.gain("recurrent.over.ibm1.bleu", bleu_gain(counts["ibm1"], counts["recurrent"], pairs.clusters))
    for rival in RIVALS:
        gained = bleu_gain(counts[f"{rival}.beam"], counts["phrases"], pairs.clusters)
        out.gain(f"phrases.over.{rival}.beam.bleu", gained)
    claim(out, by, compare)


def report_optimizers(out: Findings, tried: Mapping[str, Mapping[str, float]]) -> None:
    """Report the loss on held-out training pairs with each optimizer of the grid."""
    out.values |= {f"grid.{kind}.{name}": Value(loss) for kind, of in tried.items() for name, loss in of.items()}
    names = list(dict.fromkeys(name for of in tried.values() for name in of))
    rows: list[Row] = [[name, *(Cell(f"grid.{kind}.{name}", ".3f") for kind in tried)] for name in names]
    title = "Optimizer and learning rate, nats per token on held-out training pairs"
    out.table(title, ["", *tried], rows)
    out.notes.append("rates were chosen in trials of one epoch; longer training may prefer lower ones")
    edges = [kind for kind in tried if rate_at_edge(best_of(tried, kind))]
    if edges:
        out.notes.append(f"the best rate is the lowest or highest that was tried: {', '.join(edges)}")


def report_variants(out: Findings, measured: Mapping[str, Mapping[str, Value]]) -> None:
    """Report what search and tuning add; the methods themselves are reported before."""
    out.values |= {f"{key}.{name}": value for key, scores in measured.items() for name, value in scores.items()}
    names = {
        "phrases": "phrase-based, tuned, beam",
        "transformer": "encoder-decoder transformer, greedy",
        "longer": "transformer with more epochs, greedy",
    } | VARIANTS
    rows: list[Row] = [
        [name, Cell(f"{key}.chrf", ".1f"), Cell(f"{key}.bleu", ".1f")]
        for method in ("phrases", "transformer", "longer")
        for key, name in names.items()
        if key.split(".")[0] == method
    ]
    out.table("The same methods with and without a beam, and without tuning", ["", "chrF", "BLEU"], rows)


def claim(out: Findings, by: Mapping[str, MethodResult], compare: Compare) -> None:
    """Add the claims; each rival of the phrases is compared with a beam on both sides, and with none on either."""

    def gain(above: str, below: str) -> Any:
        return out.gain(f"{above}.over.{below}", compare(by[below], by[above]))

    claim_gains(out, by, compare, CLAIMS)
    out.claim("no-attention-beats-words-in-bleu")
    for rival, name in RIVALS.items():
        out.claim(
            f"{rival}-beats-words",
            every(gain(rival, "ibm1"), gain(rival, "memory")),
            entry="beats-words",
            group=name.capitalize(),
        )
        gain("phrases.untuned", f"{rival}.beam")
        both = every(gain("phrases", f"{rival}.beam"), gain("phrases.beam1", rival)).replace(" > ", " < ")
        out.claim(
            f"{rival}-beats-phrases",
            both,
            entry="beats-phrases",
            group=name.capitalize(),
        )
        out.claim(
            f"{rival}-beats-phrases-in-bleu",
            below(f"phrases.over.{rival}.beam.bleu"),
            entry="beats-phrases-in-bleu",
            name=name,
        )
