"""`experiment crossover`: the size from which on language models overtake earlier methods, task by task.

Models of several sizes share one recipe and one text: stories, books, messages and sentence pairs. Each is asked
zero-shot, after four examples, and fine-tuned on each task. An earlier method that learns a task gets the cases that
the models get, or all words of their kind; rules and retrieval learn from none. `--init` adds a published model. It
differs in size, but also in its text and training, so a lead of it does not show what size alone does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.reading import Retrieval, by_rules, first_sentence
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.evaluation.pairs import Pair, read_pairs
from scratchlm.evaluation.text_metrics import token_f1
from scratchlm.finetuning.supervised import instruct, rendered
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.experiments.compare_reading import measure as compare_reading
from scratchlm.lab.experiments.config import CrossoverConfig
from scratchlm.lab.experiments.crossover.report import (
    EARLIER,
    PUBLISHED,
    SHOTS,
    UNREAD,
    CrossoverTask,
    report,
    report_stories,
)
from scratchlm.lab.experiments.ladder_translate import measure as ladder_translate
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import STORY_BYTES, answers, conversation_of, fine_tune, rows_of, storyteller
from scratchlm.lab.shared.prompted import choice_scores, prompted_answers
from scratchlm.lab.shared.small_model import SmallModel, pieces_of_books
from scratchlm.lab.shared.task_set import TaughtTask, answering, messages_of, past_tense, spam, translating
from scratchlm.model.lora import add_adapter, freeze
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.tokens.base import first_token
from scratchlm.tokens.chat import Conversation
from scratchlm.tours.quickstart.text import QuickstartText
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

LONGEST, ROWS = 40, 1
"""Most tokens of an answer, and the rows of a batch when our models are fine-tuned: one, because a thousand cases teach
more in many small steps."""


def run(config: CrossoverConfig, steps: Steps, out: Findings) -> None:
    """Measure each size on each task, then the earlier methods and the published model."""
    files = config.files()
    messages = messages_of(files["messages"], config.cases, config.tested, config.seed)
    pairs = ladder_translate.read_pairs(files["pairs"], config.cases, config.tested)
    items = compare_reading.read_items(files["questions"], config.cases, config.tested)
    sets = {file.stem: read_pairs(file)[: config.pairs] for file in sorted(files["blimp"].glob("*.jsonl"))}
    books = pieces_of_books(config.books, STORY_BYTES * config.pretraining_steps // 2)
    more = [text for text, _ in messages[0]] + [f"{source} = {target}" for source, target in pairs.train] + books
    scores: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}
    stories: dict[str, list[float]] = {}
    questions: dict[str, CrossoverTask] = {}
    for depth in config.depths:
        small, corpus = storyteller(config, steps, more, depth, "auto")
        questions = questions or _questions(config, corpus, messages, pairs, items)
        sizes[str(depth)] = small.random().decoder.parameter_count()
        for key, question in questions.items():
            scores[f"{key}.{depth}"] = steps.once(f"{key}-{depth}", _ours, small, question, config)
        scores[f"grammar.{depth}"] = {"zero": steps.once(f"grammar-{depth}", _grammar, small.pretrained(), sets)}
        stories[str(depth)] = steps.once(f"stories-{depth}", story_bits, small.pretrained(), corpus.held_out)
        if depth == config.depths[0]:
            scores["grammar.earlier"] = steps.once("grammar-earlier", _counted, small, sets)
    for key, question in questions.items():
        scores[f"{key}.earlier"] = steps.once(f"{key}-earlier", _earlier, question.task)
    if config.init is not None:
        model = load_model(find_model(config.init))
        if model.template is None:
            raise UserError(f"--init {config.init}: has no chat template, so it cannot be asked; name a chat model")
        sizes[PUBLISHED] = model.decoder.parameter_count()
        for key, question in questions.items():
            if key in UNREAD:
                continue
            name = f"{key}-published-{out.init_hash}"
            scores[f"{key}.{PUBLISHED}"] = steps.once(name, _published, config.init, question, config)
        name = f"grammar-published-{out.init_hash}"
        scores[f"grammar.{PUBLISHED}"] = {"zero": steps.once(name, _grammar, model, sets)}
        name = f"stories-published-{out.init_hash}"
        stories[PUBLISHED] = steps.once(name, story_bits, model, corpus.held_out)
    report_stories(out, stories, sizes)
    report(out, questions, scores, sizes, config, [name for name, pairs in sets.items() for _ in pairs])


def _questions(
    config: CrossoverConfig, corpus: QuickstartText, messages: Any, pairs: Any, items: compare_reading.Questions
) -> dict[str, CrossoverTask]:
    """Return the tasks that are answered; each learns from at most `config.cases` cases."""
    tasks = {
        "spam": CrossoverTask(spam(*messages), ("ham", "spam")),
        "understand": CrossoverTask(_understanding(items)),
        "respond": CrossoverTask(answering(corpus.train, config.tested, config.seed)),
        "translate": CrossoverTask(
            translating(pairs.train, [(e, right[0]) for e, right in pairs.tested], pairs.clusters)
        ),
        "rewrite": CrossoverTask(past_tense(config.tested, config.seed)),
    }
    draw = random.Random(config.seed)
    for key, question in tasks.items():
        train = [conversation[:2] for conversation in question.task.train]  # the first question and its answer
        chosen = draw.sample(train, min(config.cases, len(train)))
        tasks[key] = replace(question, task=replace(question.task, train=chosen))
    return tasks


def _understanding(items: compare_reading.Questions) -> TaughtTask:
    """Return the task of answering questions on a passage, from the part of it that retrieval selects."""
    retrieval = Retrieval({item.passage for item in items.train})
    asked = [compare_reading.text_of(item, retrieval) for item in items.tested]
    return TaughtTask(
        "understand a passage",
        "word F1",
        [conversation_of(compare_reading.text_of(item, retrieval), item.answer) for item in items.train],
        [(text, item.answer) for text, item in zip(asked, items.tested, strict=True)],
        token_f1,
        EARLIER["understand"],
        lambda: [by_rules(item.passage, item.question) for item in items.tested],
        lambda question: first_sentence(question, ""),
        [item.passage for item in items.tested],
    )


def _scored(question: CrossoverTask, answers: Sequence[str]) -> dict[str, Any]:
    pairs = zip(answers, question.task.tested, strict=True)
    scores = [question.task.score(said, right) for said, (_, right) in pairs]
    return {"given": list(answers), "scores": [round(float(score), 9) for score in scores]}


def _asked(model: SavedModel, question: CrossoverTask, examples: Sequence[Conversation]) -> dict[str, Any]:
    """Ask a model every question after the same examples; where it can choose, also store how far it prefers the last.

    A choice is the likelier answer per token, whatever the model would write.
    """
    asked = [asked for asked, _ in question.task.tested]
    if not question.choices:
        return _scored(question, prompted_answers(model, asked, examples, LONGEST))
    nats = choice_scores(model, asked, examples, question.choices, LONGEST)
    answers = [question.choices[at] for at in nats.argmax(1)]
    return {**_scored(question, answers), "ranks": (nats[:, -1] - nats[:, 0]).round(9).tolist()}


def _prompts(model: SavedModel, question: CrossoverTask, config: CrossoverConfig) -> dict[str, Any]:
    """Ask a model zero-shot and after examples, the same for every question."""
    shown = few_shot_examples(question, config.seed)
    return {"zero": _asked(model, question, []), "few": _asked(model, question, shown)}


def _tuned(model: LanguageModel, question: CrossoverTask) -> dict[str, Any]:
    """Ask a model that was fine-tuned on the task."""
    if question.choices:
        return _asked(model.saved, question, [])
    return _scored(question, answers(model, [asked for asked, _ in question.task.tested], LONGEST))


def few_shot_examples(question: CrossoverTask, seed: int) -> list[Conversation]:
    """Draw the examples of a few-shot prompt, equally many of each choice."""
    draw, train = random.Random(f"shots {seed}"), list(question.task.train)
    if not question.choices:
        return draw.sample(train, SHOTS)
    sides = [[each for each in train if each[1]["content"] == choice] for choice in question.choices]
    shown = [each for side in sides for each in draw.sample(side, SHOTS // len(sides))]
    return draw.sample(shown, len(shown))


def _ours(small: SmallModel, question: CrossoverTask, config: CrossoverConfig) -> dict[str, Any]:
    """Ask a model of ours zero-shot, after examples, and fine-tuned on the task."""
    prompted = _prompts(small.pretrained(), question, config)
    model = fine_tune(
        small.pretrained(), question.task.train, epochs=config.epochs, seed=config.seed, rows=ROWS,
        fewest_steps=config.fewest_steps,
    )  # fmt: skip
    return {**prompted, "tuned": _tuned(model, question)}


def _published(init: Path, question: CrossoverTask, config: CrossoverConfig) -> dict[str, Any]:
    """Ask a published model zero-shot, after examples, and fine-tuned on the task with LoRA."""
    prompted = _prompts(load_model(find_model(init)), question, config)
    model = LanguageModel(load_model(find_model(init)))
    add_adapter(model.decoder, "task", LoRAConfig(rank=16, alpha=32.0), config.seed)
    freeze(model.decoder, "task")
    template = model.saved.template
    assert template is not None
    rows = rows_of(rendered(template, question.task.train), config.published_length)
    schedule = ScheduleConfig(shape="linear", warmup_steps=10)
    optimizer = AdamWConfig(learning_rate=5e-4, weight_decay=0.01)
    steps = max(config.published_steps, round(config.epochs * rows / config.published_rows))
    training = TrainingConfig(
        steps, config.published_rows, config.published_length, optimizer=optimizer, schedule=schedule
    )
    instruct(model, question.task.train, training, runtime=RuntimeConfig(dtype=torch.bfloat16, seed=config.seed))
    return {**prompted, "tuned": _tuned(model, question)}


def _earlier(task: TaughtTask) -> dict[str, Any]:
    ranks = {} if task.ranked is None else {"ranks": task.ranked()}
    return {**_scored(CrossoverTask(task), task.narrow()), **ranks}


def _grammar(model: SavedModel, sets: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Return for each BLiMP pair whether the grammatical sentence is the likelier one.

    Sentences of all models, published ones too, follow the token that separates the documents they were trained on.
    """
    sentences = [text for pairs in sets.values() for pair in pairs for text in (pair.good, pair.bad)]
    start = first_token(model.tokenizer)
    requests = encode_requests(model.tokenizer, [("", f" {text}") for text in sentences], start=start)
    scores = likelihoods(model.decoder, requests)
    return _preferred([each.nats for each in scores])


