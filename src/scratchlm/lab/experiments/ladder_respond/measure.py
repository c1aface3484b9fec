"""`experiment ladder-respond`: replies of ELIZA's patterns, retrieval, n-grams and a fine-tuned model.

Prompts ask for facts that the stories contain and no training conversation asks for, and for stories about a person. A
reply is scored by four criteria: it mentions the subject, it names the right value, the grammar of the stories accepts
its sentences, and it is nearer to its own prompt than to others. `blind.tsv` lists replies in random order without
their method; `--ratings` counts a sheet that a reader filled in.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm import storyworld
from scratchlm.base.errors import UserError, raise_first
from scratchlm.base.files import write_text
from scratchlm.classic.counted import table_bytes
from scratchlm.classic.eliza import Eliza
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.reading import Retrieval, sentences
from scratchlm.lab.experiments.config import LadderRespondConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import Column, Method, MethodResult, add_comparison, clocked, paired, paired_by
from scratchlm.lab.harness.outcome import TextSample
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import ROWS, answers, fine_tune, storyteller
from scratchlm.lab.shared.proportions import grammatical, names, proportion
from scratchlm.lab.shared.small_model import SmallModel
from scratchlm.tours.quickstart.text import QuickstartText

LONGEST = 40
"""Most tokens of a reply."""
LARGER = 4
"""Factor by which one more model is fine-tuned in larger batches."""
SHEET = "blind.tsv"
SCORES = {"about": "mentions the subject", "right": "names the right value", "matched": "nearest to its own prompt",
          "fluent": "grammatical"}  # fmt: skip
COLUMNS = [Column(key, title, ".1%", interval=True) for key, title in SCORES.items()]
Reply = Callable[[Sequence[str]], list[str]]
Make = Callable[[], tuple[Reply, int]]
"""Function that trains a method; returns a function from prompts to replies, and the size in bytes."""


CLAIMS = (
    ("model-is-right-most", "chat", "retrieval", "right"),
    ("retrieval-is-right-most", "retrieval", "chat", "right"),
    ("model-beats-recall", "chat", "recall", "right"),
    ("model-beats-search", "chat", "answered", "right"),
    ("model-beats-counting", "chat", "ngram", "right"),
    ("model-stays-with-the-question", "chat", "eliza", "about"),
    ("counting-is-less-fluent", "chat", "ngram", "fluent"),
    ("small-batches-help", "chat", "large", "right"),
)  # fmt: skip
"""Claims that the first of two methods has a higher score than the second."""


def run(config: LadderRespondConfig, steps: Steps, out: Findings) -> None:
    """Run and compare all methods, and write the sheet for blind rating, of the first seed."""
    small, corpus = storyteller(config, steps)
    cases = prompts(config.tested, config.seed)
    chosen = methods(config, small, corpus)
    measured = {method.key: steps.once(f"method-{method.key}", _measure, method, cases) for method in chosen}
    results = [_result(method, measured[method.key]) for method in chosen]
    compare = paired_by({key: each["about"] for key, each in measured.items()}, [case["about"] for case in cases])
    add_comparison(out, f"{len(cases):,} prompts", results, COLUMNS, compare, "+.1%")
    rows = {method.name: f"{method.key}.right" for method in chosen}
    out.dots("Replies that name the right value", SCORES["right"], rows)
    claim(out, measured)
    small.report(out)
    out.notes += [
        "grammatical means accepted by the grammar of the stories, which lacks some of ELIZA's sentences",
        "replies of retrieval come from the stories, so they are grammatical whatever the prompt",
        "the model and the 5-grams decode greedily, 40 tokens at most",
    ]
    for number in (0, 1, 2, len(cases) - 1):
        replies = {method.name: measured[method.key]["given"][number] for method in chosen}
        out.samples.append(TextSample.asked(cases[number]["said"], replies))
    if steps is steps.shared:
        read = [method for method in chosen if method.key not in ("echo", "answered", "large")]
        laid = sheet(cases, {method.key: measured[method.key]["given"] for method in read}, config.read, config.seed)
        rate(config, steps, out, laid, {method.key: method.name for method in read})


def rate(
    config: LadderRespondConfig,
    steps: Steps,
    out: Findings,
    laid: Sequence[Mapping[str, str]],
    names: Mapping[str, str],
) -> None:
    """Write the sheet for blind rating, and report the ratings if a reader gave them."""
    if not (steps.folder / SHEET).exists():  # a reader may have begun to fill it in
        write_text(steps.folder / SHEET, as_table([{k: v for k, v in row.items() if k != "method"} for row in laid]))
    if config.ratings is None:
        return
    try:
        ratings = read_ratings(config.ratings, laid)
    except UserError as error:
        if config.replay is None:
            raise
        out.notes.append(f"the blind ratings are left out: {error}")
    else:
        report_ratings(out, laid, ratings, names)


def prompts(most: int, seed: int) -> list[dict[str, str]]:
    """Return the prompts: questions about facts in the stories but in no training conversation, and story requests."""
    draw = random.Random(f"respond {seed}")
    known = [each for each in storyworld.questions() if each.split == "held-in"]
    drawn = draw.sample(known, min(most, len(known)))
    cases = [{"said": each.question, "about": each.subject, "value": each.value} for each in drawn]
    people = sorted(person.name for person in storyworld.build_world().people if not person.hidden)
    cases += [{"said": f"Can you tell me a story about {name}?", "about": name, "value": ""} for name in people[:20]]
    return cases


def exchanges_of(corpus: QuickstartText) -> list[tuple[str, str]]:
    """Return the exchanges of the training conversations: each message of a user, with the reply."""
    turns = [[message["content"] for message in conversation] for conversation in corpus.conversations]
    return [pair for texts in turns for pair in zip(texts[::2], texts[1::2], strict=True)]


def methods(config: LadderRespondConfig, small: SmallModel, corpus: QuickstartText) -> list[Method[Make]]:
    """Return the methods, the oldest first."""
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

    return [
        Method("echo", "the prompt repeated (baseline)", lambda: (list, 0)),
        Method("eliza", "ELIZA's patterns", patterns),
        Method("recall", "answer to the nearest training question", partial(nearest, *zip(*exchanges, strict=True))),
        Method("answered", "nearest sentence of the training answers", partial(nearest, answered, answered)),
        Method("retrieval", "nearest sentence of the stories", partial(nearest, lines, lines)),
        Method("ngram", "5-grams, Kneser-Ney", partial(_ngram, small, corpus)),
        Method("chat", "small model, fine-tuned to answer", partial(_chat, config, small, corpus)),
        Method(
            "large",
            f"fine-tuned model, in batches {LARGER} times as large",
            partial(_chat, config, small, corpus, LARGER),
        ),
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


def _chat(config: LadderRespondConfig, small: SmallModel, corpus: QuickstartText, larger: int = 1) -> tuple[Reply, int]:
    """Fine-tune the small model on the conversations, in batches `larger` times as large as usual."""
    conversations, documents = corpus.conversations, corpus.rehearsal[:300]
    model = fine_tune(
        small.pretrained(),
        conversations,
        epochs=config.epochs,
        seed=config.seed,
        documents=documents,
        rows=larger * ROWS,
    )
    return (lambda prompts: answers(model, prompts, LONGEST)), 4 * model.decoder.parameter_count()


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
        "subjects": {"facts": [cases[at]["about"] for at in facts], "all": [case["about"] for case in cases]},
        **costs,
    }


def _result(method: Method[Make], measured: Mapping[str, Any]) -> MethodResult:
    subjects = measured["subjects"]
    scores = {c.key: proportion(measured[c.key], subjects["facts" if c.key == "right" else "all"]) for c in COLUMNS}
    return method.result(scores, measured)


def sheet(
    cases: Sequence[Mapping[str, str]], replies: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[dict[str, str]]:
    """Return the rows of the rating sheet: replies to some prompts in random order, with empty rating columns."""
    draw = random.Random(f"sheet {seed}")
    rows: list[dict[str, str]] = []
    for at in sorted(draw.sample(range(len(cases)), min(count, len(cases)))):
        order = draw.sample(sorted(replies), len(replies))
        for key in order:
            row = {"number": str(len(rows) + 1), "said": cases[at]["said"], "reply": replies[key][at]}
            rows.append({**row, "relevant": "", "coherent": "", "method": key})
    return rows


def as_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as tab-separated text with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: " ".join(text.split()) for key, text in row.items()} for row in rows)
    return out.getvalue()


def read_ratings(path: Path, laid: Sequence[Mapping[str, str]]) -> list[dict[str, int]]:
    """Read a filled-in sheet. Raises `UserError` with rows that differ from the sheet or are not rated 0 or 1."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if len(rows) != len(laid):
        raise UserError(f"{path}: has {len(rows)} rows, the sheet {len(laid)}; fill in the sheet of this run")
    problems, ratings = [], []
    for row, expected in zip(rows, laid, strict=True):
        if (row.get("reply") or "").strip() != " ".join(expected["reply"].split()):
            problems.append(f"row {expected['number']}: its reply is not from this run")
        elif not {row.get("relevant"), row.get("coherent")} <= {"0", "1"}:
            problems.append(f"row {expected['number']}: relevant and coherent must each be 0 or 1")
        else:
            ratings.append({"relevant": int(row["relevant"]), "coherent": int(row["coherent"])})
    raise_first(problems, f"{path}")
    return ratings


def claim(out: Findings, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the claims, from scores of the same prompts."""
    for key, more, less, score in CLAIMS:
        subjects = results[more]["subjects"]["facts" if score == "right" else "all"]
        compared = paired(np.subtract(results[more][score], results[less][score]), subjects)
        out.claim(key, out.gain(f"{more}.{score}.over.{less}", compared), larger=LARGER)


def report_ratings(
    out: Findings, laid: Sequence[Mapping[str, str]], ratings: Sequence[Mapping[str, int]], names: Mapping[str, str]
) -> None:
    """Report the ratings of each method's replies, and add the claim."""
    rows: list[Row] = []
    for key, name in names.items():
        mine = [rating for row, rating in zip(laid, ratings, strict=True) if row["method"] == key]
        for side in ("relevant", "coherent"):
            out.values[f"{key}.read_{side}"] = proportion([float(each[side]) for each in mine])
        rows.append([name, str(len(mine)), Cell(f"{key}.read_relevant", ".1%"), Cell(f"{key}.read_coherent", ".1%")])
    out.table("Blind ratings, of the first seed's replies", ["", "replies", "relevant", "coherent"], rows)
    out.claim("read-as-relevant")
