"""`experiment limits`: the same model, fluent and wrong.

It has read stories and was taught to answer. It is asked what no story tells, what it knows in words it was not taught,
with a `not` in the question, and with a premise that is false; and what it writes by itself is traced to what it read.
Fluent means that the grammar of the stories accepts the sentence. Nothing here taught it to say that it does not know.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.experiments.limits.config import LimitsConfig
from scratchlm.lab.harness.outcome import Claim, Outcome, Sample, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, asked, storyteller, teach
from scratchlm.lab.shared.proportions import grammatical, mean_of, names, share
from scratchlm.runs.quickstart.text import Corpus
from scratchlm.storyworld.quiz import held_out_phrasings, phrasings, statement, taught_facts
from scratchlm.storyworld.world import Fact

LONGEST = 24
"""Most tokens of an answer."""
PREMISES: Mapping[str, str] = {
    "town": "Why does {subject} live in {value}?",
    "pet": "Why does {subject} have a pet {value}?",
    "job": "Why is {subject} a {value}?",
    "food": "Why is {value} the favourite food of {subject}?",
}
"""Questions that take for granted what is false, by the kind of fact."""
DOUBT = re.compile(r"\b(?:not|no|never|know nothing|sorry|nobody|unknown)\b", re.IGNORECASE)
KINDS = {
    "taught": "taught facts, in taught words",
    "reworded": "the same facts, in other words",
    "negated": "the same facts, with `not` in the question",
    "read": "facts that stories tell, never asked before",
    "untold": "facts that no story tells",
    "premise": "a false premise about a fact that stories tell",
}


def files(config: LimitsConfig) -> dict[str, Path]:
    """Return what the experiment reads: nothing but the stories that the package tells."""
    return {}


def run(config: LimitsConfig, steps: Steps, outcome: Outcome) -> None:
    """Teach, ask, and trace."""
    ours, corpus = storyteller(config, steps)

    def work() -> dict[str, Any]:
        conversations = storyworld.conversations(config.seed)
        model = teach(
            ours.pretrained(), conversations, epochs=config.epochs, seed=config.seed, documents=corpus.rehearsal[:300]
        )
        found = {kind: _ask(model, cases) for kind, cases in questions(config.tested, config.seed).items()}
        return {**found, "written": _write(LanguageModel(ours.pretrained()), config)}

    found = steps.once("asked", work)
    traced = steps.once("traced", partial(trace, found["written"], corpus))
    tell(outcome, found)
    tell_traces(outcome, traced)
    outcome.notes += [
        "one model, one seed",
        "to name the true value is right, but where the question has a `not` in it",
        "errors are those of the people and places asked about, or of stories",
        "stories are told by a grammar, so a new one repeats sentences by chance: the share of held-out stories' "
        "sentences that were read stands beside that of the model's",
    ]


Case = dict[str, str]


def questions(most: int, seed: int) -> dict[str, list[Case]]:
    """Return at most `most` questions of each kind, with the true value and, where a false one is planted, that."""
    draw = random.Random(f"limits {seed}")
    world = storyworld.build_world()
    taught = [fact for fact in taught_facts(world) if any(f"does {fact.subject} " in q for q in phrasings(fact))]
    taught = draw.sample(taught, min(most, len(taught)))
    known = [each for each in storyworld.questions() if each.split == "held-in"]
    untold = [each for each in storyworld.questions() if each.split == "held-out"]
    found: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for fact in taught:
        plain = next(text for text in phrasings(fact) if f"does {fact.subject} " in text)
        found["taught"].append(_case(plain, fact))
        found["reworded"].append(_case(draw.choice(held_out_phrasings(fact)), fact))
        found["negated"].append(_case(plain.replace(f"does {fact.subject} ", f"does {fact.subject} not "), fact))
    for kind, chosen in (("read", known), ("untold", untold)):
        for each in draw.sample(chosen, min(most, len(chosen))):
            case = {"question": each.question, "value": each.value, "expected": each.expected}
            found[kind].append({**case, "subject": each.subject})
    told = [fact for fact in world.facts() if fact.in_stories and fact.attribute in PREMISES]
    values = {key: sorted({fact.value for fact in world.facts() if fact.attribute == key}) for key in PREMISES}
    for fact in draw.sample(told, min(most, len(told))):
        false = draw.choice([value for value in values[fact.attribute] if value != fact.value])
        question = PREMISES[fact.attribute].format(subject=fact.subject, value=false)
        found["premise"].append({**_case(question, fact), "false": false})
    return found


def _case(question: str, fact: Fact) -> Case:
    return {"question": question, "value": fact.value, "expected": statement(fact), "subject": fact.subject}


def _ask(model: LanguageModel, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Answer each question; tell whether the answer is right, fluent, in doubt, and how likely the model found it."""
    given = answers(model, [case["question"] for case in cases], LONGEST)
    sure = [_sureness(model, case["question"], text) for case, text in zip(cases, given, strict=True)]
    return [
        {
            **case,
            "given": text,
            "right": float(names(text, case["value"])),
            "fluent": float(grammatical(text)),
            "doubt": float(bool(DOUBT.search(text))),
            "echo": float("false" in case and names(text, case["false"])),
            "sure": round(likely, 9),
        }
        for case, text, likely in zip(cases, given, sure, strict=True)
    ]


@torch.no_grad()
def _sureness(model: LanguageModel, question: str, answer: str) -> float:
    """Return the probability of the token of its answer that the model was least sure of: mostly that of the value."""
    template = model.saved.template
    assert template is not None
    rendered = template.render(asked(question, answer))
    ids = torch.tensor([rendered.ids])
    logits = model.decoder(ids[:, :-1]).float().log_softmax(-1)
    chosen = logits.gather(-1, ids[:, 1:, None]).squeeze()[torch.tensor(rendered.mask[1:])]
    return math.exp(float(chosen.min())) if len(chosen) else 0.0


