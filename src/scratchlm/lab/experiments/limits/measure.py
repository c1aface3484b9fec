"""`experiment limits`: where a fine-tuned model is fluent but wrong.

The model is pretrained on stories and fine-tuned to answer. Questions ask for facts in no story, for known facts in new
wording, with a `not`, and with a false premise. Sentences that the model writes are looked up in its training text.
Fluent means that the grammar of the stories accepts the answer. No training conversation says "I do not know".

A second model is fine-tuned alike from random weights: what it does not know, pretraining taught the first one.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.base.statistics import bootstrap_interval
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.experiments.config import LimitsConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Exchange, TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, conversation_of, quickstart_model, storyteller
from scratchlm.lab.shared.proportions import grammatical, mean_of, names, proportion
from scratchlm.lab.shared.teaching import LONGEST, best_setting, halves, report_tried, taught, tried_settings
from scratchlm.storyworld.quiz import held_out_phrasings, phrasings, statement, taught_facts
from scratchlm.storyworld.world import Fact
from scratchlm.tours.quickstart.text import QuickstartText

NEAR = 0.1
"""Fraction of answers by which two changes of a question may differ and still count as alike."""
PREMISES: Mapping[str, str] = {
    "town": "Why does {subject} live in {value}?",
    "pet": "Why does {subject} have a pet {value}?",
    "job": "Why is {subject} a {value}?",
    "food": "Why is {value} the favourite food of {subject}?",
}
"""Questions with a false premise, by the kind of fact."""
DOUBT = re.compile(r"\b(?:not|no|never|know nothing|sorry|nobody|unknown)\b", re.IGNORECASE)
KINDS = {
    "taught": "fine-tuned facts, training wording",
    "reworded": "same facts, reworded",
    "negated": "same facts, with `not` in the question",
    "often": "same facts, with `often` in its place",
    "read": "facts in the stories, in no fine-tuning question",
    "untold": "facts in no story",
    "premise": "false premise about a fact in the stories",
}


FACTS = ("read", "untold")
"""Kinds of questions about facts that no fine-tuning conversation states as an answer."""


def run(config: LimitsConfig, steps: Steps, out: Findings) -> None:
    """Fine-tune, ask, and look up written sentences."""
    models = _models(config, steps, out)

    def work() -> dict[str, Any]:
        model, cases = models.answering(), questions(config.tested, config.seed)
        answered = {kind: _ask(model, cases[kind]) for kind in KINDS}
        return {**answered, "written": _write(models.writing(), config)}

    def untaught() -> dict[str, Any]:
        assert models.from_random is not None
        model, cases = models.from_random(), questions(config.tested, config.seed)
        return {kind: _ask(model, cases[kind]) for kind in FACTS}

    asked = steps.once("asked", work)
    traced = steps.once("traced", trace, asked["written"], models.corpus)
    report(out, asked)
    if models.from_random is not None:
        report_without_pretraining(out, asked, steps.once("unpretrained", untaught))
    report_traces(out, traced)
    if models.tried:
        report_tried(out, models.tried)
    out.notes += [
        "naming the true value is right, except in questions with a `not`; another true fact counts as wrong",
        "a word of doubt is one such as not, never or sorry",
        "errors are clustered by the person or place in question, or by story",
        "stories come from a grammar, so new ones repeat sentences by chance: sentences of held-out stories are the "
        "baseline",
    ]


@dataclass(frozen=True)
class Models:
    """What loads the models of this experiment, and the stories that they have read."""

    answering: Callable[[], LanguageModel]
    writing: Callable[[], LanguageModel]
    corpus: QuickstartText
    from_random: Callable[[], LanguageModel] | None = None
    """The model fine-tuned from random weights; none beside a quickstart's model."""
    tried: Mapping[str, list[dict[str, float]]] = field(default_factory=dict)
    """What the search for settings gave, by the start."""


