"""`experiment ladder-respond`: replies by patterns, by retrieval, by counting, by a model taught to answer.

Asked are facts that stories tell and that no conversation asked for, and requests for a story about somebody. Measured:
whether the reply speaks of whom it was asked about, whether it names the right value, whether its sentences belong to
the grammar of the stories, and whether it is nearer its own question than to others'. `blind.tsv` lays replies out in
random order, without saying whose they are: filled in by a reader, `--ratings` counts it.
"""

from __future__ import annotations

import csv
import io
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm import storyworld
from scratchlm.base.errors import UserError, raise_first
from scratchlm.base.files import write_text
from scratchlm.base.statistics import Comparison, comparison_of, standard_error
from scratchlm.classic.counted import table_bytes
from scratchlm.classic.eliza import Eliza
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.reading import Retrieval, sentences
from scratchlm.lab.experiments.ladder_respond.config import LadderRespondConfig
from scratchlm.lab.harness.methods import Column, Method, Rung, add_ladder
from scratchlm.lab.harness.outcome import Claim, Outcome, Sample, Table
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, storyteller, teach
from scratchlm.lab.shared.proportions import grammatical, names, share
from scratchlm.lab.shared.small_model import Ours
from scratchlm.runs.quickstart.text import Corpus

LONGEST = 40
"""Most tokens of a reply."""
SHEET = "blind.tsv"
COLUMNS = (
    Column("about", "speaks of whom it was asked about", ".1%", interval=True),
    Column("right", "names the right value", ".1%", interval=True),
    Column("matched", "is nearest its own question", ".1%", interval=True),
    Column("fluent", "grammatical", ".1%", interval=True),
)
Make = Callable[[], tuple[Callable[[Sequence[str]], list[str]], int]]
"""Learns; returns what replies, and the bytes of what was learned."""


def files(config: LadderRespondConfig) -> dict[str, Path]:
    """Return what the experiment reads: the stories that the package tells, and a reader's ratings."""
    return {} if config.ratings is None else {"ratings": config.ratings}


def run(config: LadderRespondConfig, steps: Steps, outcome: Outcome) -> None:
    """Climb the ladder, and lay out what is to be read."""
    ours, corpus = storyteller(config, steps)
    cases = prompts(config.tested, config.seed)
    rungs = methods(config, ours, corpus)
    found = {method.key: steps.once(f"rung-{method.key}", partial(_measure, method, cases)) for method in rungs}
    climbed = [_rung(method, found[method.key]) for method in rungs]

    def compare(below: Rung, above: Rung) -> Comparison:
        gaps = np.subtract(found[above.key]["about"], found[below.key]["about"])
        return comparison_of(float(gaps.mean()), standard_error(gaps, [case["about"] for case in cases]))

    add_ladder(outcome, f"{len(cases):,} things said", climbed, COLUMNS, compare, "+.1%")
    claim(outcome, {rung.key: rung for rung in climbed})
    ours.tell(outcome)
    outcome.notes += [
        "grammatical means by the grammar of the stories: patterns answer in sentences of their own, which it lacks",
        "replies of retrieval were written by the teller of the stories: what it says is fluent whatever it is asked",
        "one seed; the model and the counted fives take the likeliest token each time, 40 at most",
    ]
    _samples(outcome, cases, rungs, found)
    laid = sheet(cases, {key: each["given"] for key, each in found.items()}, config.read, config.seed)
    if not (steps.folder / SHEET).exists():  # a reader may have begun to fill it in
        write_text(steps.folder / SHEET, as_table([{k: v for k, v in row.items() if k != "method"} for row in laid]))
    if config.ratings is not None:
        try:
            ratings = read_ratings(config.ratings, laid)
        except UserError as error:
            if config.replay is None:
                raise
            outcome.notes.append(f"what was read blind is left out: {error}")
        else:
            tell_ratings(outcome, laid, ratings, {method.key: method.name for method in rungs})


def prompts(most: int, seed: int) -> list[dict[str, str]]:
    """Return what is said: questions about facts that were read but never asked, and requests for a story."""
    draw = random.Random(f"respond {seed}")
    known = [each for each in storyworld.questions() if each.split == "held-in"]
    found = [
        {"said": each.question, "about": each.subject, "value": each.value}
        for each in draw.sample(known, min(most, len(known)))
    ]
    people = sorted(person.name for person in storyworld.build_world().people if not person.hidden)
    found += [{"said": f"Can you tell me a story about {name}?", "about": name, "value": ""} for name in people[:20]]
    return found


