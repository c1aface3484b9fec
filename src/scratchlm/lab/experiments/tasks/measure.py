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
from collections.abc import Mapping, Sequence

import numpy as np

from scratchlm.lab.experiments.config import TasksConfig
from scratchlm.lab.experiments.ladder_translate.measure import read_pairs
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import LEVEL, Values, above, every, judged
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
        out.gain(f"{key}.large.over_one", paired(each["large"] - each["one"], task.clusters))
        cells = [Cell(f"{key}.{way}") for way in WAYS]
        rows.append([f"{task.name} ({task.measure})", str(len(task.tested)), *cells, task.baseline])
        out.dots(f"{task.name}: {task.measure}", task.measure, {name: f"{key}.{way}" for way, name in WAYS.items()})
        for number in (0, len(task.tested) // 2):
            asked, expected = task.tested[number]
            answers = {name: answers_of[way][key][number] for way, name in WAYS.items() if way != "trivial"}
            out.samples.append(TextSample.asked(asked, answers, expected))
    out.table("Four tasks, one model", ["task", "test cases", *WAYS.values(), "what that baseline is"], rows)
    claim(out, tasks)


def claim(out: Findings, tasks: Mapping[str, TaughtTask]) -> None:
    """Add the claims about each task; they must hold for both multi-task models."""
    for key, task in tasks.items():

        def both(way: str, by: float = 0.0, sign: str = ">", key: str = key) -> str:
            """Return the test that both multi-task models are ahead of a way by more than `by`, or behind it."""
            return every(*(f"{key}.{model}.over_{way} {sign} {by:g}" for model in MULTI))

        for entry, test in (
            ("beats-trivial", both("trivial")),
            ("beats-narrow", both("narrow")),
            ("sharing-costs", both("longer", -NEAR, "<")),
            ("larger-batches-help", above(f"{key}.large.over_one")),
        ):
            out.claim(f"{key}-{entry}", test, entry=entry, task=task.name.capitalize(), near=NEAR, larger=LARGER)
    names = list(tasks)
    out.derive("model_wins", lambda values: Value(_leading(values, names, ">")))
    out.derive("rival_wins", lambda values: Value(_leading(values, names, "<")))


def _leading(values: Values, tasks: Sequence[str], sign: str) -> int:
    """Return on how many tasks both multi-task models are ahead of the task-specific baseline, or behind it.

    Four comparisons: each is made at 98.75%, so that all are right together in 95% of the cases (Bonferroni).
    """
    tests = [judged(every(*(f"{key}.{model}.over_narrow {sign} 0" for model in MULTI)), values) for key in tasks]
    return sum(each.holds and (each.p or 0.0) <= LEVEL / len(tasks) for each in tests)
