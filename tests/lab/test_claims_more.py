"""Claims follow the numbers, in the experiments on layers, tasks, limits, understanding and replies."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.outcomes import concluded, holding, results_of
from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.base.statistics import comparison_of
from scratchlm.classic.reading import by_rules
from scratchlm.lab.experiments.features import measure as features
from scratchlm.lab.experiments.ladder_respond import measure as ladder_respond
from scratchlm.lab.experiments.ladder_respond.measure import read_ratings, sheet
from scratchlm.lab.experiments.ladder_understand import measure as ladder_understand
from scratchlm.lab.experiments.limits import measure as limits
from scratchlm.lab.experiments.tasks import measure as tasks
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, MethodResult, add_comparison, claim_gains
from scratchlm.lab.harness.outcome import Outcome, Value, read_outcome, replayed, write_outcome
from scratchlm.lab.shared.fine_tuned import rows_of
from scratchlm.lab.shared.probe_labels import NAMES, SIMPLE
from scratchlm.lab.shared.proportions import grammatical, names, proportion
from scratchlm.lab.shared.story_labels import STORY
from scratchlm.lab.shared.task_set import TaughtTask, past_tense, regular
from scratchlm.storyworld.quiz import statement
from scratchlm.tokens.chat import Rendered

SIMPLE_CLAIMS = {"simple-in-vectors", "simple-precedes-compound"}
BOOK_CLAIMS = {"layers-add-compound", "learned-beats-untrained", "learned-beats-last", "handmade-leads"}
STORY_CLAIMS = {"stories-beat-untrained", "stories-beat-last", *(f"{key}-beats-rule" for key in STORY)}
CONTROL_CLAIMS = {"selective", "control-at-chance"}


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

    usual = SIMPLE_CLAIMS | BOOK_CLAIMS | STORY_CLAIMS | CONTROL_CLAIMS
    assert held() == usual
    early = {"learned": [0.8, 0.8, 0.8]}
    assert held(contextual=early) == usual - {"layers-add-compound", "simple-precedes-compound"}
    strong = {"untrained": [0.95, 0.95, 0.95], "last": 0.95}
    lost = {"learned-beats-untrained", "learned-beats-last", "stories-beat-untrained", "stories-beat-last"}
    assert held(contextual=strong) == usual - lost
    assert held(simple={"untrained": [0.95, 0.95]}) == usual - {"simple-in-vectors"}
    assert held(simple={"frequency": 0.95}) == usual - {"simple-in-vectors"}
    assert held(contextual={"vectors": 0.95}) == usual - {"learned-beats-last", "stories-beat-last"}
    assert held(story={"handmade": 0.95}) == usual - {f"{key}-beats-rule" for key in STORY}
    assert held(book={"handmade": 0.7}) == usual - {"handmade-leads"}
    assert held(every={"control": 0.97}) == usual - {"selective"}
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
        return holding(made)

    assert held(0.6, 0.6, 0.9, 0.2, 0.6) == {
        "one-does-all", "rival-wins-somewhere", "model-wins-somewhere", "sharing-costs-little",
        "sharing-costs-little-at-equal-length",
    }  # fmt: skip
    assert held(0.0, 0.9, 0.0, 0.0, 0.9) == {"sharing-costs-somewhere"}
    assert held(0.0, 0.9, 0.0, 0.0, 0.9, large=0.9) == {
        "larger-batches-help"
    }  # a batch that suits one side shows no cost
    assert "rival-wins-somewhere" not in held(0.0, 0.9, 0.5, 0.5, 0.9, large=0.9)
    assert held(0.0, 0.0, 0.0, 0.0) == set()  # tasks that neither model learns say nothing of a cost
    assert held(0.6, 0.6, 0.2, 0.2, 0.9) == {
        "one-does-all", "model-wins-somewhere", "sharing-costs-little", "sharing-costs-somewhere",
    }  # fmt: skip


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
        claim_gains(made, by, compare, ladder_understand.CLAIMS)
        made.values |= {"rules.exact": Value(exact, exact - 0.05, exact + 0.05), "first.exact": Value(0.0)}
        ladder_understand.claim_exact(made, ["first", "rules"])
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
    assert {"rules-beat-taught", "evidence-beats-taught"} <= held({**usual, "pretrained": 0.2})
    assert "evidence-beats-taught" not in held({**usual, "pretrained": 0.2, "evidence": 0.2})
    assert held(equal, exact=0.6) == set()
    assert held({**equal, "asked": 0.3}, exact=0.6) == {"asked-beats-taught", "asked-beats-rules"}
    assert whole - held(usual, exact=0.48) == {"half-stay-unanswered"}


def test_a_random_part_has_as_many_words_as_the_rules_answer_with() -> None:
    passage, question = "The old king lived in the white castle by the sea. He slept.", "Where did the king live?"
    part = ladder_understand.random_part(passage, question)
    assert len(part.split()) == len(by_rules(passage, question).split())
    assert part in passage
    assert part == ladder_understand.random_part(passage, question)


def test_reading_is_measured_against_answers_on_other_passages() -> None:
    items = [ladder_understand.PassageQuestion(story, f"p{n}", "q", "a") for n, story in enumerate("aabbc")]
    assert [item.passage for item in ladder_understand.on_other_passages(items)] == ["p2", "p2", "p4", "p4", "p0"]
    own, passages = np.array([0.4, 0.5, 0.6, 0.5]), ["p", "p", "q", "r"]
    for elsewhere, reads in ((own - 0.2, True), (own, False), (own + 0.2, False)):
        made = Findings()
        ladder_understand.claim_reading(made, own, elsewhere + 0.001 * np.arange(4), passages)
        assert (concluded(made).claims["taught-reads"].holds is True) == reads


def test_each_story_is_in_one_split_and_columns_are_checked(tmp_path: Path) -> None:
    rows = [("train", "a"), ("train", "b"), ("test", "b"), ("test", "c"), ("val", "d")]
    more = {"question": "Where?", "context": "Look in c now.", "answer": "in c"}
    lines = [json.dumps({"split": side, "story": story, **more}) for side, story in rows]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines))
    items = ladder_understand.read_items(path, 10, 10)
    assert [item.story for item in items.train] == ["a", "b"]
    assert [item.story for item in items.tested] == ["c"]
    assert items.tested[0].explicit
    path.write_text('{"split": "train", "story": "a"}')
    with pytest.raises(UserError, match="line 1: has no context, question, answer"):
        ladder_understand.read_items(path, 10, 10)
    path.write_text(lines[0])
    with pytest.raises(UserError, match="no questions of the splits train and test"):
        ladder_understand.read_items(path, 10, 10)


def test_claims_about_replies_follow_the_proportions() -> None:
    def held(model: float, raised: tuple[str, str] = ("", "")) -> set[str]:
        """Give the model one proportion and all others another, except a baseline's score that is raised."""
        made, found = Findings(), {}
        for key in ("echo", "eliza", "recall", "answered", "retrieval", "ngram", "chat", "large"):
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
        ("large", "right"): "small-batches-help",
    }
    assert held(0.75) == set(fails.values())
    assert {raised: held(0.75, raised) for raised in fails} == {
        raised: set(fails.values()) - {name} for raised, name in fails.items()
    }
    assert held(0.2) == set()
    assert held(0.0) == {"retrieval-is-right-most"}


