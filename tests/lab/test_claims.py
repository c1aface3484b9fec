"""Claims follow the numbers: each changes its verdict when they change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lab.outcomes import concluded, holding, results_of
from scratchlm.lab.experiments.ablations import measure as ablations
from scratchlm.lab.experiments.context import measure as context
from scratchlm.lab.experiments.label_efficiency import measure as label_efficiency
from scratchlm.lab.experiments.ladder_lm import measure as ladder_lm
from scratchlm.lab.experiments.ladder_spam import measure as ladder_spam
from scratchlm.lab.experiments.ladder_translate import report as ladder_translate_report
from scratchlm.lab.experiments.objective import measure as objective
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, MethodResult, add_comparison, claim_gains
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.binary_scores import compare_f1
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.feature_groups import VARIANTS
from scratchlm.lab.shared.folds import Folded, like_others
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


HELD_OUT = objective.HeldOutBooks(["a" * 4094, "b" * 4094, "c" * 4094])
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


def test_that_words_need_fewer_bits_is_shown_by_the_upper_bound_alone() -> None:
    def judged(gap: float, least: float) -> bool | None:
        values = {"gap": Value(gap, gap - 0.01, gap + 0.01), "least": Value(least, least - 0.01, least + 0.01)}
        return objective.words_need_more("gap", "least", values)

    assert judged(0.2, 0.1) is True
    assert judged(-0.1, -0.2) is False
    assert judged(0.1, -0.1) is None
    assert judged(0.1, 0.0) is None


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
    whole |= {"phrases-beat-transformer", "longer-beats-phrases", "longer-beats-words"}
    whole |= {"transformer-beats-phrases-in-bleu", "longer-beats-phrases-in-bleu"}
    assert held() == whole
    assert whole - held(bleu=0.05) == {"no-attention-beats-words-in-bleu"}
    assert whole - held(copy=2.0) == {"rules-beat-copying"}
    assert whole - held(recurrent=3.5) == {"attention-helps", "words-beat-no-attention"}
    assert whole - held(ibm1=4.0) == {"transformer-beats-words"}
    assert whole - held(memory=4.0) == {"transformer-beats-words"}
    assert whole - held(memory=4.8) == {"transformer-beats-words", "longer-beats-words"}
    assert whole - held(phrases_untuned=3.0) == {"phrases-beat-words", "phrases-beat-transformer"}
    assert whole - held(attention=4.0) == {"transformer-beats-recurrent"}
    assert held(prompted=3.0) - whole == {"taught-beats-prompted"}
    assert held(prompted=4.0) == whole
    in_bleu["phrases.over.longer.beam.bleu"] = Value(-1.0, -1.95, -0.05)  # too near zero for one of two lengths
    assert whole - held() == {"longer-beats-phrases-in-bleu"}


def test_phrases_beat_a_transformer_only_with_a_beam_and_without() -> None:
    def held(**scores: float) -> set[str]:
        made = Findings(values={"recurrent.over.ibm1.bleu": Value(0.0)})
        bleu = Value(0.0, -1.0, 1.0)
        made.values |= {f"phrases.over.{key}.beam.bleu": bleu for key in ladder_translate_report.RIVALS}
        rivals = dict.fromkeys(("transformer", "transformer.beam", "longer", "longer.beam"), 4.0)
        others = dict.fromkeys(("copy", "rules", "memory", "ibm1", "recurrent", "attention"), 1.0)
        by, compare = results_of({**others, **rivals, "decoder": 1.0, "phrases.untuned": 4.5, **scores}, "chrf")
        ladder_translate_report.claim(made, by, compare)
        return {key for key in holding(made) if key.startswith(("phrases-beat-tr", "phrases-beat-l")) or "s-phr" in key}

    assert held(**{"phrases": 5.0, "phrases.beam1": 5.0}) == {"phrases-beat-transformer", "phrases-beat-longer"}
    assert held(**{"phrases": 5.0, "phrases.beam1": 5.0, "phrases.untuned": 3.0}) == set()  # tuning alone leads
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