def _write(model: LanguageModel, config: LimitsConfig) -> list[list[Any]]:
    """Let the model tell stories until there are enough whole sentences; tell of each sentence its story's number."""
    found: list[list[Any]] = []
    for number in range(4 * config.sampled):
        text = model.generate("", max_tokens=160, temperature=1.0, min_p=0.0, seed=config.seed + number)
        found += [[number, sentence] for sentence in storyworld.sentences(text)[:-1]]
        if len(found) >= config.sampled:
            return found[: config.sampled]
    raise UserError(f"--sampled {config.sampled}: the model wrote {len(found)} whole sentences; train it for longer")


def trace(written: Sequence[Sequence[Any]], corpus: Corpus) -> dict[str, Any]:
    """Look each sentence up in what was read; the number of the first text that holds it, -1 for none."""
    first: dict[str, int] = {}
    for number, text in enumerate(corpus.train):
        for sentence in storyworld.sentences(text):
            first.setdefault(sentence, number)
    held_out = [[at, sentence] for at, text in enumerate(corpus.held_out) for sentence in storyworld.sentences(text)]
    return {
        "written": [[story, sentence, first.get(sentence, -1)] for story, sentence in written],
        "held_out": [[story, float(sentence in first)] for story, sentence in held_out],
    }


def tell(outcome: Outcome, found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Tell how each kind of question was answered."""
    rows = []
    subjects = {kind: [each["subject"] for each in found[kind]] for kind in KINDS}
    for kind, name in KINDS.items():
        for measure in ("right", "fluent", "doubt"):
            outcome.values[f"{kind}.{measure}"] = share([each[measure] for each in found[kind]], subjects[kind])
        sure = [each["sure"] for each in found[kind]]
        outcome.values[f"{kind}.sure"] = mean_of(sure, subjects[kind])
        cells = [outcome.values[f"{kind}.{measure}"].shown(".1%") for measure in ("right", "fluent", "doubt")]
        rows.append([name, str(len(found[kind])), *cells, outcome.values[f"{kind}.sure"].shown(".2f")])
    outcome.values["premise.echo"] = share([each["echo"] for each in found["premise"]], subjects["premise"])
    header = ["asked", "questions", "names the true value", "fluent", "in doubt", "least sure token"]
    outcome.tables.append(Table("Answers by what was asked", header, rows))
    pairs = list(zip(found["taught"], found["reworded"], found["negated"], strict=True))
    flipped = [float(other["right"] == 0) for one, other, _ in pairs if one["right"]]
    same = [float(one["given"] == negated["given"]) for one, _, negated in pairs]
    if flipped:
        outcome.values["flipped"] = share(flipped)
    outcome.values["negation_ignored"] = share(same, subjects["taught"])
    falls = np.array([one["right"] - other["right"] for one, other, _ in pairs])
    lost = comparison_of(float(falls.mean()), standard_error(falls, subjects["taught"]))
    outcome.values["reworded.loss"] = Value(lost.difference, *lost.interval)
    outcome.claims |= {
        "knows-what-it-read": Claim(
            "It answers what it read more often than what no story tells",
            (outcome.values["read.right"].low or 0) > (outcome.values["untold.right"].high or 1),
        ),
        "fluent-when-wrong": Claim(
            "Of what no story tells most answers are fluent, and none is in doubt",
            (outcome.values["untold.fluent"].low or 0) > 0.5 and outcome.values["untold.doubt"].value == 0,
        ),
        "sure-when-wrong": Claim(
            "Of what no story tells even its least sure token has more than one half, on average",
            (outcome.values["untold.sure"].low or 0) > 0.5,
        ),
        "other-words-flip": Claim("In other words it is right less often about the same facts", lost.interval.low > 0),
        "negation-is-lost": Claim(
            "With a `not` in the question most answers stay the same",
            (outcome.values["negation_ignored"].low or 0) > 0.5,
        ),
        "premises-pass": Claim("No false premise is called into doubt", outcome.values["premise.doubt"].value == 0),
    }
    for kind, name in KINDS.items():
        for each in found[kind][:2]:
            told = f"{each['given']} (true: {each['expected']})"
            outcome.samples.append(Sample(f"{name}: {each['question']}", told))


def tell_traces(outcome: Outcome, traced: Mapping[str, Any]) -> None:
    """Tell how often sentences that were written stand in the training text, beside held-out ones."""
    known = [float(number >= 0) for _, _, number in traced["written"]]
    mine = share(known, [story for story, _, _ in traced["written"]])
    others = share([read for _, read in traced["held_out"]], [story for story, _ in traced["held_out"]])
    outcome.values |= {"written.read": mine, "held_out.read": others}
    rows = [
        ["written by the model", str(len(known)), mine.shown(".1%")],
        ["in held-out stories", str(len(traced["held_out"])), others.shown(".1%")],
    ]
    outcome.tables.append(
        Table("Sentences that stand word for word in what was read", ["", "sentences", "share"], rows)
    )
    shown = [[str(sentence), f"text {number:,}"] for _, sentence, number in traced["written"] if number >= 0]
    shown.sort(key=lambda row: -len(row[0]))
    title = "The longest of them, with the first text that holds it"
    outcome.tables.append(Table(title, ["sentence", "where"], shown[:5]))
    outcome.claims["remembers-sentences"] = Claim(
        "It writes sentences it read word for word more often than a new story holds such",
        (mine.low or 0) > (others.high or 1),
    )
