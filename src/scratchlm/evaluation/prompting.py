"""Prompting a model with the items of a task: likelihoods of given answers, or answers that the model writes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.evaluation.classes import f1_interval, f1_of
from scratchlm.evaluation.config import DEFAULT_NORMALISATIONS
from scratchlm.evaluation.likelihood import ROWS, Likelihood, encode_requests, likelihoods
from scratchlm.evaluation.scoring import (
    ItemRecord,
    Score,
    TaskResult,
    answer_record,
    choice_record,
    scores_of,
    word_record,
)
from scratchlm.evaluation.tasks import EvaluationTask, TaskItem
from scratchlm.evaluation.work import Note, Unknown, Work, key_of
from scratchlm.generation.batch import continue_batch
from scratchlm.generation.classifier import AT_ONCE, Classifier
from scratchlm.generation.config import SamplingConfig
from scratchlm.text.labelled import read_labelled
from scratchlm.text.records import read_records
from scratchlm.tokens.base import prefix_token
from scratchlm.weights.checkpoint import SavedModel

T = TypeVar("T")
ASKED_BY = ("Question: ", "\nAnswer:")
"""The frame around a question in many prompts, not part of the question itself."""
STOPS = ("Question:",)
"""Stop texts of an answer without a chat template: the next question, as after few-shot examples."""


@dataclass(frozen=True)
class Prompting:
    """How a model is prompted with tasks."""

    shots: int = 0
    """Few-shot examples before each question."""
    examples: Sequence[TaskItem] | None = None
    """Items that the examples are drawn from; None: the other items of the task."""
    limit: int | None = None
    """Most items of a task, drawn at random."""
    chat: bool = False
    """Whether questions go through the model's chat template."""
    normalisations: tuple[str, ...] = DEFAULT_NORMALISATIONS
    answer_tokens: int = 256
    rows: int = ROWS
    dtype: torch.dtype = torch.float32
    seed: int = 0
    text_column: str | None = None
    label_column: str | None = None
    start: int | None = None
    """Token that an answer without a prompt follows; None: lm-evaluation-harness's default, `prefix_token`."""
    work: Work = field(default_factory=Work)
    """What is computed already."""


def ask(model: SavedModel, task: EvaluationTask, prompting: Prompting, *, control: bool = False) -> TaskResult:
    """Score a model on a task; with `control` also on prompts whose words are shuffled, as a baseline.

    Of work that was stopped, only the items that were finished are scored; they are no random sample, since the longest
    texts are computed first. `Unknown` is raised where there are none.
    Raises `UserError` for what the model cannot do: a chat without a template, or classification without a class head.
    """
    if task.of.kind == "classes":
        return _classes(model, task, prompting, control)
    items = _drawn(task.items, prompting)
    drawn = len(items)
    if prompting.shots and not any(map(_asks, items)):
        raise UserError(
            f"--shots {prompting.shots}: {task.name} has no prompts that examples could go before; leave it out"
        )
    if "unconditional" in prompting.normalisations and task.of.kind == "choices" and not any(map(_asks, items)):
        raise UserError(f"--normalisation unconditional: {task.name} has no prompts to leave out; choose another")
    if prompting.work.ended:
        items = [item for item in items if _is_known(model, task, item, prompting)]
        if not items:
            raise Unknown
    records = _records(model, task, items, prompting)
    shuffled = None
    if control:
        mixed = [shuffled_words(item, prompting.seed) for item in items]
        shuffled = scores_of(_records(model, task, mixed, prompting, items))
    guessed = sum(1 / len(item.answers) for item in items) / len(items) if task.of.kind == "choices" else None
    start = _start(model, task, items, prompting)
    return TaskResult(
        task.name, len(items), prompting.shots, scores_of(records), chance=guessed, human=task.of.human,
        human_source=task.of.source, convention=task.of.convention.format(start=start), start=start, shuffled=shuffled,
        digest=task.digest, drawn=drawn, records=records,
    )  # fmt: skip


def _start(model: SavedModel, task: EvaluationTask, items: Sequence[TaskItem], prompting: Prompting) -> str:
    """Return the text of the token that answers without a prompt were scored after; empty where all have prompts."""
    if task.of.kind == "answer" or (
        all(prompt for item in items for prompt in item.prompts) and "unconditional" not in prompting.normalisations
    ):
        return ""
    start = prefix_token(model.tokenizer) if prompting.start is None else prompting.start
    return "" if start is None else model.tokenizer.decode([start])


def _asks(item: TaskItem) -> bool:
    return any(item.prompts)


