"""Claims follow the numbers: each changes its verdict when they change."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.outcomes import concluded, holding, results_of
from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.base.statistics import comparison_of
from scratchlm.classic.reading import by_rules
from scratchlm.lab.experiments.ablations import measure as ablations
from scratchlm.lab.experiments.compare_reading import measure as compare_reading
from scratchlm.lab.experiments.context import measure as context
from scratchlm.lab.experiments.features import measure as features
from scratchlm.lab.experiments.label_efficiency import measure as label_efficiency
from scratchlm.lab.experiments.ladder_lm import measure as ladder_lm
from scratchlm.lab.experiments.ladder_respond import measure as ladder_respond
from scratchlm.lab.experiments.ladder_spam import measure as ladder_spam
from scratchlm.lab.experiments.ladder_translate import report as ladder_translate_report
from scratchlm.lab.experiments.limits import measure as limits
from scratchlm.lab.experiments.objective import measure as objective
from scratchlm.lab.experiments.tasks import measure as tasks
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, MethodResult, add_comparison, claim_gains
from scratchlm.lab.harness.outcome import Value, read_outcome, replayed, write_outcome
from scratchlm.lab.shared.binary_scores import compare_f1
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.feature_groups import VARIANTS
from scratchlm.lab.shared.folds import Folded, like_others
from scratchlm.lab.shared.heldout import HeldOutBooks
from scratchlm.lab.shared.probe_labels import CONTEXTUAL, NAMES, SIMPLE
from scratchlm.lab.shared.proportions import grammatical, names, proportion
from scratchlm.lab.shared.story_labels import STORY
from scratchlm.lab.shared.task_set import TaughtTask
from scratchlm.lab.shared.teaching import BatchAndRate, best_setting, halves
from scratchlm.storyworld.quiz import statement
from toys import byte_tokenizer


def spread_around(mean: float, count: int = 40) -> list[float]:
    return (mean + 0.01 * np.sin(np.arange(count))).tolist()


BOOKS = [at % 8 for at in range(40)]


def test_context_claims_follow_the_losses() -> None:
    def held(losses: Mapping[str, float], blind: float = 6.5) -> set[str]:
        made = Findings()
        nats = {name: np.array(spread_around(loss)) for name, loss in losses.items()}
        nats["no attention, shuffled"] = np.array(spread_around(blind))
        context.report_context(made, nats, 16, BOOKS)
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
    assert held(usual) == {"context-helps", "attention-carries-context"}
    assert held(dict.fromkeys(usual, 5.0), 5.0) == {"attention-carries-context"}
    assert held(dict.fromkeys(usual, 5.0), 5.1) == set()
    longer = {**usual, "32": 4.4}
    made = Findings()
    nats = {name: np.array(spread_around(loss)) for name, loss in longer.items()}
    context.report_context(made, {**nats, "no attention, shuffled": nats["no attention"]}, 32, BOOKS)
    assert "far-context-helps" in holding(made)


def test_claims_about_order_follow_the_losses() -> None:
    def held(
        confused: float = 9.0, reader: Mapping[str, float] | None = None, one: float = 5.2, bag: float = 6.0,
        half: float = 5.7, ordered: float = 4.4,
    ) -> set[str]:  # fmt: skip
        made = Findings(values={"loss.1": Value(one)})
        losses = {"1": 4.5, "2": 4.8, "4": 5.3, "8": 5.4, "16": 5.6, **(reader or {})}
        orders = {
            "decoder": {**losses, "1": ordered, "16": confused},
            "half": {**losses, "16": half},
            "reader": losses,
        }
        nats = {
            name: {width: np.array(spread_around(each)) for width, each in of.items()} for name, of in orders.items()
        }
        context.report_order(made, nats, np.array(spread_around(bag)), {"1": np.array(spread_around(one))}, BOOKS)
        assert made.values["order.half.worth"].value == pytest.approx(half - losses["1"])
        assert made.values["order.confusion"].value == pytest.approx(confused - losses["16"])
        assert made.values["order.at-most"].value == pytest.approx(losses["16"] - ordered)
        return holding(made)

    whole = {"order-matters", "confusion-is-most", "near-order-is-most", "one-token-beats-a-bag"}
    assert held() == whole
    assert whole - held(confused=6.5) == {"confusion-is-most"}
    assert whole - held(reader={"4": 5.0}) == {"near-order-is-most"}
    assert whole - held(one=5.7) == {"one-token-beats-a-bag"}
    assert whole - held(bag=5.1) == {"one-token-beats-a-bag"}
    assert whole - held(half=6.1) == {"one-token-beats-a-bag"}  # more training could still close the gap
    assert whole - held(ordered=4.6) == {"confusion-is-most"}  # the network of windows is the better one anyway
    assert "order-matters" not in held(reader=dict.fromkeys(("2", "4", "8", "16"), 4.5))


def test_copying_claims_follow_the_losses() -> None:
    def model(first: float, second: float, other: float, without: Mapping[str, float]) -> dict[str, Any]:
        found = {"first": first, "second": second, "other.first": first, "other.second": other}
        for way in context.WAYS[1:]:
            found |= {f"{place}{way}": without.get(way, second) for place in ("", "other.")}
            found |= {f"{place}{way}.first": first + without.get("raised", 0.0) for place in ("", "other.")}
        rows: dict[str, Any] = {key: spread_around(value, 12) for key, value in found.items()}
        named = {"induction": ["2.1"], "previous": ["1.1"], "neutral": ["2.2"]}
        return {
            **rows,
            "fed": 0.9,
            "unfed": without.get("unfed", 0.1),
            "by-place": without.get("by-place", 0.9),
            "scores": [["1.1", 0.0, 0.0, 0.9], ["2.1", 0.9, 0.8, 0.1], ["2.2", 0.0, 0.0, 0.2]],
            "roles": named,
        }

    def held(many: float = 0.3, one: float = 4.1, seeds: int = 2, **without: float) -> set[str]:
        made = Findings()
        ways = {"without-induction": 4.2, "without-previous": 4.1, "without-neutral": 0.4}
        ways |= {f"without-{role}": loss for role, loss in without.items()}
        ways |= {key: without[key] for key in ("raised", "unfed") if key in without}
        place = {"by-place": without.get("place", 0.9)}
        found = {"many": model(4.2, many, many, ways), "one": model(4.2, 0.1, one, place)}
        books = {"first": spread_around(12.0), "second": spread_around(12.1), "score": 0.1}
        context.report_copies(made, [found] * seeds, books)
        assert made.values["copy.many.heads.induction"] == Value(1)
        assert made.values["copy.one.other.gain"].value == pytest.approx(4.2 - one)
        return holding(made)

    whole = {"copies", "induction-heads-copy", "previous-heads-matter-too", "previous-heads-feed-them",
             "one-period-is-copied-by-position"}  # fmt: skip
    assert held() == whole
    assert whole - held(unfed=0.5) == {"previous-heads-feed-them"}
    assert whole - held(place=0.1) == {"one-period-is-copied-by-position"}
    worse = held(raised=5.0)  # both occurrences get worse alike, so what repetition gains is kept
    assert whole - worse == {"induction-heads-copy", "previous-heads-matter-too"}
    assert whole - held(induction=1.0) == {"induction-heads-copy"}
    assert whole - held(previous=1.0) == {"previous-heads-matter-too"}
    assert whole - held(neutral=3.0) == {"induction-heads-copy", "previous-heads-matter-too"}
    assert whole - held(one=0.5) == {"one-period-is-copied-by-position"}
    assert held(many=4.2) == {"previous-heads-feed-them"}  # its scores do not change here


def test_the_most_important_head_is_tested_on_windows_it_was_not_selected_on() -> None:
    lucky = [1.0] * 20 + [0.0] * 20  # important where it is selected, not where it is tested
    for most, holds in ((lucky, False), (spread_around(1.0), True)):
        made = Findings()
        found = {"1.1": most, "1.2": [0.01] * 40, "2.1": [0.02] * 40}
        context.report_heads(made, {name: np.array(gaps) for name, gaps in found.items()}, BOOKS)
        assert ("heads-are-unequal" in holding(made)) == holds


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


HELD_OUT = HeldOutBooks(["a" * 4094, "b" * 4094, "c" * 4094])
"""Three books of eight blocks each, with the empty line after them."""


def test_claims_about_training_follow_the_losses() -> None:
    def held(first: float, entropy: float, frequencies: float, last: float) -> set[str]:
        made = Findings()
        looks = [{"step": 0, "loss": first, "entropy": entropy, "text": ""}, {"step": 9, "loss": last, "text": ""}]
        found = {"looks": looks, "vocabulary": 4096, "bytes_a_token": 4.0}
        for key, loss in (("frequency_blocks", frequencies), ("blocks", last)):
            found[key] = [128 * each for each in spread_around(loss, 24)]
        objective.report_training(made, found, HELD_OUT)
        assert made.values["frequencies"].value == pytest.approx(frequencies, abs=0.01)
        return holding(made)

    whole = {"begins-by-guessing", "learns"}
    assert held(8.3, 8.2, 6.0, 5.0) == whole
    assert whole - held(9.3, 8.2, 6.0, 5.0) == {"begins-by-guessing"}
    assert whole - held(8.3, 4.0, 6.0, 5.0) == {"begins-by-guessing"}
    assert whole - held(8.3, 8.2, 5.0, 5.0) == {"learns"}


def test_objective_claims_follow_bits_per_byte() -> None:
    def held(change: Mapping[str, float], losses: Mapping[str, float], short: float = 2.0) -> set[str]:
        made, found = Findings(), {}
        bits = {**usual, **change}
        for name in usual:
            rest = {"loss": losses.get(name, 1.0), "steps": 1, "epochs": 1.0, "bytes_a_token": 1.0, "parameters": 1}
            found[name] = {
                **rest,
                "text": "",
                "vocabulary": 4000 if "words" in name else 100,
                "blocks": to_nats(bits[name]),
            }
        found["sub-words"]["short_blocks"] = to_nats(short)
        for name in ("bytes", "bytes.text"):
            spelled = {"words.spelled_blocks": to_nats(spelling), "words.unknown": 240, "saved": [0.9, 1.1]}
            unknown = {"words.unknown_bytes": 1000, "characters.unknown_bytes": 0}
            found[name] |= {**spelled, **unknown, "characters.spelled_blocks": to_nats(0.0)}
        objective.report_tokens(made, found, HELD_OUT)
        objective.claim_tokens(made)
        outcome = concluded(made)
        assert outcome.values["words.bits_per_byte"].value == pytest.approx(bits["words"] + spelling, abs=0.01)
        assert outcome.values["words.saved"].value == pytest.approx(240 / math.log(2) / HELD_OUT.size)
        return {key for key, claim in outcome.claims.items() if claim.holds}

    def to_nats(bits: float) -> list[float]:
        return [0.0] * 24 if bits == 0 else [512 * math.log(2) * each for each in spread_around(bits, 24)]

    spelling = 0.5
    usual = {"bytes": 2.5, "characters": 2.4, "sub-words": 2.0, "words": 1.7}
    usual |= {"bytes.text": 2.3, "characters.text": 2.3, "words.text": 1.7}
    usual |= {"bytes.compute": 2.4, "characters.compute": 2.4}
    losses = {"bytes": 1.5, "characters": 1.6, "sub-words": 4.0, "words": 5.0}
    whole = held({}, losses)
    assert len(whole) == 6
    assert whole - held({"bytes": 1.9}, losses) == {"sub-words-win"}
    assert whole - held({"characters.text": 1.9}, losses) == {"sub-words-win-at-equal-text"}
    assert whole - held({}, losses, short=2.4) == {"sub-words-win-at-equal-text"}
    assert whole - held({"bytes.compute": 1.9}, losses) == {"sub-words-win-at-equal-compute"}
    assert whole - held({"words": 1.4}, losses) == {"sub-words-beat-words"}
    assert whole - held({"words.text": 1.52}, losses) == {"sub-words-beat-words-at-equal-text"}  # less what is saved
    assert whole - held({}, {**losses, "characters": 4.5}) == {"loss-a-token-misleads"}
    assert "loss-a-token-misleads" not in held({"characters": 1.9}, losses)


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


def label_findings(seeds: int = 1, **averages: float) -> list[Findings]:
    """Findings in which each method ranks `1 - averages[method]` of the spam at 100 labels last; KEY_8 is for 8."""
    truth = np.tile([1, 0, 0, 0], 100)
    names = {key: key for key in ("rules", "designed", "logistic", "svm", "random", "pretrained")}
    found = []
    for seed in range(seeds):

        def given(quality: float, size: int, seed: int = seed) -> label_efficiency.Given:
            draw = np.random.default_rng(seed + size)
            noise = draw.random(400)
            return label_efficiency.Given(np.where(draw.random(400) < quality, 0.6 * truth + 0.35 * noise, noise), 0.6)

        made = Findings()
        each = {
            size: {key: given(averages.get(f"{key}_{size}", averages.get(key, 0.5)), size) for key in names}
            for size in (8, 40, 100)
        }
        label_efficiency.report(made, each, names, truth)
        found.append(made)
    return found


@pytest.mark.slow
def test_label_claims_follow_the_rankings() -> None:
    usual = {
        "rules": 0.9, "designed": 0.8, "logistic": 0.5, "svm_8": 0.3, "svm_40": 0.5, "svm_100": 0.97, "random_8": 0.1,
        "random_100": 0.3, "pretrained_8": 0.6, "pretrained_40": 0.6, "pretrained_100": 0.85,
    }  # fmt: skip
    whole = {
        "rules-win-at-first", "designed-features-save-labels", "pretraining-saves-labels", "pretraining-helps-still",
        "svm-leads-still", "more-labels-help",
    }  # fmt: skip
    assert holding(*label_findings(**usual)) == whole
    assert holding(*label_findings(3, **usual)) == whole
    assert holding(*label_findings(**{**usual, "svm_8": 0.97})) == whole - {"rules-win-at-first"}
    assert holding(*label_findings(**{**usual, "designed": 0.1})) == whole - {"designed-features-save-labels"}
    assert holding(*label_findings(**{**usual, "random_8": 0.9})) == whole - {"pretraining-saves-labels"}
    assert holding(*label_findings(**{**usual, "random_100": 0.95})) == whole - {"pretraining-helps-still"}
    assert holding(*label_findings(**{**usual, "svm_100": 0.5})) == whole - {"svm-leads-still"}
    assert holding(*label_findings(**{**usual, "pretrained_40": 0.95})) == whole - {"more-labels-help"}


def test_the_claim_about_batches_follows_the_rankings() -> None:
    truth = np.tile([1, 0, 0, 0], 100)
    noise = np.random.default_rng(0).random(400)

    def held(ordered: float, shuffled: float, svm: float) -> set[str]:
        made = Findings()
        qualities = {"sorted": ordered, "random": shuffled, "sorted_longer": 0.9, "random_longer": 0.3}
        ranked = {name: quality * truth + (1 - quality) * noise for name, quality in {**qualities, "svm": svm}.items()}
        found = {name: {"test": ranked[name], "train_f1": 1.0} for name in qualities}
        label_efficiency.report_batches(made, found, label_efficiency.Given(ranked["svm"], 0.5), truth, 512)
        return holding(made)

    assert held(0.3, 0.6, 0.2) == {"random-batches-train-better"}
    assert held(0.6, 0.3, 0.3) == held(0.5, 0.5, 0.3) == set()
    assert held(0.5, 0.5, 0.9) == {"svm-leads-longer"}


def test_a_threshold_of_labels_is_tuned_on_halves_that_hold_both_classes() -> None:
    truth = np.array([0, 1, 0, 0, 1, 0])
    found = label_efficiency.halves(truth)
    assert [sorted(truth[found == side]) for side in (0, 1)] == [[0, 0, 1], [0, 0, 1]]


def test_claims_about_language_models_follow_bits_per_byte() -> None:
    def held(seconds: float = 10.0, **bits: float) -> set[str]:
        made = Findings()
        by, compare = results_of({**usual, **bits}, "bits_per_byte")
        claim_gains(made, by, compare, ladder_lm.CLAIMS)
        made.values |= {f"{key}.blimp": value for key, value in blimp.items()}
        ladder_lm.claim_rest(made, seconds, 10.5)
        return holding(made)

    usual = {"unigram": 2.6, "katz": 1.9, "kneser3": 1.8, "kneser": 1.7, "lstm": 1.6}
    usual |= {"lstm_in_time": 1.6, "lstm_longer": 1.45, "transformer": 1.5, "longer": 1.4}
    blimp = {key: Value(0.5, 0.48, 0.52) for key in usual} | {"transformer": Value(0.6, 0.58, 0.62)}
    whole = held()
    assert len(whole) == 11
    assert whole - held(kneser3=1.9) == {"kneser-ney-beats-katz"}
    assert whole - held(unigram=1.7) == {"context-helps"}
    assert whole - held(lstm=1.7) == {"recurrent-beats-counting"}
    assert whole - held(lstm=1.5) == {"transformer-beats-recurrent"}
    assert whole - held(lstm_in_time=1.5) == {"transformer-beats-recurrent-in-time"}
    assert whole - held(kneser=1.5) == {"recurrent-beats-counting", "transformer-beats-counting"}
    assert whole - held(longer=1.7) == {"rereading-beats-counting", "transformer-beats-recurrent-rereading"}
    assert whole - held(longer=1.5) == {"transformer-beats-recurrent-rereading"}
    assert whole - held(lstm_longer=1.7) == {"recurrent-rereading-beats-counting"}
    assert whole - held(seconds=14.0) == {"equal-time"}
    blimp["transformer"] = Value(0.53, 0.51, 0.55)
    assert whole - held() == {"grammar"}
    blimp |= {"transformer": Value(0.6, 0.58, 0.62), "unigram": Value(0.6, 0.58, 0.62)}
    assert whole - held() == {"grammar"}


def test_claims_about_more_text_follow_the_losses() -> None:
    text = BookText(byte_tokenizer(), 0, np.arange(9), np.arange(9), 100)

    def held(repeated: float = 2.7, **full: float) -> set[str]:
        made = Findings()
        less = {"tokens": 1, **{key: spread_around(3.0) for key in ("kneser", "lstm", "transformer")}}
        less["repeated"] = spread_around(repeated)
        usual = {"unigram": 9.0, "kneser": 2.5, "lstm": 2.0, "transformer": 2.2, **full}
        found = {key: {"block_nats": spread_around(loss), "block_book": BOOKS} for key, loss in usual.items()}
        ladder_lm.report_less(made, found, less, text)
        return holding(made)

    assert held() == {"networks-gain-more-from-text", "new-text-beats-rereading"}
    assert held(lstm=2.5) == held(kneser=2.1) == {"new-text-beats-rereading"}
    assert held(repeated=2.2) == {"networks-gain-more-from-text"}


def test_claims_about_translations_follow_the_scores() -> None:
    def held(bleu: float = 1.0, **scores: float) -> set[str]:
        made = Findings(values={"recurrent.over.ibm1.bleu": Value(bleu, bleu - 0.1, bleu + 0.1)} | in_bleu)
        changed = {key.replace("_", "."): score for key, score in scores.items()}
        ladder_translate_report.claim(made, *results_of({**usual, **changed}, "chrf"))
        return holding(made)

    in_bleu = {f"phrases.over.{key}.beam.bleu": Value(-1.0, -1.5, -0.5) for key in ladder_translate_report.RIVALS}
    usual = {
        "copy": 1.0,
        "rules": 2.0,
        "memory": 2.2,
        "ibm1": 3.0,
        "phrases": 4.5,
        "phrases.beam1": 4.4,
        "phrases.untuned": 4.2,
        "recurrent": 2.5,
        "attention": 3.5,
        "transformer": 4.0,
        "transformer.beam": 4.1,
        "longer": 4.8,
        "longer.beam": 5.0,
        "decoder": 4.0,
    }
    whole = {
        "rules-beat-copying",
        "attention-helps",
        "transformer-beats-words",
        "transformer-beats-recurrent",
    }
    whole |= {"phrases-beat-words", "words-beat-no-attention", "no-attention-beats-words-in-bleu"}
    whole |= {"longer-beats-phrases", "longer-beats-words"}
    whole |= {"transformer-beats-phrases-in-bleu", "longer-beats-phrases-in-bleu"}
    assert held() == whole
    assert whole - held(bleu=0.05) == {"no-attention-beats-words-in-bleu"}
    assert whole - held(copy=2.0) == {"rules-beat-copying"}
    assert whole - held(recurrent=3.5) == {"attention-helps", "words-beat-no-attention"}
    assert whole - held(ibm1=4.0) == {"transformer-beats-words"}
    assert whole - held(memory=4.0) == {"transformer-beats-words"}
    assert whole - held(memory=4.8) == {"transformer-beats-words", "longer-beats-words"}
    assert whole - held(phrases_untuned=3.0) == {"phrases-beat-words"}
    assert whole - held(attention=4.0) == {"transformer-beats-recurrent"}
    assert held(prompted=3.0) - whole == {"taught-beats-prompted"}
    assert held(prompted=4.0) == whole
    in_bleu["phrases.over.longer.beam.bleu"] = Value(-1.0, -2.05, 0.05)
    assert whole - held() == {"longer-beats-phrases-in-bleu"}


def test_a_transformer_beats_phrases_only_with_a_beam_and_without() -> None:
    def held(**scores: float) -> set[str]:
        made = Findings(values={"recurrent.over.ibm1.bleu": Value(0.0)})
        bleu = Value(0.0, -1.0, 1.0)
        made.values |= {f"phrases.over.{key}.beam.bleu": bleu for key in ladder_translate_report.RIVALS}
        rivals = dict.fromkeys(("transformer", "transformer.beam", "longer", "longer.beam"), 4.0)
        others = dict.fromkeys(("copy", "rules", "memory", "ibm1", "recurrent", "attention"), 1.0)
        by, compare = results_of({**others, **rivals, "decoder": 1.0, "phrases.untuned": 4.5, **scores}, "chrf")
        ladder_translate_report.claim(made, by, compare)
        return {key for key in holding(made) if "s-phr" in key}

    assert held(**{"phrases": 5.0, "phrases.beam1": 5.0}) == set()
    assert held(**{"phrases": 3.0, "phrases.beam1": 3.0}) == {"transformer-beats-phrases", "longer-beats-phrases"}
    assert held(**{"phrases": 5.0, "phrases.beam1": 4.0}) == set()
    assert held(**{"phrases": 3.0, "phrases.beam1": 5.0}) == set()


SPAM_KEYS = ("majority", "rules", "designed", "bayes", "logistic", "both", "svm", "random", "pretrained")


def spam_findings(
    alike: bool = False, seconds: float = 1.0, published: float | None = None, **right: float
) -> Findings:
    """Findings in which each method classifies so many of 600 messages correctly, in another order for each.

    A published model, fine-tuned, is always right on the first two folds, and so often on the others.
    """
    truth = np.tile([1, 0, 0, 0], 150)
    keys = (*SPAM_KEYS, *VARIANTS)
    probabilities = {}
    for at, key in enumerate(keys):
        order = np.random.default_rng(at).permutation(600)
        probabilities[key] = np.where(order < 600 * right.get(key, 0.8), truth, 1 - truth) * 0.9
    probabilities["majority"] = np.zeros(600)
    if published is not None:
        lost = (np.arange(600) % 5 > 1) & (np.random.default_rng(99).random(600) >= published)
        probabilities |= {"lora": np.where(lost, 1 - truth, truth) * 0.9, "asked": np.zeros(600)}
    place = ladder_spam.Tested(truth, np.arange(600) % 5, np.full(600, alike), ("ham", "spam"), probabilities)
    results = [MethodResult(key, key, {"f1": Value(0.5)}, 1.0, seconds if key == "svm" else 2.0, 1.0)
               for key in SPAM_KEYS]  # fmt: skip
    made = Findings()
    ladder_spam.report(made, results, place)
    ladder_spam.report_variants(made, place, dict.fromkeys(VARIANTS, 3))
    assert len(concluded(made).tables) == (4 if alike else 5)
    return made


def test_claims_about_a_published_model_leave_out_the_folds_that_chose_its_settings() -> None:
    good, poor = (holding(spam_findings(published=right, svm=0.9)) for right in (1.0, 0.8))
    assert "published-beats-svm" in good
    assert "published-beats-svm" not in poor


def test_claims_about_spam_follow_the_predictions() -> None:
    groups = dict.fromkeys([key for key in VARIANTS if key.startswith("without")], 0.92)
    usual = {
        "rules": 0.8, "designed": 0.95, "bayes": 0.95, "logistic": 0.88, "both": 0.995, "svm": 0.99, "random": 0.8,
        "pretrained": 0.93, **groups, "keywords": 0.85, "spambase": 0.6, "borrowed": 0.8,
    }  # fmt: skip
    whole = {
        "rules-beat-majority", "designed-beat-rules", "designed-beat-keywords", "features-need-knowledge",
        "designed-beat-counted", "both-beat-each", "learning-beats-rules", "pretraining-helps", "svm-holds-its-own",
        "svm-holds-its-own-tuned", "svm-is-cheaper", "no-group-decides",
    }  # fmt: skip
    assert holding(spam_findings(**usual)) == whole
    assert holding(spam_findings(True, **usual)) == whole
    for changed, lost in (
        ({"rules": 0.5}, {"rules-beat-majority"}),
        ({"keywords": 0.96}, {"designed-beat-keywords"}),
        ({"spambase": 0.96}, {"features-need-knowledge"}),
        ({"logistic": 0.97}, {"designed-beat-counted"}),
        ({"borrowed": 0.999}, {"both-beat-each"}),
        ({"bayes": 0.7}, {"learning-beats-rules"}),
        ({"random": 0.95}, {"pretraining-helps"}),
        ({"svm": 0.9}, {"svm-holds-its-own", "svm-holds-its-own-tuned"}),
        ({"seconds": 3.0}, {"svm-is-cheaper"}),
        ({"without_digits": 0.7}, {"no-group-decides"}),
        ({"designed": 0.82, "logistic": 0.7, "keywords": 0.7}, {"designed-beat-rules"}),
    ):
        assert whole - holding(spam_findings(**{**usual, **changed})) == lost, changed


def test_a_claim_at_both_thresholds_needs_both() -> None:
    made = spam_findings(designed=0.95, rules=0.7)
    assert concluded(made).claims["designed-beat-rules"].holds
    made.values["designed.over_rules_at_threshold"] = Value(0.01, -0.02, 0.04)
    assert concluded(made).claims["designed-beat-rules"].holds is None
    made.values["svm.over_pretrained_at_threshold"] = Value(-0.2, -0.3, -0.1)
    assert concluded(made).claims["svm-holds-its-own-tuned"].holds is False


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
    add_comparison(made, "title", results, columns, lambda a, b: compare_f1(truth, answers[a.key], answers[b.key]))
    assert "none.gain" not in made.values
    assert made.values["all.gain"].value == pytest.approx(1 - 2 / 3)
    low = made.values["all.gain"].low
    assert low is not None
    assert low > 0
    assert [table.title for table in concluded(made).tables] == [
        "title",
        "Cost of each method, and its difference from the method above",
    ]
    assert made.timings["all.train_seconds"] == 1.0


def claims_of(keys: Collection[str], *endings: str) -> set[str]:
    return {f"{key}-{ending}" for key in keys for ending in endings}


def test_claims_about_layers_follow_the_accuracy_of_probes() -> None:
    def right(fraction: float) -> list[float]:
        return [float(at % 100 < round(100 * fraction)) for at in range(800)]

    def held(**changed: Mapping[str, Any]) -> set[str]:
        found = {}
        for key in (*NAMES, *STORY):
            layers = [0.94, 0.96] if key in SIMPLE else [0.55, 0.6, 0.85]
            of: dict[str, Any] = {
                "learned": layers, "untrained": [0.5] * len(layers), "last": 0.6, "seen": 0.97, "control": 0.7,
                "handmade": 0.7 if key in STORY else 0.99, "chance": 0.5,
            }  # fmt: skip
            of |= changed.get("every", {}) | changed.get("story" if key in STORY else "book", {})
            of |= changed.get("simple" if key in SIMPLE else "contextual", {})
            depth = len(of["learned"])
            found[key] = {
                "group": [f"{at // 100}" for at in range(800)],
                "type": [f"{at % 100}" for at in range(800)],
                "rivals": {reader: right(of.get(reader, 0.5)) for reader in ("handmade", "token", "frequency", "last")},
                "vectors": right(of.get("vectors", 0.6)),
                "layers": {reader: [right(each) for each in of[reader]] for reader in ("learned", "untrained")},
                "best": {"learned": depth - 1, "untrained": 0},
                "seen": [right(of["seen"])] * depth,
                "control": [right(of["control"])] * depth,
                "chance": right(of["chance"]) if of["chance"] != 0.5 else [float(at // 100 % 2) for at in range(800)],
            }
        made = Findings()
        features.report(made, found)
        return holding(made)

    usual = claims_of(SIMPLE, "in-vectors", "first") | claims_of(CONTEXTUAL, "needs-layers", "later")
    usual |= claims_of((*CONTEXTUAL, *STORY), "learned", "beats-last") | claims_of(STORY, "beats-rule")
    usual |= claims_of((*SIMPLE, "word-noun", "woman"), "selective") | {"control-at-chance"}
    assert held() == usual
    early = {"learned": [0.8, 0.8, 0.8]}
    assert held(contextual=early) == usual - claims_of(CONTEXTUAL, "needs-layers", "later")
    strong = {"untrained": [0.95, 0.95, 0.95], "last": 0.95}
    assert held(contextual=strong) == usual - claims_of((*CONTEXTUAL, *STORY), "learned", "beats-last")
    assert held(simple={"untrained": [0.95, 0.95]}) == usual - claims_of(SIMPLE, "in-vectors")
    assert held(simple={"frequency": 0.95}) == usual - claims_of(SIMPLE, "in-vectors")
    assert held(contextual={"vectors": 0.95}) == usual - claims_of((*CONTEXTUAL, *STORY), "beats-last")
    assert held(story={"handmade": 0.95}) == usual - claims_of(STORY, "beats-rule")
    assert held(every={"control": 0.97}) == usual - claims_of((*SIMPLE, "word-noun", "woman"), "selective")
    assert held(every={"chance": 0.8}) == usual - {"control-at-chance"}


def test_claims_about_tasks_follow_the_answers() -> None:
    expected = [f"a{number}" for number in range(40)]

    def task() -> TaughtTask:
        same = lambda said, wanted: float(said == wanted)  # noqa: E731
        return TaughtTask(
            "t", "exact", [], [("q", each) for each in expected], same, "rival", list, lambda question: ""
        )

    def held(
        one: float, alone: float, narrow: float, narrow_other: float, longer: float = 0.0, large: float | None = None
    ) -> set[str]:
        def given(fraction: float) -> list[str]:
            return [each if at < fraction * 40 else "no" for at, each in enumerate(expected)]

        made = Findings()
        ways = {"one": one, "alone": alone, "longer": longer, "trivial": 0.0, "large": one if large is None else large}
        answers = {way: {key: given(fraction) for key in ("x", "y")} for way, fraction in ways.items()}
        answers["narrow"] = {"x": given(narrow), "y": given(narrow_other)}
        tasks.report(made, {"x": task(), "y": task()}, answers)
        outcome = concluded(made)
        best = max(one, one if large is None else large)
        assert outcome.values["rival_wins"].value == sum(best < rival for rival in (narrow, narrow_other))
        return {key for key, claim in outcome.claims.items() if claim.holds}

    learned = {"x-beats-trivial", "y-beats-trivial"}
    assert held(0.6, 0.6, 0.9, 0.2, 0.6) == learned | {"y-beats-narrow"}
    assert held(0.0, 0.9, 0.0, 0.0, 0.9) == {"x-sharing-costs", "y-sharing-costs"}
    larger = {"x-larger-batches-help", "y-larger-batches-help"}
    assert held(0.0, 0.9, 0.0, 0.0, 0.9, large=0.9) == larger  # a batch that suits one side shows no cost
    assert held(0.0, 0.0, 0.0, 0.0) == set()  # tasks that neither model learns show no cost
    wins = {"x-beats-narrow", "y-beats-narrow", "x-sharing-costs", "y-sharing-costs"}
    assert held(0.6, 0.6, 0.2, 0.2, 0.9) == learned | wins


COUNT = itertools.count()


def case(**named: Any) -> dict[str, Any]:
    plain = {"question": "q", "value": "v", "expected": "e", "given": "g"}
    return {
        **plain,
        "subject": f"s{next(COUNT)}",
        "right": 0.0,
        "fluent": 1.0,
        "doubt": 0.0,
        "echo": 0.0,
        "shuffled": 0.0,
        "sure": 0.9,
        **named,
    }


def test_claims_about_limits_follow_the_answers() -> None:
    asked = [each for each in storyworld.questions() if each.split == "held-in"][:40]

    def read(right: list[float]) -> list[dict[str, Any]]:
        return [case(question=q.question, value=q.value, right=each) for q, each in zip(asked, right, strict=True)]

    def held(**changed: list[dict[str, Any]]) -> set[str]:
        found = {
            "taught": [case(right=1.0) for _ in range(40)],
            "reworded": [case(right=float(at % 2), given="other") for at in range(40)],
            "negated": [case(right=1.0) for _ in range(40)],
            "often": [case(right=1.0) for _ in range(40)],
            "read": read([float(at % 4 > 0) for at in range(40)]),
            "untold": [case() for _ in range(40)],
            "premise": [case() for _ in range(40)],
            **changed,
        }
        made = Findings()
        limits.report(made, found)
        return holding(made)

    usual = {"knows-what-it-read", "fluent-when-wrong", "sure-when-wrong", "other-words-flip", "negation-is-lost",
             "negation-is-any-word", "premises-pass"}  # fmt: skip
    assert held() == usual
    assert held(untold=[case(doubt=1.0, sure=0.4) for _ in range(40)]) == usual - {
        "fluent-when-wrong",
        "sure-when-wrong",
    }
    assert held(reworded=[case(right=1.0, given="other") for _ in range(40)]) == usual - {"other-words-flip"}
    assert held(reworded=[case(right=float(at % 2)) for at in range(40)]) == usual - {"negation-is-lost"}
    changed = [case(given="other") for _ in range(40)]
    assert held(negated=changed) == usual - {"negation-is-lost", "negation-is-any-word"}
    assert held(negated=changed, often=changed) == usual - {"negation-is-lost"}
    assert held(untold=[case(shuffled=1.0) for _ in range(40)]) == usual - {"fluent-when-wrong"}
    assert held(premise=[case(doubt=1.0)] + [case() for _ in range(39)]) == usual - {"premises-pass"}
    assert held(read=read([0.0] * 40)) == usual - {"knows-what-it-read"}
    guesses = zip(asked, limits.guesses(read([0.0] * 40)), strict=True)
    guessing = [float(question.value == guess) for question, guess in guesses]
    assert sum(guessing) >= len({question.attribute for question in asked})
    assert held(read=read(guessing)) == usual - {"knows-what-it-read"}


def test_the_gain_of_pretraining_is_no_mere_better_guess() -> None:
    def held(read: float, untold: float) -> set[str]:
        answers = {kind: [case(right=1.0) for _ in range(40)] for kind in limits.FACTS}
        others = {"read": [case(right=float(at >= 40 * read)) for at in range(40)],
                  "untold": [case(right=float(at >= 40 * untold)) for at in range(40)]}  # fmt: skip
        made = Findings()
        limits.report_without_pretraining(made, answers, others)
        return holding(made)

    assert held(0.8, 0.1) == {"facts-come-from-pretraining"}
    assert held(0.8, 0.8) == held(0.0, 0.0) == set()  # as much for facts in no story, and nothing at all


def test_sentences_are_looked_up_in_the_first_text_that_contains_them() -> None:
    class Corpus:
        train = ("The fox sang. The owl slept.", "The owl slept. The cat ran.")
        held_out = ("The owl slept. A new one. This last one is not counted.",)

    traced = limits.trace([[0, "The owl slept."], [0, "The hen swam."]], Corpus)  # type: ignore[arg-type]
    assert traced["written"] == [[0, "The owl slept.", 0], [0, "The hen swam.", -1]]
    assert traced["held_out"] == [[0, 1.0], [0, 0.0]]
    plain = statement(storyworld.build_world().facts()[0])
    assert limits.trace([[0, plain]], Corpus)["written"] == []  # type: ignore[arg-type]

    def held(held_out: list[list[float]]) -> set[str]:
        made = Findings()
        limits.report_traces(made, {"written": [[at, "a", 0] for at in range(60)], "held_out": held_out})
        return holding(made)

    assert held([[at, 0.0] for at in range(60)]) == {"remembers-sentences"}
    assert held([[at, 1.0] for at in range(60)]) == set()
    assert held([[0, float(at > 3)] for at in range(8)]) == set()  # one story is a single cluster


def test_values_of_a_cluster_count_as_fewer() -> None:
    values = [1.0] * 30 + [0.0] * 30
    alone, together = proportion(values), proportion(values, [at // 10 for at in range(60)])
    assert alone.value == together.value == 0.5
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low - 0.1
    assert proportion([0.0] * 20).high == pytest.approx(
        0.161, abs=1e-3
    )  # Wilson's interval: none of 20 does not mean zero
    alike = proportion([0.0] * 60, [at // 3 for at in range(60)])
    assert alike.high == proportion([0.0] * 20).high  # all equal, so each cluster counts once
    one = proportion(values, [0] * 60)  # a single cluster counts as one value
    assert one.low is not None
    assert one.low < 0.1


def test_a_comparison_on_a_single_test_book_can_be_stored(tmp_path: Path) -> None:
    made = Findings()
    results = [MethodResult(key, key, {"f1": Value(0.5)}, 1.0, 1.0, 1.0) for key in ("one", "two")]
    add_comparison(made, "toy", results, [Column("f1", "F1")], lambda below, above: comparison_of(0.1, math.inf))
    outcome = concluded(made)
    write_outcome(tmp_path / "result.json", outcome)
    stored = read_outcome(tmp_path / "result.json")
    assert "two.detectable" not in stored.values
    assert "are reproduced" in replayed(stored, outcome)


def test_a_value_is_named_by_whole_words_and_a_cut_sentence_is_not_scored() -> None:
    assert names("She has a pet owl.", "owl")
    assert names("Owl!", "owl")
    assert not names("a bowl", "owl")
    assert grammatical("Olga plays the guitar. Olga woke")
    assert not grammatical("Olga woke")
    assert not grammatical("Guitar the plays.")


def test_each_kind_of_question_on_limits_has_its_values() -> None:
    found = limits.questions(30, 0)
    assert {kind: len(cases) for kind, cases in found.items()} == dict.fromkeys(limits.KINDS, 30)
    kinds = ("taught", "reworded", "negated", "often")
    for one, other, negated, often in zip(*(found[kind] for kind in kinds), strict=True):
        assert one["expected"] == other["expected"] == negated["expected"]
        assert len({one["question"], other["question"], negated["question"]}) == 3
        assert " not " in negated["question"]
        assert often["question"] == negated["question"].replace(" not ", " often ")
    for each in found["premise"]:
        assert each["false"] in each["question"]
        assert each["value"] not in each["question"].replace(each["false"], "")


def test_claims_about_understanding_follow_the_scores() -> None:
    usual = {"first": 0.1, "longest": 0.1, "overlap": 0.2, "cut": 0.2, "rules": 0.3, "evidence": 0.3, "tfidf": 0.25,
             "recurrent": 0.1, "random": 0.2, "longer": 0.3, "pretrained": 0.4}  # fmt: skip
    equal = dict.fromkeys(usual, 0.2)

    def held(scores: Mapping[str, float], exact: float = 0.1) -> set[str]:
        by, compare = results_of(scores, "f1")
        made = Findings()
        claim_gains(made, by, compare, compare_reading.CLAIMS)
        made.values |= {"rules.exact": Value(exact, exact - 0.05, exact + 0.05), "first.exact": Value(0.0)}
        compare_reading.claim_exact(made, ["first", "rules"])
        return holding(made)

    whole = {
        "overlap-beats-first", "overlap-beats-longest", "rules-help", "rules-choose",
        "pretraining-helps", "pretraining-is-no-mere-training",
        "taught-beats-rules", "taught-beats-retrieval", "half-stay-unanswered",
    }  # fmt: skip
    assert held(usual) == whole
    assert whole - held({**usual, "cut": 0.3}) == {"rules-choose"}
    assert whole - held({**usual, "longer": 0.4}) == {"pretraining-is-no-mere-training"}
    assert whole - held({**usual, "longest": 0.2}) == {"overlap-beats-longest"}
    assert "rules-beat-taught" in held({**usual, "pretrained": 0.2})
    assert "taught-beats-rules" not in held({**usual, "evidence": 0.4})
    assert held(equal, exact=0.6) == set()
    assert held({**equal, "asked": 0.3}, exact=0.6) == {"asked-beats-taught", "asked-beats-rules"}
    assert whole - held(usual, exact=0.48) == {"half-stay-unanswered"}


def test_a_random_part_has_as_many_words_as_the_rules_answer_with() -> None:
    passage, question = "The old king lived in the white castle by the sea. He slept.", "Where did the king live?"
    part = compare_reading.random_part(passage, question)
    assert len(part.split()) == len(by_rules(passage, question).split())
    assert part in passage
    assert part == compare_reading.random_part(passage, question)


def test_reading_is_measured_against_answers_on_other_passages() -> None:
    items = [compare_reading.PassageQuestion(story, f"p{n}", "q", "a") for n, story in enumerate("aabbc")]
    assert [item.passage for item in compare_reading.on_other_passages(items)] == ["p2", "p2", "p4", "p4", "p0"]
    own, passages = np.array([0.4, 0.5, 0.6, 0.5]), ["p", "p", "q", "r"]
    for elsewhere, reads in ((own - 0.2, True), (own, False), (own + 0.2, False)):
        made = Findings()
        compare_reading.claim_reading(made, own, elsewhere + 0.001 * np.arange(4), passages)
        assert (concluded(made).claims["taught-reads"].holds is True) == reads


def test_each_story_is_in_one_split_and_columns_are_checked(tmp_path: Path) -> None:
    rows = [("train", "a"), ("train", "b"), ("test", "b"), ("test", "c"), ("val", "d")]
    more = {"question": "Where?", "context": "Look in c now.", "answer": "in c"}
    lines = [json.dumps({"split": side, "story": story, **more}) for side, story in rows]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines))
    items = compare_reading.read_items(path, 10, 10)
    assert [item.story for item in items.train] == ["a", "b"]
    assert [item.story for item in items.tested] == ["c"]
    assert items.tested[0].explicit
    path.write_text('{"split": "train", "story": "a"}')
    with pytest.raises(UserError, match="line 1: has no context, question, answer"):
        compare_reading.read_items(path, 10, 10)
    path.write_text(lines[0])
    with pytest.raises(UserError, match="no questions of the splits train and test"):
        compare_reading.read_items(path, 10, 10)


def test_claims_about_replies_follow_the_proportions() -> None:
    def held(model: float, raised: tuple[str, str] = ("", "")) -> set[str]:
        """Give the model one proportion and all others another, except a baseline's score that is raised."""
        made, found = Findings(), {}
        for key in ("echo", "eliza", "recall", "answered", "retrieval", "ngram", "random", "longer", "chat", "other"):
            parts = {c.key: model if key == "chat" or (key, c.key) == raised else 0.2 for c in ladder_respond.COLUMNS}
            scores: dict[str, Any] = {
                name: [1.0] * int(100 * p) + [0.0] * int(100 * (1 - p)) for name, p in parts.items()
            }
            subjects = [str(number) for number in range(100)]
            found[key] = {**scores, "subjects": {"facts": subjects, "all": subjects}}
        ladder_respond.claim(made, found)
        return holding(made)

    fails = {
        ("retrieval", "right"): "model-is-right-most",
        ("recall", "right"): "model-beats-recall",
        ("answered", "right"): "model-beats-search",
        ("ngram", "right"): "model-beats-counting",
        ("eliza", "about"): "model-stays-with-the-question",
        ("ngram", "fluent"): "counting-is-less-fluent",
        ("ngram", "once"): "counting-repeats-itself",
        ("random", "right"): "pretraining-teaches-facts",
        ("longer", "right"): "pretraining-is-more-than-training",
        ("other", "right"): "batches-matter",
    }
    assert held(0.75) == set(fails.values())
    assert {raised: held(0.75, raised) for raised in fails} == {
        raised: set(fails.values()) - {name} for raised, name in fails.items()
    }
    assert held(0.2) == set()
    assert held(0.0) == set()


def test_settings_are_chosen_on_facts_that_are_not_scored() -> None:
    choosing, scored = halves()
    assert len(choosing) + len(scored) == len([each for each in storyworld.questions() if each.split == "held-in"])
    assert not {each.subject for each in choosing} & {each.subject for each in scored}
    asked = {case["said"] for case in ladder_respond.prompts(200, 0) if case["value"]}
    assert asked == {each.question for each in scored}
    assert {case["question"] for case in limits.questions(200, 3)["read"]} == asked
    tried = [{"rows": 4, "rate": 1.0, "right": 0.5}, {"rows": 4, "rate": 2.0, "right": 0.5},
             {"rows": 16, "rate": 1.0, "right": 0.4}]  # fmt: skip
    assert best_setting(tried) == BatchAndRate(4, 1.0)
    assert best_setting(tried, [16]) == BatchAndRate(16, 1.0)