def _models(config: LimitsConfig, steps: Steps, out: Findings) -> Models:
    if config.model is not None:
        quick, stories = quickstart_model(config.model)
        out.notes.append("the model is that of a quickstart (setting model): the verdicts are about this model")
        return Models(lambda: quick, lambda: quick, stories)
    small, corpus = storyteller(config, steps)
    if config.small:
        remedy = "run scratchlm quickstart first, and then this command in the same folder"
        out.notes.append(f"the model trained too little to judge the claims: {remedy}")
    tried = tried_settings(small, corpus, config, config.rates, steps)

    def answering(start: str) -> LanguageModel:
        return taught(small, corpus, config, start, best_setting(tried[start]))

    return Models(
        partial(answering, "pretrained"), lambda: LanguageModel(small.pretrained()), corpus,
        partial(answering, "random"), tried,
    )  # fmt: skip


Case = dict[str, str]


def questions(most: int, seed: int) -> dict[str, list[Case]]:
    """Return at most `most` questions of each kind, with the true value, and the false one of a false premise."""
    draw = random.Random(f"limits {seed}")
    world = storyworld.build_world()
    trained = [fact for fact in taught_facts(world) if any(f"does {fact.subject} " in q for q in phrasings(fact))]
    trained = draw.sample(trained, min(most, len(trained)))
    cases: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for fact in trained:
        plain = next(text for text in phrasings(fact) if f"does {fact.subject} " in text)
        cases["taught"].append(_case(plain, fact))
        cases["reworded"].append(_case(draw.choice(held_out_phrasings(fact)), fact))
        for kind, word in (("negated", "not"), ("often", "often")):
            cases[kind].append(_case(plain.replace(f"does {fact.subject} ", f"does {fact.subject} {word} "), fact))
    untold = [each for each in storyworld.questions() if each.split == "held-out"]
    for kind, chosen in (("read", halves()[1]), ("untold", untold)):
        for each in draw.sample(chosen, min(most, len(chosen))):
            case = {"question": each.question, "value": each.value, "expected": each.expected}
            cases[kind].append({**case, "subject": each.subject})
    facts = [fact for fact in world.facts() if fact.in_stories and fact.attribute in PREMISES]
    values = {key: sorted({fact.value for fact in world.facts() if fact.attribute == key}) for key in PREMISES}
    for fact in draw.sample(facts, min(most, len(facts))):
        false = draw.choice([value for value in values[fact.attribute] if value != fact.value])
        question = PREMISES[fact.attribute].format(subject=fact.subject, value=false)
        cases["premise"].append({**_case(question, fact), "false": false})
    return cases


def _case(question: str, fact: Fact) -> Case:
    return {"question": question, "value": fact.value, "expected": statement(fact), "subject": fact.subject}