def story_bits(model: SavedModel, texts: Sequence[str]) -> list[float]:
    """Return the bits per byte of each text, which follows the token that separates documents."""
    requests = encode_requests(model.tokenizer, [("", text) for text in texts], start=first_token(model.tokenizer))
    nats = [each.nats for each in likelihoods(model.decoder, requests)]
    return [-each / math.log(2) / len(text.encode()) for each, text in zip(nats, texts, strict=True)]


def _counted(small: SmallModel, sets: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Return the same for 5-grams of the text that the models are pretrained on."""
    tokenizer, train, _ = open_data(small.data)
    end = tokenizer.end_of_text
    assert end is not None
    ids = train.read(0, len(train)).astype(np.int64)
    places = np.flatnonzero(ids == end)
    rows = [np.concatenate([[end], row]) for row in np.split(ids, places + 1) if len(row)]
    model = KneserNey.fit(rows, tokenizer.vocabulary_size, 5)
    sentences = [f" {text}" for pairs in sets.values() for pair in pairs for text in (pair.good, pair.bad)]
    encoded = [np.array([end, *tokenizer.encode(text)], np.int64) for text in sentences]
    return _preferred([float(model.token_log_probabilities(row)[1:].sum()) for row in encoded])


def _preferred(nats: Sequence[float]) -> dict[str, Any]:
    pairs = np.array(nats).reshape(-1, 2)
    return {"scores": np.where(pairs[:, 0] == pairs[:, 1], 0.5, pairs[:, 0] > pairs[:, 1]).astype(float).tolist()}
