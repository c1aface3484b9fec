"""`experiment tasks`: one multi-task model for four tasks, compared with baselines and single-task models.

The model is pretrained on stories, messages and sentence pairs, and fine-tuned on conversations: answer questions about
the stories, detect spam, put sentences into the past tense, translate. The same pretrained weights are also fine-tuned
on each task alone. The task-specific baselines are retrieval, a linear SVM, a grammar rule and phrase-based
translation.

Batches of one row suit the single-task models, which have few conversations. They may not suit the multi-task model, so
it is also fine-tuned in larger ones, and every claim about it must hold for both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from scratchlm.lab.experiments.config import TasksConfig
from scratchlm.lab.experiments.ladder_translate.measure import read_pairs
from scratchlm.lab.harness.findings import Cell, Findings, Row, Test, Values, all_hold, any_holds
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, fine_tune, storyteller
from scratchlm.lab.shared.proportions import mean_of, proportion
from scratchlm.lab.shared.task_set import TaughtTask, answering, messages_of, past_tense, spam, translating

LONGEST, ROWS = 40, 1
"""Most tokens of a generated answer, and rows of a batch of fine-tuning: a row holds about ten conversations."""
LARGER = 4
"""Rows of a batch of the second multi-task model."""
NEAR = 0.05
"""Score that the multi-task model may lose on a task and still count as equal to a single-task model."""


WAYS = {
    "trivial": "trivial baseline",
    "narrow": "task-specific baseline",
    "alone": "single-task model, as many epochs",
    "longer": "single-task model, as many conversations",
    "one": "multi-task model",
    "large": f"multi-task model, batches {LARGER} times as large",
}
WIDENED = "Four comparisons find one by chance more easily than one; their intervals are widened for it (Bonferroni)"
"""The control of claims about any of four tasks."""
MULTI = ("one", "large")
"""The two multi-task models."""


def run(config: TasksConfig, steps: Steps, out: Findings) -> None:
    """Fine-tune one model on all tasks, then one on each task alone, for as many epochs or as many conversations."""
    files = config.files()
    messages = messages_of(files["messages"], config.messages, config.tested, config.seed)
    pairs = read_pairs(files["pairs"], config.pairs, config.tested)
    more = [text for text, _ in messages[0]] + [f"{english} = {german}" for english, german in pairs.train]
    small, corpus = storyteller(config, steps, more)
    tasks = {
        "answer": answering(corpus.train, config.tested, config.seed),
        "spam": spam(*messages),
        "past": past_tense(config.tested, config.seed),
        "translate": translating(pairs.train, [(e, right[0]) for e, right in pairs.tested], pairs.clusters),
    }
    total = sum(len(task.train) for task in tasks.values())

    def fine_tuned(names: Sequence[str], epochs: float, rows: int = ROWS) -> dict[str, list[str]]:
        conversations = [each for name in names for each in tasks[name].train]
        random.Random(config.seed).shuffle(conversations)
        model = fine_tune(small.pretrained(), conversations, epochs=epochs, seed=config.seed, rows=rows)
        return {name: answers(model, [question for question, _ in tasks[name].tested], LONGEST) for name in names}

    replies: dict[str, dict[str, list[str]]] = {way: {} for way in WAYS}
    replies["one"] = steps.once("one", fine_tuned, list(tasks), config.epochs)
    replies["large"] = steps.once("large", fine_tuned, list(tasks), config.epochs, LARGER)
    for name, task in tasks.items():
        epochs = config.epochs * total / len(task.train)  # as many conversations as the multi-task model reads
        replies["alone"] |= steps.once(f"alone-{name}", fine_tuned, [name], config.epochs)
        replies["longer"] |= steps.once(f"longer-{name}", fine_tuned, [name], epochs)
        replies["narrow"][name] = steps.once(f"narrow-{name}", task.narrow)
        replies["trivial"][name] = [task.trivial(question) for question, _ in task.tested]
    report(out, tasks, replies)
    out.notes += [
        "single-task models start from the same weights",
        "no test question was in fine-tuning; its answer is in the pretraining stories",
    ]


def report(out: Findings, tasks: dict[str, TaughtTask], answers_of: dict[str, dict[str, list[str]]]) -> None:
    """Report the score of each model and baseline on each task, and add the claims."""
    rows: list[Row] = []
    for key, task in tasks.items():
        each = {
            way: np.array(
                [task.score(said, right) for said, (_, right) in zip(answers_of[way][key], task.tested, strict=True)]
            )
            for way in WAYS
        }
        for way, scores in each.items():
            of = proportion if set(scores.tolist()) <= {0.0, 1.0} else mean_of
            out.values[f"{key}.{way}"] = of(scores.tolist(), task.clusters)
            for model in MULTI if way not in MULTI else ():
                out.gain(f"{key}.{model}.over_{way}", paired(each[model] - each[way], task.clusters))
            if way in ("alone", "longer"):
                out.gain(f"{key}.{way}_over_trivial", paired(scores - each["trivial"], task.clusters))
        out.gain(f"{key}.large.over_one", paired(each["large"] - each["one"], task.clusters))
        cells = [Cell(f"{key}.{way}") for way in WAYS]
        rows.append([f"{task.name} ({task.measure})", str(len(task.tested)), *cells, task.baseline])
        out.dots(f"{task.name}: {task.measure}", task.measure, {name: f"{key}.{way}" for way, name in WAYS.items()})
        for number in (0, len(task.tested) // 2):
            asked, expected = task.tested[number]
            answers = {name: answers_of[way][key][number] for way, name in WAYS.items() if way != "trivial"}
            out.samples.append(TextSample.asked(asked, answers, expected))
    out.table("Four tasks, one model", ["task", "test cases", *WAYS.values(), "what that baseline is"], rows)
    claim(out, list(tasks))


def claim(out: Findings, tasks: Sequence[str]) -> None:
    """Add the claims, from how far both multi-task models are ahead on each task.

    Four comparisons: at 98.75% each, their joint confidence is at least 95% (Bonferroni).
    """

    def leads(values: Values, way: str, by: float = 0.0, rival: bool = False) -> list[bool | None]:
        """Return for each task whether both multi-task models are ahead of a way by more than `by`, or behind it."""
        gaps = [[values[f"{key}.{model}.over_{way}"].at(0.9875) for model in MULTI] for key in tasks]
        return [all_hold([Value(by).exceeds(gap) if rival else gap.exceeds(by) for gap in both]) for both in gaps]

    def count(way: str, by: float = 0.0, rival: bool = False) -> Callable[[Values], Value]:
        return lambda values: Value(leads(values, way, by, rival).count(True))

    def near(values: Values, way: str) -> list[bool | None]:
        """Return for each task that the single-task model learns whether multi-task models lose at most `NEAR`."""
        learned = [values[f"{key}.{way}_over_trivial"].at(0.9875).exceeds() for key in tasks]
        return [close for close, learns in zip(leads(values, way, -NEAR), learned, strict=True) if learns]

    def near_all(way: str) -> Test:
        return lambda values: all_hold(near(values, way)) if near(values, way) else None

    out.derive("above_trivial", count("trivial"))
    out.derive("rival_wins", count("narrow", rival=True))
    out.derive("model_wins", count("narrow"))
    out.derive("near_alone", lambda values: Value(near(values, "alone").count(True)))
    out.derive("near_longer", lambda values: Value(near(values, "longer").count(True)))
    out.derive("learned_alone", lambda values: Value(len(near(values, "alone"))))
    out.derive("learned_longer", lambda values: Value(len(near(values, "longer"))))
    out.claim("one-does-all", lambda values: all_hold(leads(values, "trivial")), widened=WIDENED)
    out.claim("rival-wins-somewhere", lambda values: any_holds(leads(values, "narrow", rival=True)), widened=WIDENED)
    out.claim("model-wins-somewhere", lambda values: any_holds(leads(values, "narrow")), widened=WIDENED)
    out.claim("sharing-costs-little", near_all("alone"), near=NEAR)
    out.claim("sharing-costs-little-at-equal-length", near_all("longer"), near=NEAR)
    ahead: Test = lambda values: any_holds(leads(values, "longer", -NEAR, rival=True))  # noqa: E731
    out.claim("sharing-costs-somewhere", ahead, near=NEAR, widened=WIDENED)
    better: Test = lambda values: any_holds([values[f"{key}.large.over_one"].at(0.9875).exceeds() for key in tasks])  # noqa: E731
    out.claim("larger-batches-help", better, larger=LARGER, widened=WIDENED)
