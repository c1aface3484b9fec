"""The small model fine-tuned to answer, and its pretraining on the embedded stories; or a quickstart's model."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from scratchlm.base.device import DtypeName, faster_dtype
from scratchlm.base.errors import UserError
from scratchlm.finetuning.supervised import instruct, instruct_batches
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.harness.settings import MODEL, ExperimentConfig, StorySettings
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import (
    DEPTH,
    HELD_OUT,
    SmallModel,
    prepare_text,
    pretrain_small_model,
    text_size,
    write_texts,
)
from scratchlm.text.split import held_out
from scratchlm.tokens.chat import TEMPLATE_FILE, Conversation, Rendered
from scratchlm.tours.quickstart.run import TEACHING
from scratchlm.tours.quickstart.text import QuickstartText, storyworld_corpus
from scratchlm.training.config import ScheduleConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model
from scratchlm.weights.stored import read_stored


def conversation_of(question: str, answer: str | None = None) -> Conversation:
    """Return a conversation of one question, with its answer if given."""
    turns = [{"role": "user", "content": question}]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


ROWS = 4
"""Rows of a batch, each of several conversations: with so few cases, many small steps teach more than few large
ones."""
STORY_BATCH: dict[str, Any] = {"batch_size": 8, "sequence_length": 192}
"""Batches of pretraining on stories."""
STORY_BYTES = 5 * 8 * 192 * 3 // 4
"""Bytes of stories for each pretraining step: fewer than a step reads, so that none is cut."""
QUICKSTART = Path("quickstart") / "model"
"""Where `scratchlm quickstart` writes its model."""
MOST_BYTES = 60_000_000
"""Bytes of stories of a quickstart, at most."""


def fine_tune(
    model: SavedModel, conversations: Sequence[Conversation], *, epochs: float, seed: int,
    documents: Sequence[str] = (), rows: int = ROWS, fewest_steps: int = 1, rate: float = 1.0,
) -> LanguageModel:  # fmt: skip
    """Fine-tune a model on conversations for `epochs` epochs, or more, in the dtype that is faster on this CPU.

    `documents` are mixed in for rehearsal; conversations are then repeated until both have about as many tokens. A
    batch has `rows` rows as long as the model's context, and learning rates are `rate` times the usual ones.
    """
    fine_tuned = LanguageModel(model)
    length = model.decoder.config.context
    schedule = ScheduleConfig(shape="linear", warmup_steps=10)
    optimizer = TEACHING.times(rate)
    config = TrainingConfig(batch_size=rows, sequence_length=length, optimizer=optimizer, schedule=schedule)
    shown = instruct_batches(fine_tuned, conversations, config, seed, documents)
    config = replace(config, steps=max(fewest_steps, math.ceil(epochs * rows_of(shown.samples, length) / rows)))
    runtime = RuntimeConfig(dtype=faster_dtype(), seed=seed)
    instruct(fine_tuned, conversations, config, documents=documents, runtime=runtime)
    return fine_tuned


def rows_of(samples: Sequence[Rendered], length: int) -> int:
    """Return how many rows the samples fill if each row takes samples until the next does not fit."""
    right = used = 0
    for sample in samples:
        width = min(len(sample.ids) - 1, length)
        if right == 0 or used + width > length:
            right, used = right + 1, 0
        used += width
    return right


def storyteller(
    config: StorySettings, steps: Steps, more: Sequence[str] = (), depth: int = DEPTH, dtype: DtypeName = "fp32"
) -> tuple[SmallModel, QuickstartText]:
    """Pretrain the small model on the embedded stories, with the texts of `more` shuffled among them.

    Each seed has its own text, of which the steps read each part about once.
    """
    trained = config.pretraining_steps
    size = STORY_BYTES * trained - sum(len(text.encode()) for text in more)
    corpus = storyworld_corpus(max(size, 200_000), config.seed)
    texts = [*corpus.train, *more]
    random.Random(config.seed).shuffle(texts)
    source = write_texts(steps.file("stories.jsonl"), texts)
    read = [text for text in corpus.train if not held_out(text, HELD_OUT)]  # without what pretraining holds out
    data = prepare_text(source, text_size(trained, depth, **STORY_BATCH), config.vocabulary_size, steps)
    name = "pretrained" if depth == DEPTH else f"pretrained-{depth}"
    small = pretrain_small_model(data, trained, config.seed, steps, name, depth, dtype, **STORY_BATCH)
    return small, replace(corpus, train=read)


def answers(model: LanguageModel, questions: Sequence[str], most: int) -> list[str]:
    """Answer each question in its own conversation, in at most `most` tokens."""
    conversations = [conversation_of(question) for question in questions]
    return [text.strip() for text in model.replies(conversations, max_tokens=most, temperature=0.0)]


def with_quickstart(config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings of a small run with the quickstart's model of this folder, if both can be."""
    takes_one = any(each.name == MODEL for each in fields(config))
    if not (takes_one and config.small and config.replay is None) or getattr(config, MODEL) is not None:
        return config
    try:
        taken: dict[str, Any] = {MODEL: QUICKSTART} if _stories(QUICKSTART) else {}
        return replace(config, **taken)
    except UserError:  # none, or another text's
        return config


def quickstart_model(folder: Path) -> tuple[LanguageModel, QuickstartText]:
    """Load a quickstart's model, and write again the stories that it has read.

    Raises `UserError` for a model that was not made by a quickstart on the embedded stories.
    """
    if (made_by := _stories(folder)) is None:
        remedy = "make one with: scratchlm quickstart"
        raise UserError(f"--model {folder}: no model that answers, of a quickstart on the built-in stories; {remedy}")
    return LanguageModel(load_model(find_model(folder))), storyworld_corpus(**made_by)


def _stories(folder: Path) -> dict[str, Any] | None:
    """Return the arguments of `storyworld_corpus` in the folder of a model that answers, if they are ones."""
    place = find_model(folder)
    match read_stored(place).provenance.get("stories"):
        case _ if not (place / TEMPLATE_FILE).exists():  # it has learned no conversations
            return None
        case {"size": int(size), "seed": int(seed), "fraction": float(fraction)}:
            known = 0 < size <= MOST_BYTES and 0 <= fraction < 1
            return {"size": size, "seed": seed, "fraction": fraction} if known else None
    return None