def methods(config: LadderRespondConfig, ours: Ours, corpus: Corpus) -> list[Method[Make]]:
    """Return the rungs, the oldest first."""
    exchanges = [
        (one["content"], other["content"])
        for conversation in corpus.conversations
        for one, other in zip(conversation[::2], conversation[1::2], strict=False)
    ]
    told = sorted({sentence for text in corpus.train for sentence in sentences(text)})

    def patterns() -> tuple[Callable[[Sequence[str]], list[str]], int]:
        eliza = Eliza()
        return (lambda asked: [eliza.respond(text) for text in asked]), 0

    def nearest(said: Sequence[str], replies: Sequence[str]) -> tuple[Callable[[Sequence[str]], list[str]], int]:
        finder = Retrieval(said)
        size = finder.size() + sum(len(text.encode()) for text in {*said, *replies})
        return (lambda asked: [replies[at] if at >= 0 else "" for at in finder.nearest(said, asked)]), size

    return [
        Method("eliza", "patterns, as ELIZA", patterns),
        Method("recall", "the answer to the nearest taught question", partial(nearest, *zip(*exchanges, strict=True))),
        Method("retrieval", "the nearest sentence of the stories", partial(nearest, told, told)),
        Method("ngram", "fives, Kneser-Ney", partial(_counting, ours, corpus)),
        Method("chat", "our model, taught to answer", partial(_chat, config, ours, corpus)),
    ]


def _counting(ours: Ours, corpus: Corpus) -> tuple[Any, int]:
    """Count fives in stories, and in questions with the answer on the next line; reply by going on from a question."""
    tokenizer = ours.tokenizer
    end = tokenizer.end_of_text
    assert end is not None
    texts = [*corpus.train]
    for conversation in corpus.conversations:
        turns = [message["content"] for message in conversation]
        texts += [f"{one}\n{other}" for one, other in zip(turns[::2], turns[1::2], strict=True)]
    rows = [np.array([end, *tokenizer.encode(text), end], np.int64) for text in texts]
    model = KneserNey.fit(rows, tokenizer.vocabulary_size, 5)

    def reply(asked: Sequence[str]) -> list[str]:
        found = []
        for text in asked:
            ids = [end, *tokenizer.encode(text + "\n")]
            begun = len(ids)
            while len(ids) < begun + LONGEST and (ids[-1] != end or len(ids) == begun):
                ids.append(int(model.distribution(ids[-4:]).argmax()))
            found.append(" ".join(tokenizer.decode([id for id in ids[begun:] if id != end]).split()))
        return found

    return reply, table_bytes(model.levels)


def _chat(config: LadderRespondConfig, ours: Ours, corpus: Corpus) -> tuple[Any, int]:
    """Teach our model the conversations."""
    documents = corpus.rehearsal[:300]
    model = teach(ours.pretrained(), corpus.conversations, epochs=config.epochs, seed=config.seed, documents=documents)
    return (lambda asked: answers(model, asked, LONGEST)), 4 * model.decoder.parameter_count()


