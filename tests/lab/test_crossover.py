"""Models of several sizes against earlier methods: the claims follow the scores, and prompts hold what they should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.outcomes import concluded
from scratchlm.base.errors import UserError
from scratchlm.evaluation.likelihood import LikelihoodRequest, likelihoods
from scratchlm.lab.experiments.config import CrossoverConfig
from scratchlm.lab.experiments.crossover import measure as crossover
from scratchlm.lab.experiments.crossover import report as crossover_report
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.fine_tuned import conversation_of
from scratchlm.lab.shared.prompted import choice_scores, prompt_ids, prompted_answers
from scratchlm.lab.shared.task_set import TaughtTask, past_tense, spam, verb_of
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel

TESTED = 200


def scores(mean: float) -> dict[str, Any]:
    """Return the scores of a way, of which so many are right; others than those of a lower mean."""
    right = round(mean * TESTED)
    return {"scores": [1.0] * right + [0.0] * (TESTED - right), "given": ["yes"] * TESTED}


def verdicts(published: bool = True, **changed: float) -> dict[str, bool | None]:
    task = TaughtTask("answer", "right", [], [("q", "a")] * TESTED, lambda said, right: 0.0, "", list, str)
    asked = {key: crossover_report.CrossoverTask(task) for key in crossover_report.EARLIER if key != "grammar"}
    found: dict[str, dict[str, Any]] = {}
    sizes = {"2": 230_000, "4": 1_050_000}
    sizes |= {crossover_report.PUBLISHED: 135_000_000} if published else {}
    usual = {"zero": 0.1, "few": 0.2, "tuned": 0.4, "earlier": 0.5}
    for key in crossover_report.EARLIER:
        found[f"{key}.earlier"] = scores(changed.get("earlier", usual["earlier"]))
        for size in sizes:
            if key in crossover_report.UNREAD and size == crossover_report.PUBLISHED:
                continue
            ways = ("zero",) if key == "grammar" else ("zero", "few", "tuned")
            found[f"{key}.{size}"] = {way: scores(changed.get(f"{way}_{size}", usual[way])) for way in ways}
    made = Findings()
    config = CrossoverConfig(depths=(2, 4))
    crossover_report.report(made, asked, found, sizes, config, list(map(str, range(TESTED))))
    outcome = concluded(made)
    assert len(outcome.curves) == len(outcome.tables) == 6
    assert "respond-published" not in outcome.claims  # a published model never read the stories
    return {key.removeprefix("spam-"): claim.holds for key, claim in outcome.claims.items() if key.startswith("spam-")}


def test_claims_follow_the_scores_of_each_size() -> None:
    usual = verdicts()
    assert usual == {
        "ours": False,
        "size": False,
        "published": False,
        "prompted": False,
        "examples": True,
        "tuning": True,
    }
    larger = verdicts(tuned_4=0.7, tuned_published=0.9, few_published=0.7)
    assert larger == dict.fromkeys(("ours", "size", "published", "prompted", "examples", "tuning"), True)
    assert verdicts(tuned_4=0.51)["ours"] is None  # within the interval
    assert verdicts(few_published=0.39)["tuning"] is None
    assert verdicts(few_published=0.1)["examples"] is False
    assert set(verdicts(published=False)) == {"ours", "size"}


def test_scores_are_split_by_what_fine_tuning_showed() -> None:
    task = replace(past_tense(20, 0), clusters=None)
    unseen = task.unseen
    assert unseen is not None
    assert len(unseen) == len(task.tested)
    assert 5 < sum(unseen) < len(unseen)
    copied = task.train[0][1]["content"]  # the past of a verb that fine-tuning showed, or the right answer
    said = [copied if new else right for new, (_, right) in zip(unseen, task.tested, strict=True)]
    right = {"scores": [0.0 if new else 1.0 for new in unseen], "given": said}
    found: dict[str, dict[str, Any]] = {"2": dict.fromkeys(crossover_report.WAYS, right), "earlier": right}
    made = Findings()
    scored = crossover_report.Scored("rewrite", "past", "right", {"2": 230_000}, found, None, task)
    made.values["rewrite.2.tuned.over_earlier"] = Value(0.0)
    crossover_report.report_unseen(made, scored)
    crossover_report.claim_ours(made, scored, ["2"])
    outcome = concluded(made)
    assert (outcome.values["rewrite.2.seen"].value, outcome.values["rewrite.2.unseen"].value) == (1.0, 0.0)
    assert outcome.values["rewrite.trivial.unseen"].value > 0.3  # regular verbs
    assert outcome.claims["rewrite-unseen"].holds is True
    assert outcome.values["rewrite.2.wrong.others"].value == 1.0
    assert outcome.values["rewrite.2.wrong.rule"].value == 0.0
    assert outcome.claims["rewrite-others"].holds is True
    assert verb_of("Put into the past: Ada stands up slowly.") == "stands up"


def test_a_custom_model_is_compared_on_its_own_text() -> None:
    def verdict(own: float, general: float) -> bool | None:
        made = Findings()
        stories = {"2": [own + 0.01 * at for at in range(9)], "published": [general + 0.01 * at for at in range(9)]}
        crossover_report.report_stories(made, stories, {"2": 230_000, "published": 135_000_000})
        return concluded(made).claims["custom-beats-general"].holds

    assert verdict(0.6, 1.0) is True
    assert verdict(1.0, 0.6) is False
    bits = crossover.story_bits(toy(), ["where does Ada live?", "in Foxley."])
    assert all(0 < each < 20 for each in bits)


def test_ranking_needs_no_threshold() -> None:
    messages = [("win a prize", "spam"), ("see you", "ham")] * 20
    task = spam(messages, messages)
    assert task.ranked is not None
    ranks = [1.0 if label == "spam" else 0.0 for _, label in task.tested]
    way = {"scores": [1.0] * 40, "given": ["ham"] * 40, "ranks": ranks}
    backwards = {**way, "ranks": [-rank for rank in ranks]}
    answers = {"2": {"zero": backwards, "few": way, "tuned": way}, "earlier": {**way, "ranks": task.ranked()}}
    made = Findings()
    crossover_report.report_ranking(made, crossover_report.Scored("spam", "", "", {"2": 1}, answers, None, task))
    assert made.values["spam.2.few.ranking"].value == made.values["spam.earlier.ranking"].value == 1.0
    assert made.values["spam.2.zero.ranking"].value < 0.6


def test_spam_is_learned_and_shown_from_equal_numbers_of_both_classes() -> None:
    learned = [(f"call {number}", "spam" if number % 5 == 0 else "ham") for number in range(100)]
    task = spam(learned, learned[:10])
    labels = [answer["content"] for _, answer in task.train]
    assert labels.count("spam") == labels.count("ham") == 20
    shown = crossover.few_shot_examples(crossover_report.CrossoverTask(task, ("ham", "spam")), 0)
    assert sorted(answer["content"] for _, answer in shown) == ["ham", "ham", "spam", "spam"]


def toy() -> SavedModel:
    tokenizer = FastBPE.train(["where does Ada live? in Foxley. ham spam Answer:"] * 3, 280)
    shape = qwen3_shaped(tokenizer.vocabulary_size, width=32, layers=1, context=64)
    return SavedModel(build_decoder(shape, 0), tokenizer)


def test_examples_stand_before_the_question_and_a_long_prompt_is_cut_at_its_beginning() -> None:
    model = toy()
    examples = [conversation_of("where?", "in Foxley.")]
    text = model.tokenizer.decode(prompt_ids(model, examples, "live?", 4))
    assert text == "where?\nAnswer: in Foxley.\n\nlive?\nAnswer:"
    assert len(prompt_ids(model, examples * 30, "live?", 4)) == 60
    assert model.tokenizer.decode(prompt_ids(model, examples * 30, "live?", 4)).endswith("live?\nAnswer:")
    model.template = ChatTemplate.suited_to(model.tokenizer)
    chat = model.tokenizer.decode(prompt_ids(model, examples, "live?", 4))
    assert chat.index("where?") < chat.index("in Foxley.") < chat.index("live?")


def test_a_choice_is_scored_per_token_and_any_other_answer_is_one_line() -> None:
    model = toy()
    choices = ("ham", "ham ham ham ham")
    nats = choice_scores(model, ["ham?", "spam?"], [], choices, 5)
    assert nats.shape == (2, 2)
    prompt = tuple(prompt_ids(model, [], "spam?", 5))
    for at, choice in enumerate(choices):
        answer = tuple(map(int, model.tokenizer.encode(f" {choice}")))
        of_choice = likelihoods(model.decoder, [LikelihoodRequest(prompt, answer)])[0]
        assert nats[1, at] == pytest.approx(of_choice.nats / len(answer))  # the length alone decides nothing
    assert all("\n" not in text for text in prompted_answers(model, ["where?", "live?"], [], 5))


def test_sizes_must_ascend() -> None:
    with pytest.raises(UserError, match="--depths 4, 2: give each once, in ascending order"):
        CrossoverConfig(depths=(4, 2))
