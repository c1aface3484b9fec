"""Claims follow the numbers: each changes its verdict when they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from outcomes import holding, results_of
from scratchlm.lab.experiments import (
    ablations,
    context,
    label_efficiency,
    ladder_lm,
    ladder_spam,
    ladder_translate,
    objective,
)
from scratchlm.lab.experiments.ladder_spam import compared
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, Method, MethodResult, add_comparison, claim_gains
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.folds import Folded, like_others
from scratchlm.lab.shared.proportions import of_draws


def spread_around(mean: float, count: int = 40) -> list[float]:
    return (mean + 0.01 * np.sin(np.arange(count))).tolist()


def test_context_claims_follow_the_losses() -> None:
    class Shape:
        context = 16

    class SmallModel:
        shape = Shape

    def held(losses: Mapping[str, float]) -> set[str]:
        made = Findings()
        nats = {name: np.array(spread_around(loss)) for name, loss in losses.items()}
        context.report_context(made, nats, SmallModel)  # type: ignore[arg-type]
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
    assert held(usual) == {"context-helps", "order-matters", "near-order-is-most", "attention-carries-context"}
    none = held(dict.fromkeys(usual, 5.0))
    assert none == set()
    assert "near-order-is-most" not in held({**usual, "far shuffled": 5.8})
    assert "attention-carries-context" not in held({**usual, "no attention": 5.5})


def test_copying_claims_follow_the_losses() -> None:
    def held(first: float, second: float, best: float, others: float) -> set[str]:
        made = Findings()
        found = {"first": first, "second": second, "without best": best, "without others": others}
        rows: dict[str, Any] = {key: spread_around(value, 12) for key, value in found.items()}
        rows |= {"scores": {"1.1": 0.8}, "chosen": ["1.1"]}
        context.report_copies(made, rows, rows)
        return holding(made)

    assert held(8.0, 4.0, 7.5, 4.1) == {
        "copies", "induction-heads-copy", "copying-hangs-on-them", "other-heads-matter-less"
    }  # fmt: skip
    assert held(8.0, 4.0, 5.0, 6.0) == {"copies", "induction-heads-copy"}
    assert held(8.0, 8.0, 8.0, 8.0) == set()


def test_the_most_important_head_is_tested_on_windows_it_was_not_selected_on() -> None:
    made = Findings()
    lucky = [1.0] * 20 + [0.0] * 20  # important where it is selected, not where it is tested
    context.report_heads(made, {"1.1": lucky, "1.2": [0.01] * 40, "2.1": [0.02] * 40})
    assert not made.claims["heads-are-unequal"].holds
    made = Findings()
    context.report_heads(made, {"1.1": spread_around(1.0), "1.2": [0.01] * 40, "2.1": [0.02] * 40})
    assert made.claims["heads-are-unequal"].holds


def test_ablation_claims_follow_the_numbers() -> None:
    def perturbed(little: float, much: float, cut: float, random: float) -> set[str]:
        made = Findings()
        found = {"noise": {"0.01": little, "1.0": much}, "cut": {"0.1": cut}, "random": {"0.1": random}}
        ablations.report_perturbed(
            made, {key: {"0.0": spread_around(4.0)} | {size: spread_around(loss) for size, loss in of.items()}
                   for key, of in found.items()}
        )  # fmt: skip
        return holding(made)

    usual = {"little-noise-is-forgiven", "much-noise-destroys", "small-weights-matter-little"}
    assert perturbed(4.01, 9.0, 4.01, 4.3) == usual
    assert perturbed(4.2, 4.5, 4.2, 4.3) == set()
    assert perturbed(4.01, 9.0, 4.01, 4.01) == usual - {"small-weights-matter-little"}  # random ones matter as little
    for measured, holds in ((0.101, True), (0.2, False)):
        made = Findings()
        found = {"name": "b", "place": 0, "value": 1.0, "slope": 0.1, "before": 0.2}
        found |= {"probabilities": [0.2] * len(ablations.TURNS), "measured": 0.1}
        ablations.report_turn(made, found, {**found, "measured": measured})
        assert ("gradient-foretells" in holding(made)) == holds
        assert made.values["turn.line-error"].value == pytest.approx(0.1)


def test_claims_about_frozen_parts_follow_the_losses() -> None:
    def held(gain: float = 0.0, inside: bool = True, **losses: float) -> set[str]:
        made, found = Findings(), {}
        for name, loss in {**usual, **{key.replace("_", " "): loss for key, loss in losses.items()}}.items():
            of = {"100": spread_around(loss + gain), "200": spread_around(loss)}
            found[name] = {"blocks": of, "trained": 1, "kind": "Muon", "rate": 0.02, "inside": inside}
        found |= {name: {"blocks": {"0": spread_around(loss)}, "trained": 0} for name, loss in untrained.items()}
        ablations.report_frozen(made, found)
        return holding(made)

    usual = {"everything": 4.0, "embedding": 5.0, "all but the embedding": 6.0, "feed-forward": 6.5, "attention": 6.8,
             "norms": 7.0, "feed-forward, small embedding": 7.5}  # fmt: skip
    untrained = {"nothing": 8.0, "nothing, large embedding": 8.5}
    whole = {"frozen-learn-less", "embedding-matters-most", "norms-are-not-enough", "nothing-learns-nothing",
             "logits-are-limited", "parts-converge", "rates-are-inside"}  # fmt: skip
    assert held() == whole
    assert whole - held(everything=5.0) == {"frozen-learn-less"}
    assert whole - held(embedding=6.0) == {"embedding-matters-most"}
    assert whole - held(norms=8.0) == {"nothing-learns-nothing"}
    assert whole - held(**{"feed-forward": 7.5}) == {"logits-are-limited"}
    untrained["nothing, large embedding"] = 7.9
    assert whole - held() == {"logits-are-limited"}
    untrained["nothing, large embedding"] = 8.5
    assert whole - held(inside=False) == {"rates-are-inside"}
    # Each doubling gains 0.4: three more would close the gaps of less than 1.2.
    assert held(gain=0.4) == {"norms-are-not-enough", "nothing-learns-nothing", "rates-are-inside"}


def test_claims_about_training_follow_the_losses() -> None:
    def held(first: float, last: float) -> set[str]:
        made = Findings()
        looks = [
            {"step": at, "loss": loss, "blocks": spread_around(loss), "text": ""}
            for at, loss in ((0, first), (9, last))
        ]
        objective.report_training(made, {"looks": looks, "vocabulary": 4096})
        return holding(made)

    assert held(8.3, 5.0) == {"begins-by-guessing", "learns"}
    assert held(9.3, 9.3) == set()


def test_objective_claims_follow_bits_per_byte() -> None:
    def held(bits: Mapping[str, float], losses: Mapping[str, float]) -> set[str]:
        made, found = Findings(), {}
        for name in bits:
            look = {"step": 1, "loss": losses[name], "bits_per_byte": bits[name], "blocks": [], "text": ""}
            rest = {"vocabulary": 5, "parameters": 1, "bytes_a_token": 1.0, "text_passes": 1.0, "unknown_share": 0.0}
            found[name] = {"looks": [look, look], **rest}
        objective.report_tokens(made, found)
        return holding(made)

    losses = {"bytes": 1.5, "characters": 1.6, "sub-words": 4.0, "words": 5.0}
    assert held({"bytes": 2.5, "characters": 2.4, "sub-words": 2.0, "words": 2.2}, losses) == {
        "sub-words-win", "loss-a-token-misleads"
    }  # fmt: skip
    assert held({"bytes": 1.9, "characters": 2.4, "sub-words": 2.0, "words": 2.2}, {**losses, "words": 9.0}) == set()


def test_claims_about_a_published_model_follow_the_predictions() -> None:
    truth = np.array([1, 0] * 100)

    def held(**right: int) -> set[str]:
        made = Findings()
        halves = {key: np.where(np.arange(200) < count, truth, 1 - truth) for key, count in right.items()}
        ladder_spam.claim_published(made, halves, truth)
        return holding(made)

    whole = {"rules-beat-asking", "teaching-beats-asking", "published-beats-ours", "published-beats-svm"}
    assert held(asked=50, rules=150, svm=160, pretrained=150, lora=195) == whole
    assert held(asked=195, rules=150, svm=195, pretrained=150, lora=195) == {"published-beats-ours"}
    assert held(asked=195, rules=195, svm=195, pretrained=195, lora=100) == set()


def test_label_claims_follow_the_draws() -> None:
    sizes = [8, 100, 1000]

    def held(svm_at_first: float, pretrained: float, later: float = 0.0) -> set[str]:
        made = Findings()
        of = {"rules": 0.9, "bayes": 0.6, "svm": svm_at_first, "random": 0.5, "pretrained": pretrained}
        found = {
            key: {size: [{"f1": v, "average_precision": v + 0.001 * d} for d in range(5)] for size in sizes}
            for key, v in of.items()
        }
        if later:
            found["pretrained"][100] = [{"f1": later, "average_precision": later + 0.001 * d} for d in range(5)]
        methods = {key: Method(key, key, None) for key in of}
        label_efficiency.report(made, found, methods, sizes)  # type: ignore[arg-type]
        return holding(made)

    whole = {"rules-win-at-first", "pretraining-saves-labels", "pretraining-helps-still", "svm-leads-still"}
    assert held(0.7, 0.6) == whole
    assert held(0.95, 0.5) == {"svm-leads-still"}
    assert held(0.7, 0.6, later=0.4) == whole - {"pretraining-helps-still"}
    assert held(0.7, 0.6, later=0.8) == whole - {"svm-leads-still"}


def test_claims_about_language_models_follow_bits_per_byte() -> None:
    def held(**bits: float) -> set[str]:
        made = Findings()
        by, compare = results_of({**usual, **bits}, "bits_per_byte")
        claim_gains(made, by, compare, ladder_lm.CLAIMS)
        results = {key: replace(result, scores={"blimp": blimp[key]}) for key, result in by.items()}
        ladder_lm.claim_grammar(made, results)
        return holding(made)

    usual = {"unigram": 2.6, "katz": 1.9, "kneser3": 1.8, "kneser5": 1.7, "lstm": 1.6, "transformer": 1.5}
    blimp = {key: Value(0.5, 0.48, 0.52) for key in usual} | {"transformer": Value(0.6, 0.58, 0.62)}
    whole = held()
    assert len(whole) == 6
    assert whole - held(kneser3=1.9) == {"kneser-ney-beats-katz"}
    assert whole - held(unigram=1.7) == {"context-helps"}
    assert whole - held(lstm=1.7) == {"recurrent-beats-counting"}
    assert whole - held(lstm=1.5) == {"transformer-beats-recurrent"}
    assert whole - held(kneser5=1.5, kneser3=1.5) == {"recurrent-beats-counting", "transformer-beats-counting"}
    blimp["transformer"] = Value(0.53, 0.51, 0.55)
    assert whole - held() == {"grammar"}


def test_claims_about_translations_follow_the_scores() -> None:
    def held(**scores: float) -> set[str]:
        made = Findings()
        claim_gains(made, *results_of({**usual, **scores}, "chrf"), ladder_translate.CLAIMS)
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
    assert held() == whole
    assert whole - held(copy=2.0) == {"rules-beat-copying"}
    assert whole - held(recurrent=3.5) == {"attention-helps"}
    assert whole - held(ibm1=4.0) == {"transformer-beats-words"}
    assert whole - held(attention=4.0) == {"transformer-beats-recurrent"}
    assert held(prompted=3.0) - whole == {"taught-beats-prompted"}
    assert held(prompted=4.0) == whole


def test_claims_about_spam_follow_the_predictions() -> None:
    truth = np.tile([1, 0, 0, 0], 60)
    alike = Folded(("ham", "spam"), ["one text for all"] * 240, truth, np.arange(240) % 5)
    unlike = replace(alike, texts=[" ".join(chr(12_353 + number) * n for n in range(1, 8)) for number in range(240)])
    keys = ("majority", "rules", "bayes", "svm", "random", "pretrained")

    def held(data: Folded, seconds: float = 1.0, **right: float) -> set[str]:
        made = Findings()
        probabilities = {
            key: np.where(np.arange(240) < 240 * right.get(key, 0.9), truth, 1 - truth) * 0.9 for key in keys
        }
        probabilities["majority"] = np.zeros(240)
        results = [
            MethodResult(key, key, {"f1": Value(0.5)}, 1.0, seconds if key == "svm" else 2.0, 1.0) for key in keys
        ]
        ladder_spam.report(made, results, probabilities, np.arange(240), data)
        assert len(made.tables) == (2 if data is alike else 3)
        return holding(made)

    whole = {"learning-beats-rules", "pretraining-helps", "svm-holds-its-own", "svm-is-cheaper", "rules-beat-majority"}
    assert held(unlike, rules=0.85, bayes=0.99, random=0.8, pretrained=0.95, svm=0.99) == whole
    assert held(alike, rules=0.6, bayes=0.6, svm=0.8, pretrained=0.9, random=0.9, seconds=3.0) == set()


def test_the_interval_over_draws_is_students_t() -> None:
    value = of_draws([1.0, 2.0, 3.0])
    assert value.value == 2.0
    assert value.high == pytest.approx(2 + 4.303 * 1 / np.sqrt(3))
    assert of_draws([1.0]) == Value(1.0)


def test_near_duplicates_count_across_folds_and_not_within_one() -> None:
    texts = [
        "WIN 500 pounds now, call 0906",
        "win 900 pounds now call 1234!",
        "see you at lunch then",
        "see you at lunch then ok",
    ]
    folds = np.array([0, 1, 2, 2])
    data = Folded(("ham", "spam"), texts, np.array([1, 1, 0, 0]), folds)
    assert like_others(data).tolist() == [True, True, False, False]


def test_a_comparison_reports_each_gain_over_the_method_above() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0] * 20)
    answers = {"none": np.zeros(160, int), "half": np.where(np.arange(160) % 2, truth, 0), "all": truth}
    results = [MethodResult(key, key.upper(), {"f1": Value(0.1 * at)}, 1.0, 2.0, 3.0) for at, key in enumerate(answers)]
    made = Findings()
    columns = [Column("f1", "F1")]
    add_comparison(made, "title", results, columns, lambda a, b: compared(answers[a.key], answers[b.key], truth))
    assert "none.gain" not in made.values
    assert made.values["all.gain"].value == pytest.approx(1 - 2 / 3)
    low = made.values["all.gain"].low
    assert low is not None
    assert low > 0
    assert [table.title for table in made.tables] == [
        "title",
        "Cost of each method, and its gain over the method above",
    ]
    assert made.timings["all.train_seconds"] == 1.0
