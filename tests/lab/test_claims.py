"""Claims follow the numbers: each turns out otherwise when they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from outcomes import climbed, holding, outcome
from scratchlm.lab.experiments.ablations import measure as knobs
from scratchlm.lab.experiments.context import measure as context
from scratchlm.lab.experiments.label_efficiency import measure as label_efficiency
from scratchlm.lab.experiments.ladder_lm import measure as ladder_lm
from scratchlm.lab.experiments.ladder_spam import measure as ladder_spam
from scratchlm.lab.experiments.ladder_spam.measure import compared
from scratchlm.lab.experiments.ladder_translate import measure as ladder_translate
from scratchlm.lab.experiments.objective import measure as objective
from scratchlm.lab.harness.methods import Column, Method, Rung, add_ladder
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.folds import Folded, like_others
from scratchlm.lab.shared.proportions import of_draws


def spread_around(mean: float, count: int = 40) -> list[float]:
    return (mean + 0.01 * np.sin(np.arange(count))).tolist()


def test_context_claims_follow_the_losses() -> None:
    class Shape:
        context = 16

    class Ours:
        shape = Shape

    def told(losses: Mapping[str, float]) -> set[str]:
        made = outcome()
        nats = {name: np.array(spread_around(loss)) for name, loss in losses.items()}
        context.tell_context(made, nats, Ours)  # type: ignore[arg-type]
        return holding(made)

    usual = {
        "1": 6.0,
        "2": 5.5,
        "4": 5.0,
        "8": 4.8,
        "16": 4.5,
        "shuffled": 5.9,
        "far shuffled": 4.6,
        "no attention": 6.5,
    }
    assert told(usual) == {"context-helps", "order-matters", "near-order-is-most", "attention-carries-context"}
    none = told(dict.fromkeys(usual, 5.0))
    assert none == set()
    assert "near-order-is-most" not in told({**usual, "far shuffled": 5.8})
    assert "attention-carries-context" not in told({**usual, "no attention": 5.5})


def test_copying_claims_follow_the_losses() -> None:
    def told(first: float, second: float, best: float, others: float) -> set[str]:
        made = outcome()
        found = {"first": first, "second": second, "without best": best, "without others": others}
        rows: dict[str, Any] = {key: spread_around(value, 12) for key, value in found.items()}
        rows |= {"scores": {"1.1": 0.8}, "chosen": ["1.1"]}
        context.tell_copies(made, rows, rows)
        return holding(made)

    assert told(8.0, 4.0, 7.5, 4.1) == {
        "copies", "induction-heads-copy", "copying-hangs-on-them", "other-heads-matter-less"
    }  # fmt: skip
    assert told(8.0, 4.0, 5.0, 6.0) == {"copies", "induction-heads-copy"}
    assert told(8.0, 8.0, 8.0, 8.0) == set()


def test_the_head_worth_most_is_judged_on_windows_it_was_not_chosen_on() -> None:
    made = outcome()
    lucky = [1.0] * 20 + [0.0] * 20  # worth much where it is chosen, nothing where it is judged
    context.tell_heads(made, {"1.1": lucky, "1.2": [0.01] * 40, "2.1": [0.02] * 40})
    assert not made.claims["heads-are-unequal"].holds
    made = outcome()
    context.tell_heads(made, {"1.1": spread_around(1.0), "1.2": [0.01] * 40, "2.1": [0.02] * 40})
    assert made.claims["heads-are-unequal"].holds


def test_knob_claims_follow_the_numbers() -> None:
    def harm(little: float, much: float, cut: float) -> set[str]:
        made = outcome()
        made.values = {
            "noise.0.0": Value(4.0), "noise.0.01": Value(little), "noise.1.0": Value(much),
            "cut.0.0": Value(4.0), "cut.0.1": Value(cut),
        }  # fmt: skip
        knobs.claim_harm(made)
        return holding(made)

    assert harm(4.01, 9.0, 4.01) == {"little-noise-is-forgiven", "much-noise-destroys", "small-weights-matter-little"}
    assert harm(4.2, 4.5, 4.2) == set()
    for measured, holds in ((0.101, True), (0.2, False)):
        made = outcome()
        found = {"name": "b", "place": 0, "value": 1.0, "slope": 0.1, "measured": measured, "before": 0.2}
        knobs.tell_turn(made, {**found, "chances": [0.2] * len(knobs.TURNS)})
        assert made.claims["gradient-foretells"].holds == holds


def test_claims_on_frozen_parts_follow_the_losses() -> None:
    def told(**losses: float) -> set[str]:
        made, found = outcome(), {}
        for name, loss in {**usual, **{key.replace("_", " "): loss for key, loss in losses.items()}}.items():
            found[name] = {"blocks": spread_around(loss), "trained": 1}
        knobs.tell_frozen(made, found)
        return holding(made)

    usual = {"everything": 4.0, "embedding alone": 5.0, "norms alone": 7.0, "nothing": 8.0}
    whole = {"frozen-learn-less", "norms-are-not-enough", "nothing-learns-nothing"}
    assert told() == whole
    assert whole - told(everything=5.0) == {"frozen-learn-less"}
    assert whole - told(nothing=7.0) == {"nothing-learns-nothing"}
    assert "norms-are-not-enough" not in told(norms_alone=5.0)


def test_claims_on_the_way_follow_the_losses() -> None:
    def told(first: float, last: float) -> set[str]:
        made = outcome()
        looks = [
            {"step": at, "loss": loss, "blocks": spread_around(loss), "text": ""}
            for at, loss in ((0, first), (9, last))
        ]
        objective.tell_way(made, {"looks": looks, "vocabulary": 4096})
        return holding(made)

    assert told(8.3, 5.0) == {"begins-by-guessing", "learns"}
    assert told(9.3, 9.3) == set()


def test_objective_claims_follow_the_bits() -> None:
    def told(bits: Mapping[str, float], losses: Mapping[str, float]) -> set[str]:
        made, found = outcome(), {}
        for name in bits:
            look = {"step": 1, "loss": losses[name], "bits_per_byte": bits[name], "blocks": [], "text": ""}
            rest = {"vocabulary": 5, "parameters": 1, "bytes_a_token": 1.0, "text_passes": 1.0, "unknown_share": 0.0}
            found[name] = {"looks": [look, look], **rest}
        objective.tell_kinds(made, found)
        return holding(made)

    losses = {"bytes": 1.5, "characters": 1.6, "sub-words": 4.0, "words": 5.0}
    assert told({"bytes": 2.5, "characters": 2.4, "sub-words": 2.0, "words": 2.2}, losses) == {
        "sub-words-win", "loss-a-token-misleads"
    }  # fmt: skip
    assert told({"bytes": 1.9, "characters": 2.4, "sub-words": 2.0, "words": 2.2}, {**losses, "words": 9.0}) == set()


def test_claims_on_a_published_model_follow_the_answers() -> None:
    truth = np.array([1, 0] * 100)

    def told(**right: int) -> set[str]:
        made = outcome()
        halves = {key: np.where(np.arange(200) < count, truth, 1 - truth) for key, count in right.items()}
        ladder_spam.claim_published(made, halves, truth)
        return holding(made)

    whole = {"rules-beat-asking", "teaching-beats-asking", "published-beats-ours", "published-beats-svm"}
    assert told(asked=50, rules=150, svm=160, pretrained=150, lora=195) == whole
    assert told(asked=195, rules=150, svm=195, pretrained=150, lora=195) == {"published-beats-ours"}
    assert told(asked=195, rules=195, svm=195, pretrained=195, lora=100) == set()


def test_label_claims_follow_the_draws() -> None:
    sizes = [8, 100, 1000]

    def told(svm_at_first: float, pretrained: float, later: float = 0.0) -> set[str]:
        made = outcome()
        of = {"rules": 0.9, "bayes": 0.6, "svm": svm_at_first, "random": 0.5, "pretrained": pretrained}
        found = {
            key: {size: [{"f1": v, "average_precision": v + 0.001 * d} for d in range(5)] for size in sizes}
            for key, v in of.items()
        }
        if later:
            found["pretrained"][100] = [{"f1": later, "average_precision": later + 0.001 * d} for d in range(5)]
        methods = {key: Method(key, key, None) for key in of}
        label_efficiency.tell(made, found, methods, sizes)  # type: ignore[arg-type]
        return holding(made)

    whole = {"rules-win-at-first", "pretraining-saves-labels", "pretraining-helps-still", "svm-leads-still"}
    assert told(0.7, 0.6) == whole
    assert told(0.95, 0.5) == {"svm-leads-still"}
    assert told(0.7, 0.6, later=0.4) == whole - {"pretraining-helps-still"}
    assert told(0.7, 0.6, later=0.8) == whole - {"svm-leads-still"}


def test_claims_on_language_models_follow_the_bits() -> None:
    def told(**bits: float) -> set[str]:
        made = outcome()
        by, compare = climbed({**usual, **bits}, "bits_per_byte")
        rungs = [replace(rung, scores={**rung.scores, "blimp": blimp[key]}) for key, rung in by.items()]
        ladder_lm.claim(made, rungs, compare)
        return holding(made)

    usual = {"unigram": 2.6, "katz": 1.9, "kneser3": 1.8, "kneser5": 1.7, "lstm": 1.6, "transformer": 1.5}
    blimp = {key: Value(0.5, 0.48, 0.52) for key in usual} | {"transformer": Value(0.6, 0.58, 0.62)}
    whole = told()
    assert len(whole) == 6
    assert whole - told(kneser3=1.9) == {"kneser-ney-beats-katz"}
    assert whole - told(unigram=1.7) == {"context-helps"}
    assert whole - told(lstm=1.7) == {"recurrent-beats-counting"}
    assert whole - told(lstm=1.5) == {"transformer-beats-recurrent"}
    assert whole - told(kneser5=1.5, kneser3=1.5) == {"recurrent-beats-counting", "transformer-beats-counting"}
    blimp["transformer"] = Value(0.53, 0.51, 0.55)
    assert whole - told() == {"grammar"}


def test_claims_on_translations_follow_the_scores() -> None:
    def told(**scores: float) -> set[str]:
        made = outcome()
        ladder_translate.claim(made, *climbed({**usual, **scores}, "chrf"))
        return holding(made)

    usual = {
        "copy": 1.0,
        "rules": 2.0,
        "ibm1": 3.0,
        "recurrent": 2.5,
        "attention": 3.5,
        "transformer": 4.0,
        "decoder": 4.0,
    }
    whole = {"rules-beat-copying", "attention-helps", "transformer-beats-words", "transformer-beats-recurrent"}
    assert told() == whole
    assert whole - told(copy=2.0) == {"rules-beat-copying"}
    assert whole - told(recurrent=3.5) == {"attention-helps"}
    assert whole - told(ibm1=4.0) == {"transformer-beats-words"}
    assert whole - told(attention=4.0) == {"transformer-beats-recurrent"}
    assert told(prompted=3.0) - whole == {"taught-beats-prompted"}
    assert told(prompted=4.0) == whole


def test_claims_on_spam_follow_the_answers() -> None:
    truth = np.tile([1, 0, 0, 0], 60)
    alike = Folded(("ham", "spam"), ["one text for all"] * 240, truth, np.arange(240) % 5)
    unlike = replace(alike, texts=[" ".join(chr(12_353 + number) * n for n in range(1, 8)) for number in range(240)])
    keys = ("majority", "rules", "bayes", "svm", "random", "pretrained")

    def told(data: Folded, seconds: float = 1.0, **right: float) -> set[str]:
        made = outcome()
        chances = {key: np.where(np.arange(240) < 240 * right.get(key, 0.9), truth, 1 - truth) * 0.9 for key in keys}
        chances["majority"] = np.zeros(240)
        rungs = [Rung(key, key, {"f1": Value(0.5)}, 1.0, seconds if key == "svm" else 2.0, 1.0) for key in keys]
        ladder_spam.report(made, rungs, chances, np.arange(240), data)
        assert len(made.tables) == (2 if data is alike else 3)
        return holding(made)

    whole = {"learning-beats-rules", "pretraining-helps", "svm-holds-its-own", "svm-is-cheaper", "rules-beat-majority"}
    assert told(unlike, rules=0.85, bayes=0.99, random=0.8, pretrained=0.95, svm=0.99) == whole
    assert told(alike, rules=0.6, bayes=0.6, svm=0.8, pretrained=0.9, random=0.9, seconds=3.0) == set()


def test_draws_have_students_interval() -> None:
    value = of_draws([1.0, 2.0, 3.0])
    assert value.value == 2.0
    assert value.high == pytest.approx(2 + 4.303 * 1 / np.sqrt(3))
    assert of_draws([1.0]) == Value(1.0)


def test_near_copies_are_told_across_folds_and_not_within_one() -> None:
    texts = [
        "WIN 500 pounds now, call 0906",
        "win 900 pounds now call 1234!",
        "see you at lunch then",
        "see you at lunch then ok",
    ]
    folds = np.array([0, 1, 2, 2])
    data = Folded(("ham", "spam"), texts, np.array([1, 1, 0, 0]), folds)
    assert like_others(data).tolist() == [True, True, False, False]


def test_a_ladder_tells_each_gain_on_the_rung_before() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0] * 20)
    answers = {"none": np.zeros(160, int), "half": np.where(np.arange(160) % 2, truth, 0), "all": truth}
    rungs = [Rung(key, key.upper(), {"f1": Value(0.1 * at)}, 1.0, 2.0, 3.0) for at, key in enumerate(answers)]
    made = outcome()
    columns = [Column("f1", "F1")]
    add_ladder(made, "title", rungs, columns, lambda a, b: compared(answers[a.key], answers[b.key], truth))
    assert "none.gain" not in made.values
    assert made.values["all.gain"].value == pytest.approx(1 - 2 / 3)
    low = made.values["all.gain"].low
    assert low is not None
    assert low > 0
    assert [table.title for table in made.tables] == ["title", "What it costs, and what it gains"]
    assert made.timings["all.train_seconds"] == 1.0
