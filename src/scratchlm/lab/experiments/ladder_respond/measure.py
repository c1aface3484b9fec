"""`experiment ladder-respond`: replies of ELIZA's patterns, retrieval, n-grams and a fine-tuned model.

Prompts ask for facts that the stories contain and no training conversation asks for, and for stories about a person. A
reply is scored by five criteria: it mentions the subject, it names the right value, the grammar of the stories accepts
its sentences, none of them stands in it twice, and it is nearer to its own prompt than to others.

The model is fine-tuned from pretrained weights and from random ones. Each start has the batch and the rate that were
best on half of the facts; the other half is scored.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from scratchlm import storyworld
from scratchlm.classic.counted import table_bytes
from scratchlm.classic.eliza import Eliza
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.reading import Retrieval, sentences
from scratchlm.lab.experiments.config import LadderRespondConfig
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, Method, MethodResult, add_comparison, clocked, paired, paired_by
from scratchlm.lab.harness.outcome import TextSample
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, storyteller
from scratchlm.lab.shared.proportions import grammatical, names, proportion
from scratchlm.lab.shared.small_model import SmallModel
from scratchlm.lab.shared.teaching import (
    BATCHES,
    BatchAndRate,
    best_setting,
    halves,
    report_tried,
    taught,
    tried_settings,
)
from scratchlm.tours.quickstart.text import QuickstartText

LONGEST = 40
"""Most tokens of a reply."""
LONGER = 2.0
"""Factor of the epochs of one more model from random weights."""
SCORES = {"about": "mentions the subject", "right": "names the right value", "matched": "nearest to its own prompt",
          "fluent": "grammatical", "once": "repeats no sentence"}  # fmt: skip
COLUMNS = [Column(key, title, ".1%", interval=True) for key, title in SCORES.items()]
Reply = Callable[[Sequence[str]], list[str]]
Make = Callable[[], tuple[Reply, int]]
"""Function that trains a method; returns a function from prompts to replies, and the size in bytes."""


CLAIMS = (
    ("model-is-right-most", "chat", "retrieval", "right"),
    ("pretraining-teaches-facts", "chat", "random", "right"),
    ("pretraining-is-more-than-training", "chat", "longer", "right"),
    ("model-beats-recall", "chat", "recall", "right"),
    ("model-beats-search", "chat", "answered", "right"),
    ("model-beats-counting", "chat", "ngram", "right"),
    ("model-stays-with-the-question", "chat", "eliza", "about"),
    ("counting-is-less-fluent", "chat", "ngram", "fluent"),
    ("counting-repeats-itself", "chat", "ngram", "once"),
    ("batches-matter", "chat", "other", "right"),
)
"""Claims that the first of two methods has a higher score than the second."""


def run(config: LadderRespondConfig, steps: Steps, out: Findings) -> None:
    """Run and compare all methods."""
    small, corpus = storyteller(config, steps)
    tried = tried_settings(small, corpus, config, config.rates, steps)
    cases = prompts(config.tested, config.seed)
    chosen = methods(config, small, corpus, tried)
    measured = {method.key: steps.once(f"method-{method.key}", _measure, method, cases) for method in chosen}
    results = [_result(method, measured[method.key]) for method in chosen]
    compare = paired_by({key: each["about"] for key, each in measured.items()}, [case["about"] for case in cases])
    add_comparison(out, f"{len(cases):,} prompts", results, COLUMNS, compare, "+.1%")
    report_tried(out, tried)
    rows = {method.name: f"{method.key}.right" for method in chosen}
    out.dots("Replies that name the right value", SCORES["right"], rows)
    claim(out, measured)
    small.report(out)
    out.notes += [
        "grammatical means accepted by the grammar of the stories, which lacks some of ELIZA's sentences",
        "replies of retrieval come from the stories, so they are grammatical whatever the prompt",
        "the model and the 5-grams decode greedily, 40 tokens at most",
        f"settings are chosen on {len(halves()[0])} facts; the prompts ask for those of other people and places",
        "300 stories are read again between the conversations, from random weights too",
    ]
    for number in (0, 1, 2, len(cases) - 1):
        replies = {method.name: measured[method.key]["given"][number] for method in chosen}
        out.samples.append(TextSample.asked(cases[number]["said"], replies))


def prompts(most: int, seed: int) -> list[dict[str, str]]:
    """Return the prompts: questions about facts in the stories but in no training conversation, and story requests."""
    draw, facts = random.Random(f"respond {seed}"), halves()[1]
    drawn = draw.sample(facts, min(most, len(facts)))
    cases = [{"said": each.question, "about": each.subject, "value": each.value} for each in drawn]
    people = sorted(person.name for person in storyworld.build_world().people if not person.hidden)
    cases += [{"said": f"Can you tell me a story about {name}?", "about": name, "value": ""} for name in people[:20]]
    return cases


def exchanges_of(corpus: QuickstartText) -> list[tuple[str, str]]:
    """Return the exchanges of the training conversations: each message of a user, with the reply."""
    turns = [[message["content"] for message in conversation] for conversation in corpus.conversations]
    return [pair for texts in turns for pair in zip(texts[::2], texts[1::2], strict=True)]


def methods(
    config: LadderRespondConfig, small: SmallModel, corpus: QuickstartText, tried: Mapping[str, Any]
) -> list[Method[Make]]:
    """Return the methods, the oldest first."""
    best, alone = best_setting(tried["pretrained"]), best_setting(tried["random"])
    other = best_setting(tried["pretrained"], [rows for rows in BATCHES if rows != best.rows])
    exchanges = exchanges_of(corpus)
    lines = sorted({sentence for text in corpus.train for sentence in sentences(text)})
    answered = sorted({sentence for _, reply in exchanges for sentence in sentences(reply)})

    def patterns() -> tuple[Reply, int]:
        eliza = Eliza()
        return (lambda prompts: [eliza.respond(text) for text in prompts]), 0

    def nearest(said: Sequence[str], replies: Sequence[str]) -> tuple[Reply, int]:
        finder = Retrieval(said)
        size = finder.size() + sum(len(text.encode()) for text in {*said, *replies})
        return (lambda prompts: [replies[at] if at >= 0 else "" for at in finder.nearest(said, prompts)]), size

    def model(start: str, setting: BatchAndRate, passes: float = 1.0) -> Make:
        def make() -> tuple[Reply, int]:
            trained = taught(small, corpus, config, start, setting, passes)
            return (lambda prompts: answers(trained, prompts, LONGEST)), 4 * trained.decoder.parameter_count()

        return make

    return [
        Method("echo", "the prompt repeated (baseline)", lambda: (list, 0)),
        Method("eliza", "ELIZA's patterns", patterns),
        Method("recall", "answer to the nearest training question", partial(nearest, *zip(*exchanges, strict=True))),
        Method("answered", "nearest sentence of the training answers", partial(nearest, answered, answered)),
        Method("retrieval", "nearest sentence of the stories", partial(nearest, lines, lines)),
        Method("ngram", "5-grams, Kneser-Ney", partial(_ngram, small, corpus)),
        Method("random", "small model from random weights, fine-tuned to answer", model("random", alone)),
        Method("longer", f"the same for {LONGER:g} times as many epochs", model("random", alone, LONGER)),
        Method("chat", "small model, pretrained and fine-tuned to answer", model("pretrained", best)),
        Method("other", f"the same in batches of {other.rows} rows instead of {best.rows}", model("pretrained", other)),
    ]


def _ngram(small: SmallModel, corpus: QuickstartText) -> tuple[Reply, int]:
    """Count 5-grams in stories and in questions followed by their answers; reply by continuing the question."""
    tokenizer = small.tokenizer
    end = tokenizer.end_of_text
    assert end is not None
    texts = [*corpus.train, *(f"{said}\n{reply}" for said, reply in exchanges_of(corpus))]
    rows = [np.array([end, *tokenizer.encode(text), end], np.int64) for text in texts]
    model = KneserNey.fit(rows, tokenizer.vocabulary_size, 5)

    def reply(prompts: Sequence[str]) -> list[str]:
        replies = []
        for text in prompts:
            ids = [end, *tokenizer.encode(text + "\n")]
            begun = len(ids)
            while len(ids) < begun + LONGEST and (ids[-1] != end or len(ids) == begun):
                ids.append(int(model.distribution(ids[-4:]).argmax()))
            replies.append(" ".join(tokenizer.decode([id for id in ids[begun:] if id != end]).split()))
        return replies

    return reply, table_bytes(model.levels)


def _measure(method: Method[Make], cases: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Train a method, let it reply, and score each reply."""
    said = [case["said"] for case in cases]
    _, replies, costs = clocked(method.make, lambda made: made[0](said), lambda made: made[1])
    # The prompt nearest to a reply, by TF-IDF similarity of shared words.
    nearest = Retrieval(said).nearest(said, replies)
    facts = [number for number, case in enumerate(cases) if case["value"]]
    return {
        "given": replies,
        "about": [float(names(text, case["about"])) for case, text in zip(cases, replies, strict=True)],
        "right": [float(names(replies[at], cases[at]["value"])) for at in facts],
        "matched": [float(at == number) for number, at in enumerate(nearest)],
        "fluent": [float(grammatical(text)) for text in replies],
        "once": [float(len(said := sentences(text)) == len(set(said))) for text in replies],
        "subjects": {"facts": [cases[at]["about"] for at in facts], "all": [case["about"] for case in cases]},
        **costs,
    }


def _result(method: Method[Make], measured: Mapping[str, Any]) -> MethodResult:
    subjects = measured["subjects"]
    scores = {c.key: proportion(measured[c.key], subjects["facts" if c.key == "right" else "all"]) for c in COLUMNS}
    return method.result(scores, measured)


def claim(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the claims, from scores of the same prompts."""
    for key, more, less, score in CLAIMS:
        subjects = results[more]["subjects"]["facts" if score == "right" else "all"]
        compared = paired(np.subtract(results[more][score], results[less][score]), subjects)
        out.claim(key, out.gain(f"{more}.{score}.over.{less}", compared), longer=LONGER)