def _drawn(items: Sequence[T], prompting: Prompting) -> list[T]:
    """Return the items of the sample, in their order."""
    if prompting.limit is None or prompting.limit >= len(items):
        return list(items)
    chosen = random.Random(prompting.seed).sample(range(len(items)), prompting.limit)
    return [items[index] for index in sorted(chosen)]


def shuffled_words(item: TaskItem, seed: int) -> TaskItem:
    """Shuffle the words of the prompts, or of the sentences of pairs without a prompt, both by one permutation."""

    def mix(text: str) -> str:
        head, tail = ASKED_BY if text.startswith(ASKED_BY[0]) and text.endswith(ASKED_BY[1]) else ("", "")
        words = text.removeprefix(head).removesuffix(tail).split(" ")
        random.Random(f"{seed} {item.id}").shuffle(words)
        return head + " ".join(words) + tail

    if any(item.prompts):
        return replace(item, prompts=tuple(mix(prompt) for prompt in item.prompts))
    return replace(item, answers=tuple(" " + mix(answer.removeprefix(" ")) for answer in item.answers))


def _examples(item: TaskItem, task: EvaluationTask, prompting: Prompting) -> list[TaskItem]:
    """Draw the few-shot examples of an item; the item itself is never among them."""
    if not prompting.shots:
        return []
    pool = [each for each in (task.items if prompting.examples is None else prompting.examples) if each.id != item.id]
    if len(pool) < prompting.shots:
        raise UserError(f"--shots {prompting.shots}: only {len(pool):,} examples of {task.name}; lower it")
    return random.Random(f"{prompting.seed} {item.id}").sample(pool, prompting.shots)


def _records(
    model: SavedModel,
    task: EvaluationTask,
    items: Sequence[TaskItem],
    prompting: Prompting,
    unshuffled: Sequence[TaskItem] | None = None,
) -> list[ItemRecord]:
    if task.of.kind == "answer":
        return _written(model, task, items, prompting)
    ahead = ["".join(f"{each.shown}\n\n" for each in _examples(item, task, prompting)) for item in items]
    likelihoods = _likelihoods(model, task, items, lambda index, prompt: ahead[index] + prompt, prompting)
    if task.of.kind == "last word":
        return [word_record(item, each[0]) for item, each in zip(items, likelihoods, strict=True)]
    bare: Sequence[Sequence[Likelihood] | None] = [None] * len(items)
    if "unconditional" in prompting.normalisations:
        bare = _likelihoods(model, task, unshuffled or items, lambda index, prompt: _bare(prompt), prompting)
    return [
        choice_record(item, each, without, prompting.normalisations)
        for item, each, without in zip(items, likelihoods, bare, strict=True)
    ]


def _is_known(model: SavedModel, task: EvaluationTask, item: TaskItem, prompting: Prompting) -> bool:
    """Say whether all that is computed of an item is known."""
    try:
        _records(model, task, [item], prompting)
    except Unknown:
        return False
    return True


def _bare(prompt: str) -> str:
    """Return a prompt without its question: the last of several lines, such as `Answer:`."""
    return prompt.rpartition("\n")[2] if "\n" in prompt else ""