def _measure(method: Method[Make], cases: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Learn, reply, and judge each reply."""
    started = time.perf_counter()
    reply, size = method.make()
    trained = time.perf_counter()
    said = [case["said"] for case in cases]
    given = reply(said)
    ended = time.perf_counter()
    # Which question is a reply nearest? By the words both share, the question's rare ones counting most.
    nearest = Retrieval(said).nearest(said, given)
    facts = [number for number, case in enumerate(cases) if case["value"]]
    return {
        "given": given,
        "about": [float(names(text, case["about"])) for case, text in zip(cases, given, strict=True)],
        "right": [float(names(given[at], cases[at]["value"])) for at in facts],
        "matched": [float(at == number) for number, at in enumerate(nearest)],
        "fluent": [float(grammatical(text)) for text in given],
        "subjects": {"facts": [cases[at]["about"] for at in facts], "all": [case["about"] for case in cases]},
        "train_seconds": trained - started,
        "item_microseconds": 1e6 * (ended - trained) / len(cases),
        "megabytes": size / 1e6,
    }


def _rung(method: Method[Make], found: Mapping[str, Any]) -> Rung:
    subjects = found["subjects"]
    scores = {c.key: share(found[c.key], subjects["facts" if c.key == "right" else "all"]) for c in COLUMNS}
    return Rung(method.key, method.name, scores, found["train_seconds"], found["item_microseconds"], found["megabytes"])


def claim(outcome: Outcome, by: Mapping[str, Rung]) -> None:
    """Judge what the notes say by these numbers."""

    def apart(above: str, below: str, score: str) -> bool:
        high, low = by[below].scores[score].high, by[above].scores[score].low
        return high is not None and low is not None and low > high

    says = {
        "model-is-right-most": ("Our model names the right value more often than the nearest sentence of the stories",
                                "chat", "retrieval", "right"),
        "model-beats-recall": ("It does so more often than answers that were taught", "chat", "recall", "right"),
        "model-beats-counting": ("and than counted fives", "chat", "ngram", "right"),
        "model-stays-with-the-question": ("It speaks of whom it was asked about more often than patterns do",
                                          "chat", "eliza", "about"),
        "counting-is-less-fluent": ("Its replies are grammatical more often than those of counted fives",
                                    "chat", "ngram", "fluent"),
    }  # fmt: skip
    for key, (text, above, below, score) in says.items():
        outcome.claims[key] = Claim(text, apart(above, below, score))


def _samples(
    outcome: Outcome, cases: Sequence[Mapping[str, str]], rungs: Sequence[Method[Make]], found: Mapping[str, Any]
) -> None:
    for number in (0, 1, 2, len(cases) - 1):
        lines = [f"{method.name}: {found[method.key]['given'][number]}" for method in rungs]
        outcome.samples.append(Sample(cases[number]["said"], "\n".join(lines)))


def sheet(
    cases: Sequence[Mapping[str, str]], given: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[dict[str, str]]:
    """Lay replies to some things said out for a reader: in random order, numbered, with places to fill in."""
    draw = random.Random(f"sheet {seed}")
    rows = []
    for at in sorted(draw.sample(range(len(cases)), min(count, len(cases)))):
        order = draw.sample(sorted(given), len(given))
        rows += [
            {
                "number": "",
                "said": cases[at]["said"],
                "reply": given[key][at],
                "relevant": "",
                "coherent": "",
                "method": key,
            }
            for key in order
        ]
    for number, row in enumerate(rows, 1):
        row["number"] = str(number)
    return rows


def as_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as text with tabs between columns, under a first row of names."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: " ".join(text.split()) for key, text in row.items()} for row in rows)
    return out.getvalue()


def read_ratings(path: Path, laid: Sequence[Mapping[str, str]]) -> list[dict[str, int]]:
    """Read a sheet that was filled in. Raises `UserError` with the rows that are not those laid out, or not 0 or 1."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if len(rows) != len(laid):
        raise UserError(f"{path}: has {len(rows)} rows, the sheet {len(laid)}; fill in the sheet of this very run")
    problems, found = [], []
    for row, expected in zip(rows, laid, strict=True):
        if (row.get("reply") or "").strip() != " ".join(expected["reply"].split()):
            problems.append(f"row {expected['number']}: another reply than that of this run")
        elif not {row.get("relevant"), row.get("coherent")} <= {"0", "1"}:
            problems.append(f"row {expected['number']}: relevant and coherent must each be 0 or 1")
        else:
            found.append({"relevant": int(row["relevant"]), "coherent": int(row["coherent"])})
    raise_first(problems, f"{path}")
    return found


def tell_ratings(
    outcome: Outcome, laid: Sequence[Mapping[str, str]], ratings: Sequence[Mapping[str, int]], names: Mapping[str, str]
) -> None:
    """Tell how readers rated the replies of each method."""
    rows = []
    for key, name in names.items():
        mine = [rating for row, rating in zip(laid, ratings, strict=True) if row["method"] == key]
        for side in ("relevant", "coherent"):
            outcome.values[f"{key}.read_{side}"] = share([float(each[side]) for each in mine])
        shown = [outcome.values[f"{key}.read_{side}"].shown(".1%") for side in ("relevant", "coherent")]
        rows.append([name, str(len(mine)), *shown])
    outcome.tables.append(Table("Read blind", ["", "replies", "relevant", "coherent"], rows))
    low, high = outcome.values["chat.read_relevant"].low, outcome.values["eliza.read_relevant"].high
    says = "Read blind, our model's replies are relevant more often than those of patterns"
    outcome.claims["read-as-relevant"] = Claim(says, low is not None and high is not None and low > high)