def test_a_blind_rating_sheet_is_read_and_counted(tmp_path: Path) -> None:
    cases = [{"said": f"say {n}"} for n in range(12)]
    given = {"eliza": [f"e{n}" for n in range(12)], "chat": [f"c\n{n}" for n in range(12)]}
    laid = sheet(cases, given, 10, 0)
    assert len(laid) == 20
    assert {tuple(row["method"] for row in laid[at : at + 2]) for at in range(0, 20, 2)} > {("eliza", "chat")}
    blind = [{key: text for key, text in row.items() if key != "method"} for row in laid]
    path = tmp_path / "blind.tsv"
    path.write_text(ladder_respond.as_table(blind))
    assert "eliza" not in path.read_text()
    with pytest.raises(UserError, match="row 1: relevant and coherent must each be 0 or 1"):
        read_ratings(path, laid)

    def rated(relevant: str) -> Outcome:
        """Rate one method's replies as relevant, and none of the other's."""
        for row, key in zip(blind, laid, strict=True):
            row["relevant"], row["coherent"] = ("1", "1") if key["method"] == relevant else ("0", "1")
        path.write_text(ladder_respond.as_table(blind))
        made = Findings()
        ladder_respond.report_ratings(made, laid, read_ratings(path, laid), {"eliza": "patterns", "chat": "model"})
        return concluded(made)

    made = rated("chat")
    assert (made.values["chat.read_relevant"].value, made.values["eliza.read_relevant"].value) == (1, 0)
    assert made.claims["read-as-relevant"].holds
    assert not rated("eliza").claims["read-as-relevant"].holds
    with pytest.raises(UserError, match="row 1: its reply is not from this run"):
        read_ratings(path, [{**row, "reply": "x"} for row in laid])
    path.write_text("number\n")
    with pytest.raises(UserError, match="has 0 rows, the sheet 20"):
        read_ratings(path, laid)


def test_held_out_verbs_are_not_in_training_with_a_particle_either() -> None:
    task = past_tense(200, 0)
    trained = {conversation[0]["content"].split()[5] for conversation in task.train}
    assert task.clusters is not None
    new = [question for question, _ in task.tested if question.split()[5] not in trained]
    assert len(new) > 60
    right = dict(zip([question for question, _ in task.tested], task.narrow(), strict=True))
    for question, expected in task.tested:
        if question not in new:
            assert right[question] == expected  # training verbs are looked up
    assert any(
        right[question] != dict(task.tested)[question] for question in new
    )  # and irregular ones get a wrong form
    assert regular("hops up") == "hopped up"
    assert regular("cries") == "cried"
    assert regular("watches") == "watched"


def test_rows_are_counted_as_they_are_filled() -> None:
    samples = [Rendered(list(range(n)), [False] + [True] * (n - 1)) for n in (5, 5, 4, 9, 30, 2)]
    # widths 4, 4, 3, 8, 10 and 1 in rows of 10: (4 4) (3) (8) (10) (1)
    assert rows_of(samples, 10) == 5