def _ask(model: LanguageModel, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Answer each question; score whether the answer is right, fluent, in doubt, and its lowest token probability."""
    texts = answers(model, [case["question"] for case in cases], LONGEST)
    return [
        {
            **case,
            "given": text,
            "right": float(names(text, case["value"])),
            "fluent": float(grammatical(text)),
            "shuffled": float(grammatical(shuffled(text))),
            "doubt": float(bool(DOUBT.search(text))),
            "echo": float("false" in case and names(text, case["false"])),
            "sure": round(_lowest_probability(model, case["question"], text), 9),
        }
        for case, text in zip(cases, texts, strict=True)
    ]


def guesses(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a guess for each question: the most frequent value of its kind among the questions."""
    kinds = {each.question: each.attribute for each in storyworld.questions()}
    values: dict[str, list[str]] = {}
    for case in cases:
        values.setdefault(kinds[case["question"]], []).append(case["value"])
    return [max(sorted(of := values[kinds[case["question"]]]), key=of.count) for case in cases]


def shuffled(text: str) -> str:
    """Return a sentence with its words in random order, its capital and its last character where they were."""
    words = text.rstrip(".!?").split()
    mixed = " ".join(random.Random(text).sample(words, len(words)))
    return mixed[:1].upper() + mixed[1:] + text[-1:]


@torch.no_grad()
def _lowest_probability(model: LanguageModel, question: str, answer: str) -> float:
    """Return the lowest probability of a token of the answer, which is mostly that of the value."""
    template = model.saved.template
    assert template is not None
    rendered = template.render(conversation_of(question, answer))
    ids = torch.tensor([rendered.ids])
    logits = model.decoder(ids[:, :-1]).float().log_softmax(-1)
    chosen = logits.gather(-1, ids[:, 1:, None]).squeeze()[torch.tensor(rendered.mask[1:])]
    return math.exp(float(chosen.min())) if len(chosen) else 0.0


def _write(model: LanguageModel, config: LimitsConfig) -> list[list[Any]]:
    """Let the model write stories until there are enough whole sentences; return each with its story's number."""
    written: list[list[Any]] = []
    for number in range(4 * config.sampled):
        text = model.generate("", max_tokens=160, temperature=1.0, min_p=0.0, seed=config.seed + number)
        written += [[number, sentence] for sentence in storyworld.sentences(text)[:-1]]
        if len(written) >= config.sampled:
            return written[: config.sampled]
    raise UserError(f"--sampled {config.sampled}: the model wrote {len(written)} whole sentences; train it for longer")


def trace(written: Sequence[Sequence[Any]], corpus: QuickstartText) -> dict[str, Any]:
    """Look up each sentence in the training text; return the number of the first text that contains it, or -1.

    The plain sentence of each fact is left out on both sides: portraits consist of those, in training and in new ones.
    """
    plain = {statement(fact) for fact in storyworld.build_world().facts()}
    first: dict[str, int] = {}
    for number, text in enumerate(corpus.train):
        for sentence in storyworld.sentences(text):
            first.setdefault(sentence, number)
    held_out = [[at, each] for at, text in enumerate(corpus.held_out) for each in storyworld.sentences(text)[:-1]]
    return {
        "written": [[story, text, first.get(text, -1)] for story, text in written if text not in plain],
        "held_out": [[story, float(text in first)] for story, text in held_out if text not in plain],
    }


def report(out: Findings, answers: Mapping[str, list[dict[str, Any]]]) -> None:
    """Report how each kind of question was answered, and add the claims."""
    values = out.values
    rows: list[Row] = []
    subjects = {kind: [each["subject"] for each in answers[kind]] for kind in KINDS}
    for kind, name in KINDS.items():
        for key in ("right", "fluent", "doubt"):
            values[f"{kind}.{key}"] = proportion([each[key] for each in answers[kind]], subjects[kind])
        values[f"{kind}.sure"] = mean_of([each["sure"] for each in answers[kind]], subjects[kind])
        cells = [Cell(f"{kind}.{key}", ".1%") for key in ("right", "fluent", "doubt")]
        rows.append([name, str(len(answers[kind])), *cells, Cell(f"{kind}.sure", ".2f")])
    guessed = [
        float(each["value"] == guess) for each, guess in zip(answers["read"], guesses(answers["read"]), strict=True)
    ]
    values["read.guess"] = proportion(guessed, subjects["read"])
    out.gain(
        "read.over_guess",
        paired([a["right"] - b for a, b in zip(answers["read"], guessed, strict=True)], subjects["read"]),
    )
    values["read.separation"] = separation(answers["read"])
    values["asked.separation"] = separation([*answers["read"], *answers["untold"]])
    values["untold.shuffled"] = proportion([each["shuffled"] for each in answers["untold"]], subjects["untold"])
    values["premise.echo"] = proportion([each["echo"] for each in answers["premise"]], subjects["premise"])
    header = [
        "question type",
        "number",
        "names the true value",
        "fluent",
        "has a word of doubt",
        "lowest token probability",
    ]
    out.table("Answers by type of question", header, rows)
    out.dots("Answers that name the true value", "fraction", {name: f"{kind}.right" for kind, name in KINDS.items()})
    pairs = list(zip(*(answers[kind] for kind in ("taught", "reworded", "negated", "often")), strict=True))
    if flipped := [float(other["right"] == 0) for one, other, *_ in pairs if one["right"]]:
        values["flipped"] = proportion(flipped)
    for key, place in (("reworded.same", 1), ("negation_ignored", 2), ("often.same", 3)):
        same = [float(each[0]["given"] == each[place]["given"]) for each in pairs]
        values[key] = proportion(same, subjects["taught"])
    asked = [[each["given"] for each in pair] for pair in pairs]
    changed = [float(one != no) - float(one != often) for one, _, no, often in asked]
    out.gain("negation.over_often", paired(changed, subjects["taught"]))
    falls = [one["right"] - other["right"] for one, other, *_ in pairs]
    lost = out.gain("reworded.loss", paired(falls, subjects["taught"]))
    claim(out, lost)
    for kind, name in KINDS.items():
        for each in answers[kind][:2]:
            text = f"{each['given']} (true: {each['expected']})"
            exchange = Exchange(each["question"], {"": each["given"]}, each["expected"], name)
            out.samples.append(TextSample(f"{name}: {each['question']}", text, exchange))


def report_without_pretraining(
    out: Findings, answers: Mapping[str, list[dict[str, Any]]], others: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Report how a model that was not pretrained answers the same questions, and add the claim."""
    rows: list[Row] = []
    for kind in FACTS:
        subjects = [each["subject"] for each in answers[kind]]
        out.values[f"{kind}.unpretrained"] = proportion([each["right"] for each in others[kind]], subjects)
        gaps = [one["right"] - other["right"] for one, other in zip(answers[kind], others[kind], strict=True)]
        out.gain(f"{kind}.over_unpretrained", paired(gaps, subjects))
        keys = (f"{kind}.right", f"{kind}.unpretrained", f"{kind}.over_unpretrained")
        rows.append([KINDS[kind], str(len(gaps)), *(Cell(key, ".1%") for key in keys)])
    header = ["question type", "number", "pretrained and fine-tuned", "fine-tuned from random weights", "difference"]
    out.table("Answers that name the true value, with and without pretraining", header, rows)
    out.claim("facts-come-from-pretraining")


def separation(answered: Sequence[Mapping[str, Any]]) -> Value:
    """Return how often a right answer has a higher lowest token probability than a wrong one, 0.5 by chance.

    This is the area under the ROC curve, with its bootstrap interval over subjects. It is unknown if all are right, or
    all wrong.
    """
    subjects = sorted({each["subject"] for each in answered})
    rows = [[(each["sure"], each["right"]) for each in answered if each["subject"] == name] for name in subjects]

    def area(drawn: np.ndarray) -> float:
        sure, right = np.array([pair for at in drawn.astype(int) for pair in rows[at]]).T
        gaps = sure[right == 1][:, None] - sure[right == 0]
        return float((np.sign(gaps) + 1).mean() / 2) if gaps.size else 0.5

    if len({right for subject in rows for _, right in subject}) < 2:
        return Value(0.5, 0.0, 1.0)
    everyone = np.arange(len(subjects), dtype=np.float64)
    return Value(area(everyone), *bootstrap_interval(everyone, area, samples=500))


def claim(out: Findings, lost: str) -> None:
    """Add the claims about answers; `lost` tests that rewording lowers accuracy."""
    out.claim("fluent-when-wrong")
    out.claim("knows-what-it-read")
    out.claim("confidence-tells")
    out.claim("sure-when-wrong")
    out.claim("other-words-flip", lost)
    out.claim("negation-is-lost")
    out.claim("negation-is-any-word", near=NEAR)
    out.claim("premises-pass")


def report_traces(out: Findings, traced: Mapping[str, Any]) -> None:
    """Report how often written and held-out sentences occur in the training text, and add the claim."""
    known = [float(number >= 0) for _, _, number in traced["written"]]
    out.values["written.read"] = proportion(known, [story for story, _, _ in traced["written"]])
    held_out = traced["held_out"]
    out.values["held_out.read"] = proportion([read for _, read in held_out], [story for story, _ in held_out])
    rows: list[Row] = [
        ["written by the model", str(len(known)), Cell("written.read", ".1%")],
        ["in held-out stories", str(len(held_out)), Cell("held_out.read", ".1%")],
    ]
    title = "Sentences that occur word for word in the training text"
    out.table(title, ["", "sentences", "fraction in the training text"], rows)
    shown = [[str(sentence), f"text {number:,}"] for _, sentence, number in traced["written"] if number >= 0]
    shown.sort(key=lambda row: -len(row[0]))
    title = "The longest of them, with the first text that contains it"
    out.table(title, ["sentence", "first text with it"], shown[:5])
    out.claim("remembers-sentences")