def _likelihoods(
    model: SavedModel,
    task: EvaluationTask,
    items: Sequence[TaskItem],
    prompt: Callable[[int, str], str],
    prompting: Prompting,
) -> list[list[Likelihood]]:
    """Return the likelihoods of all answers of all items, each after its prompt."""
    texts = []
    for index, item in enumerate(items):
        prompts = item.prompts * (len(item.answers) // len(item.prompts))
        texts += [(prompt(index, before), answer) for before, answer in zip(prompts, item.answers, strict=True)]
    requests = encode_requests(model.tokenizer, texts, start=prompting.start)

    def compute(missing: Sequence[int], note: Note) -> None:
        def after(scored: Mapping[int, Likelihood]) -> None:
            note({missing[index]: [each.nats, each.tokens, each.greedy] for index, each in scored.items()})

        wanted = [requests[position] for position in missing]
        likelihoods(model.decoder, wanted, rows=prompting.rows, dtype=prompting.dtype, after=after)

    keys = [key_of(each.context, each.continuation, str(prompting.dtype)) for each in requests]
    flat = (Likelihood(*each) for each in prompting.work.results(task.name, keys, compute, "answers scored"))
    return [[next(flat) for _ in item.answers] for item in items]


def _written(
    model: SavedModel, task: EvaluationTask, items: Sequence[TaskItem], prompting: Prompting
) -> list[ItemRecord]:
    """Let the model write answers, and score them."""
    prompts = [_prompt(model, task, item, prompting) for item in items]
    cut = [fitted(ids, prompting.answer_tokens, model.decoder.config.context) for ids in prompts]
    greedy = SamplingConfig(max_tokens=prompting.answer_tokens, temperature=0.0)
    ends = ends_of(model)

    def compute(missing: Sequence[int], note: Note) -> None:
        def after(ended: Mapping[int, list[int]]) -> None:
            note({missing[index]: model.tokenizer.decode(ids) for index, ids in ended.items()})

        wanted = [cut[position] for position in missing]
        continue_batch(model.decoder, wanted, greedy, ends, rows=prompting.rows, after=after)

    keys = [key_of(ids, prompting.answer_tokens, sorted(ends)) for ids in cut]
    written = prompting.work.results(task.name, keys, compute, "answers written")
    if not _through_template(task, prompting):
        written = [min((text.partition(stop)[0] for stop in STOPS), key=len) for text in written]
    return [answer_record(item, text.strip(), task.of.right) for item, text in zip(items, written, strict=True)]


def ends_of(model: SavedModel) -> frozenset[int]:
    """Return the ids at which generation stops: the ends of a turn and of a text."""
    end = model.tokenizer.end_of_text
    return model.stop_ids if end is None else model.stop_ids | {end}


def fitted(prompt: Sequence[int], new: int, context: int) -> list[int]:
    """Truncate a prompt at its beginning, so that `new` tokens, or half the context, fit after it."""
    return list(prompt[-(context - min(new, context // 2)) :])


def _through_template(task: EvaluationTask, prompting: Prompting) -> bool:
    return prompting.chat or task.of.conversational


def _prompt(model: SavedModel, task: EvaluationTask, item: TaskItem, prompting: Prompting) -> list[int]:
    """Return the ids of a question with its few-shot examples: as turns of a conversation, or as text."""
    examples = _examples(item, task, prompting)
    if not _through_template(task, prompting):
        begin = [] if model.tokenizer.begin_of_text is None else [model.tokenizer.begin_of_text]
        text = "".join(f"{each.shown}\n\n" for each in examples) + item.prompt
        return [*begin, *model.tokenizer.encode(text)]
    if model.template is None:
        raise UserError(f"{task.name}: needs a chat template, which this model lacks; fine-tune it on conversations")
    turns = []
    for each in [*examples, item]:
        question = each.prompt.removeprefix(ASKED_BY[0]).removesuffix(ASKED_BY[1])
        turns.append({"role": "user", "content": question})
        if each is not item:
            turns.append({"role": "assistant", "content": (each.worked or each.answers[each.gold]).strip()})
    return model.template.render(turns, reply=True).ids


def _classes(model: SavedModel, task: EvaluationTask, prompting: Prompting, control: bool) -> TaskResult:
    """Classify the texts of a table with the class head of the model."""
    assert task.path is not None
    if prompting.shots or control:
        raise UserError("--shots, --shuffled: have no effect with --task classes; leave them out")
    classifier = Classifier(model)
    labels = list(classifier.classes.labels)
    columns = [column for column in (prompting.text_column, prompting.label_column) if column is not None]
    rows = read_labelled(read_records(task.path, columns), prompting.text_column, prompting.label_column)
    rows = _drawn(rows, prompting)
    unknown = sorted({row.label for row in rows} - set(labels))
    if unknown:
        raise UserError(f"{task.path}: {', '.join(map(repr, unknown[:5]))} are no classes of this model: {labels[:10]}")
    drawn = len(rows)
    if prompting.work.ended:
        rows = [row for row in rows if key_of(row.text) in prompting.work.known]
        if not rows:
            raise Unknown

    def compute(missing: Sequence[int], note: Note) -> None:
        for start in range(0, len(missing), AT_ONCE):
            chunk = missing[start : start + AT_ONCE]
            predictions = classifier.classify([rows[position].text for position in chunk])
            note({position: answer.label for position, answer in zip(chunk, predictions, strict=True)})

    answers = prompting.work.results(task.name, [key_of(row.text) for row in rows], compute, "texts classified")
    records = [
        ItemRecord(str(number), {"accuracy": float(answer == row.label)}, given=answer)
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True), 1)
    ]
    positive = classifier.classes.positive
    positive_index = None if positive is None or len(labels) > 2 else labels.index(positive)
    truth = np.array([labels.index(row.label) for row in rows])
    predicted = np.array([labels.index(answer) for answer in answers])
    interval = f1_interval(truth, predicted, len(labels), positive_index)
    error = (interval.high - interval.low) / 3.92
    f1 = Score(f1_of(truth, predicted, len(labels), positive_index), error, interval)
    scores = {**scores_of(records), "F1": f1}
    return TaskResult(task.name, len(rows), 0, scores, digest=task.digest, drawn=drawn, records=records)
