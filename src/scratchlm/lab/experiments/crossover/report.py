"""Tables, figures and claims of `experiment crossover`, from the scores of each model on each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.lab.experiments.config import CrossoverConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.verdicts import above
from scratchlm.lab.shared.binary_scores import average_precision
from scratchlm.lab.shared.proportions import mean_of, proportion
from scratchlm.lab.shared.task_set import TaughtTask, verb_of

SHOTS = 4
"""Examples of a few-shot prompt."""
WAYS = {"zero": "zero-shot", "few": f"{SHOTS} examples in the prompt", "tuned": "fine-tuned"}
EARLIER = {
    "spam": "linear SVM on words and characters",
    "understand": "question-word rules",
    "respond": "nearest sentence of the stories",
    "translate": "phrase-based translation",
    "rewrite": "training verbs looked up, else -ed",
    "grammar": "5-grams, Kneser-Ney",
}
"""The earlier method of each task that is chosen as rival."""
PUBLISHED = "published"
UNREAD = ("respond",)
"""Tasks about facts that a published model never read. It could only guess, so it is not asked."""


@dataclass(frozen=True)
class CrossoverTask:
    """A task of this experiment, with the answers that a classifier chooses from."""

    task: TaughtTask
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Scored:
    """What was measured of one task."""

    key: str
    title: str
    measure: str
    sizes: Mapping[str, int]
    """Parameters of each model."""
    answers: Mapping[str, Mapping[str, Any]]
    """What each model gave, by way, and what the earlier method gave, by the name of the model or "earlier"."""
    clusters: Sequence[str] | None
    task: TaughtTask | None
    """None for grammar, which is no task to learn."""

    @property
    def ways(self) -> dict[str, str]:
        """The ways in which the models were asked."""
        return {way: shown for way, shown in WAYS.items() if way in self.answers[next(iter(self.sizes))]}

    @property
    def best(self) -> str:
        """The way that the claims are about: fine-tuned, where that is possible."""
        return list(self.ways)[-1]

    def scores(self, model: str, way: str) -> np.ndarray:
        """Return the score of each test case."""
        return np.array(self.answers[model][way]["scores"])

    @property
    def earlier(self) -> np.ndarray:
        """The scores of the earlier method."""
        return np.array(self.answers["earlier"]["scores"])


def report(
    out: Findings,
    questions: Mapping[str, CrossoverTask],
    scores: Mapping[str, Mapping[str, Any]],
    sizes: Mapping[str, int],
    config: CrossoverConfig,
    grammar: Sequence[str],
) -> None:
    """Report the score of each size on each task beside the earlier method, and add the claims.

    `grammar` is the set of each pair of sentences, which vary together.
    """
    out.values |= {f"parameters.{size}": Value(count) for size, count in sizes.items()}
    for key in EARLIER:
        task = questions[key].task if key in questions else None
        asked = {name: count for name, count in sizes.items() if f"{key}.{name}" in scores}
        of_task = {name: scores[f"{key}.{name}"] for name in (*asked, "earlier")}
        likelier = "pairs in which the grammatical sentence is likelier"
        name, measure = ("grammar", likelier) if task is None else (task.name, task.measure)
        clusters = grammar if task is None else task.clusters
        scored = Scored(key, name, measure, asked, of_task, clusters, task)
        report_task(out, scored)
        report_ranking(out, scored)
        report_unseen(out, scored)
        ours = [str(depth) for depth in config.depths]
        claim_ours(out, scored, ours)
        if PUBLISHED in asked:
            claim_published(out, scored)
        if task is not None:
            question, right = task.tested[0]
            answers = {EARLIER[key]: of_task["earlier"]["given"][0]}
            answers |= {_named(size, sizes): of_task[size]["tuned"]["given"][0] for size in asked}
            out.samples.append(TextSample.asked(question, answers, right))
    out.notes += [
        f"our models read equal text, in {config.pretraining_steps:,} steps; they learn each task in at least "
        f"{config.fewest_steps:,} steps from at most {config.cases:,} cases",
        "of the earlier methods the SVM and the phrases learn from the same cases; the table of verbs holds every verb "
        "that may be in training; rules and retrieval learn from no case, and the 5-grams from the pretraining text",
        "spam is learned from as many messages of each class as there are, and tested on as many of each",
        "each seed draws its own test messages, facts and verbs; differences are taken on the same cases",
        "the published model differs in text and training too, not only in size; each seed draws other examples for "
        "its prompt, and another start of its adapter",
        "rules and retrieval read whole passages and stories, the SVM whole messages, of which models see 200 "
        "characters; few-shot prompts that exceed the context of 256 tokens are cut at their beginning",
        "the phrases search with a beam and are tuned for chrF; the models decode greedily",
    ]


def report_task(out: Findings, scored: Scored) -> None:
    """Report the scores of one task in a table and a figure, with the earlier method and a trivial one."""
    key, ways, sizes, name = scored.key, scored.ways, scored.sizes, EARLIER[scored.key]
    out.values[f"{key}.earlier"] = _score(scored.earlier, scored.clusters)
    for size in sizes:
        for way in ways:
            scores = scored.scores(size, way)
            out.values[f"{key}.{size}.{way}"] = _score(scores, scored.clusters)
            out.gain(f"{key}.{size}.{way}.over_earlier", paired(scores - scored.earlier, scored.clusters))
    blank = [""] * (len(ways) - 1)
    rows: list[Row] = [[_named(size, sizes), *(Cell(f"{key}.{size}.{way}") for way in ways)] for size in sizes]
    rows.append([f"earlier method: {name}", *blank, Cell(f"{key}.earlier")])
    if scored.task is not None:
        trivial = [scored.task.score(scored.task.trivial(asked), right) for asked, right in scored.task.tested]
        out.values[f"{key}.trivial"] = _score(np.array(trivial), scored.clusters)
        rows.append(["trivial baseline", *blank, Cell(f"{key}.trivial")])
    out.table(f"{scored.title}: {scored.measure}", ["model", *ways.values()], rows)
    ours = [size for size in sizes if size != PUBLISHED]

    def line(models: Sequence[str], way: str) -> tuple[list[int], list[str]]:
        return [sizes[model] for model in models], [f"{key}.{model}.{way}" for model in models]

    lines = {shown: line(ours, way) for way, shown in ways.items()}
    if PUBLISHED in sizes:  # points of their own: no line leads from our models to another text and training
        lines |= {f"published, {shown}": line([PUBLISHED], way) for way, shown in ways.items()}
    places = list(sizes.values())
    lines[name] = (places, [f"{key}.earlier"] * len(places))
    out.curves(
        f"{scored.title}, by the size of the model", "parameters", scored.measure, lines, logarithmic=True,
        levels={"trivial": f"{key}.trivial" if scored.task is not None else 0.5},
    )  # fmt: skip


def report_stories(out: Findings, stories: Mapping[str, Sequence[float]], sizes: Mapping[str, int]) -> None:
    """Report the bits per byte of each model on held-out stories, the text that ours were made for."""
    for size, bits in stories.items():
        out.values[f"stories.{size}"] = mean_of(bits)
    rows: list[Row] = [[_named(size, sizes), Cell(f"stories.{size}")] for size in stories]
    out.table("Bits per byte on stories that none has read", ["model", "bits per byte"], rows)
    if PUBLISHED in stories:
        smallest = next(iter(stories))
        gaps = [one - other for one, other in zip(stories[PUBLISHED], stories[smallest], strict=True)]
        out.gain("stories.custom", paired(gaps))
        out.claim("custom-beats-general", smallest=f"{sizes[smallest] / 1e6:.2g}")


def report_ranking(out: Findings, scored: Scored) -> None:
    """Report the average precision of a task of two classes, which needs no threshold."""
    if scored.task is None or scored.task.ranked is None:
        return
    key = scored.key
    truth = np.array([int(right == "spam") for _, right in scored.task.tested])
    rows: list[Row] = []
    for name in scored.sizes:
        for way in scored.ways:
            ranks = np.array(scored.answers[name][way]["ranks"])
            out.values[f"{key}.{name}.{way}.ranking"] = average_precision(truth, ranks)
        rows.append([_named(name, scored.sizes), *(Cell(f"{key}.{name}.{way}.ranking") for way in scored.ways)])
    out.values[f"{key}.earlier.ranking"] = average_precision(truth, np.array(scored.answers["earlier"]["ranks"]))
    rows.append([f"earlier method: {EARLIER[key]}", *[""] * (len(scored.ways) - 1), Cell(f"{key}.earlier.ranking")])
    out.table(f"{scored.title}: average precision, of which guessing has 0.5", ["model", *scored.ways.values()], rows)


def report_unseen(out: Findings, scored: Scored) -> None:
    """Report the test cases whose kind was in training and the others, where a task has both."""
    task = scored.task
    if task is None or task.unseen is None:
        return
    unseen = np.array(task.unseen)
    sides = {"seen": ~unseen, "unseen": unseen}
    trivial = np.array([task.score(task.trivial(asked), right) for asked, right in task.tested])
    others = {"earlier": scored.earlier, "trivial": trivial}
    named = {"earlier": f"earlier method: {EARLIER[scored.key]}", "trivial": "trivial baseline"}
    rows: list[Row] = []
    for name in (*scored.sizes, *others):
        scores = others[name] if name in others else scored.scores(name, scored.best)
        for part, inside in sides.items():
            clusters = None if scored.clusters is None else np.array(scored.clusters)[inside].tolist()
            out.values[f"{scored.key}.{name}.{part}"] = _score(scores[inside], clusters)
        shown = named[name] if name in named else _named(name, scored.sizes)
        rows.append([shown, *(Cell(f"{scored.key}.{name}.{part}") for part in sides)])
    header = ["model, fine-tuned", "verb seen in fine-tuning", "verb not seen"]
    out.table(f"{scored.title}: {scored.measure}, by what fine-tuning showed", header, rows)
    report_wrong(out, scored, task)


def report_wrong(out: Findings, scored: Scored, task: TaughtTask) -> None:
    """Report what the wrong answers about verbs are that fine-tuning did not show.

    A model that forms the correct past of a verb that it did show fails to copy; one that adds -ed has the rule.
    """
    assert task.unseen is not None
    learned = {verb_of(answer["content"]) for _, answer in task.train}
    rows: list[Row] = []
    for name in scored.sizes:
        answered = zip(
            scored.answers[name][scored.best]["given"], task.tested, task.unseen, scored.scores(name, scored.best),
            strict=True,
        )  # fmt: skip
        wrong = [(verb_of(said), question) for said, (question, _), new, score in answered if new and not score]
        kinds = {
            "others": [float(verb in learned) for verb, _ in wrong],
            "rule": [float(verb == verb_of(task.trivial(question))) for verb, question in wrong],
        }
        keys = {kind: f"{scored.key}.{name}.wrong.{kind}" for kind in kinds}
        out.values |= {keys[kind]: proportion(matches) for kind, matches in kinds.items() if matches}
        rows.append([_named(name, scored.sizes), *(Cell(key, ".1%") for key in keys.values())])
    header = ["model, fine-tuned", "the past of a verb that fine-tuning showed", "the verb with -ed"]
    out.table(f"{scored.title}: wrong answers for verbs that fine-tuning did not show", header, rows)


def _score(scores: np.ndarray, clusters: Sequence[str] | None) -> Value:
    numbers = scores.tolist()
    of = proportion if set(numbers) <= {0.0, 1.0} else mean_of
    return of(numbers, clusters)


def _named(size: str, sizes: Mapping[str, int]) -> str:
    return f"published, {sizes[size] / 1e6:.0f}M" if size == PUBLISHED else f"{sizes[size] / 1e6:.2g}M"


def claim_ours(out: Findings, scored: Scored, ours: Sequence[str]) -> None:
    """Claim that one of our models overtakes the earlier method, and that the largest beats the smallest."""
    key, title, way = scored.key, scored.title, scored.best
    smallest, largest = (f"{scored.sizes[size] / 1e6:.2g}" for size in (ours[0], ours[-1]))
    out.claim(
        f"{key}-ours",
        _leads(key, ours, [way]),
        entry="ours",
        title=title,
        largest=largest,
        way=_how(way),
    )
    if len(ours) > 1:
        small, large = (scored.scores(size, way) for size in (ours[0], ours[-1]))
        grows = out.gain(f"{key}.size", paired(large - small, scored.clusters))
        out.claim(f"{key}-size", grows, entry="size", title=title, largest=largest, smallest=smallest)
    if scored.task is not None and scored.task.unseen is not None:
        out.claim(f"{key}-unseen", entry="unseen", title=title, largest=largest, task=key, largest_of_ours=ours[-1])
        if f"{key}.{ours[-1]}.wrong.others" in out.values:
            out.claim(f"{key}-others", entry="others", title=title, largest=largest, task=key, largest_of_ours=ours[-1])


def claim_published(out: Findings, scored: Scored) -> None:
    """Claim what a published model does: fine-tuned, and prompted with and without examples."""
    key, title, way, clusters = scored.key, scored.title, scored.best, scored.clusters
    out.claim(
        f"{key}-published",
        _leads(key, [PUBLISHED], [way]),
        entry="published",
        title=title,
        way=_how(way),
    )
    if way != "tuned":
        return
    out.claim(
        f"{key}-prompted",
        _leads(key, [PUBLISHED], ["zero", "few"]),
        entry="prompted",
        title=title,
    )
    zero, few, tuned = (scored.scores(PUBLISHED, each) for each in WAYS)
    out.claim(
        f"{key}-examples",
        out.gain(f"{key}.examples", paired(few - zero, clusters)),
        entry="examples",
        title=title,
        shots=SHOTS,
    )
    gain = out.gain(f"{key}.tuning", paired(tuned - few, clusters))
    out.claim(f"{key}-tuning", gain, entry="tuning", title=title, shots=SHOTS)


def _how(way: str) -> str:
    return "fine-tuned" if way == "tuned" else "by its likelihoods"


def _leads(key: str, sizes: Sequence[str], ways: Sequence[str]) -> str:
    """Return the test that any of the models is ahead of the earlier method, in any way."""
    return " or ".join(above(f"{key}.{size}.{way}.over_earlier") for size in sizes for way in ways)
