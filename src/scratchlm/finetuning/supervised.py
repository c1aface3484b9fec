"""Fine-tuning on conversations: the loss falls on what the assistant says and on the end of its turn, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scratchlm.base.errors import UserError, raise_first
from scratchlm.data.batches import PackedBatches, pad_of
from scratchlm.data.wordings import WordingBatches, shared_beginning
from scratchlm.finetuning.conversations import Messages
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.language_model import LanguageModel
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate, Conversation, Rendered
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.weights.checkpoint import SavedModel


def instruct_batches(
    model: LanguageModel,
    conversations: Sequence[Conversation],
    config: TrainingConfig,
    seed: int,
    documents: Sequence[str] = (),
) -> PackedBatches:
    """Render conversations with the model's template (ChatML where it has none) and pack them into rows.

    `documents` are texts of the kind the model learned before; with them, conversations are repeated until both fill
    about as many tokens of an epoch.
    """
    template = model.saved.template or ChatTemplate.suited_to(model.tokenizer)
    samples = rendered(template, conversations)
    rehearsed = _windows(model.tokenizer, documents, config.sequence_length)
    if rehearsed:
        sizes = [sum(min(len(part.ids), config.sequence_length) for part in parts) for parts in (samples, rehearsed)]
        samples = samples * max(1, round(sizes[1] / max(sizes[0], 1))) + rehearsed
    return PackedBatches(samples, config.batch_size, config.sequence_length, seed, pad_of(model.tokenizer))


def wording_batches(
    model: SavedModel,
    wordings: Sequence[Sequence[Messages]],
    general: Sequence[tuple[Messages, bool]],
    others: int,
    config: TrainingConfig,
    seed: int,
) -> WordingBatches:
    """Render conversations in all their wordings, and general ones, of which an epoch has `others`.

    A general answer that did not end, as its flag says, teaches no end.
    """
    assert model.template is not None
    samples = rendered(model.template, [each for one in wordings for each in one])
    between = rendered(model.template, [messages for messages, _ in general])
    samples += [sample if ended else _unended(sample) for sample, (_, ended) in zip(between, general, strict=True)]
    shared = 0 if model.decoder.ngrams else min(shared_beginning(samples), config.sequence_length // 2)
    counts = [len(one) for one in wordings]
    pad = pad_of(model.tokenizer)
    return WordingBatches(
        samples, config.batch_size, config.sequence_length, seed, pad, shared, wordings=counts, others=others
    )


def _unended(sample: Rendered) -> Rendered:
    """Return a conversation without the token that ends its last answer, and what follows it."""
    last = max((at for at, learned in enumerate(sample.mask) if learned), default=0)
    return Rendered(sample.ids[:last], sample.mask[:last])


class WrittenAnswer(NamedTuple):
    """What a model answered."""

    text: str
    ended: bool
    """Whether it ended by itself."""


def answers_to(model: SavedModel, conversations: Sequence[Messages], most: int) -> list[WrittenAnswer]:
    """Answer each conversation in the place of its last message, greedily, in at most `most` tokens."""
    assert model.template is not None
    room = model.decoder.config.context
    prompts = [model.template.render(messages[:-1], reply=True).ids[-(room - 1) :] for messages in conversations]
    written = greedy_batch(model.decoder, prompts, most, model.stop_ids)
    return [
        WrittenAnswer(model.tokenizer.decode(ids).strip(), len(ids) < min(most, room - len(prompt)))
        for ids, prompt in zip(written, prompts, strict=True)
    ]


def rendered(template: ChatTemplate, conversations: Sequence[Conversation]) -> list[Rendered]:
    """Render conversations. Raises `UserError` with all that the template cannot lay out."""
    samples, problems = [], []
    for number, conversation in enumerate(conversations, 1):
        try:
            samples.append(template.render(conversation))
        except UserError as error:
            problems.append(f"conversation {number}: {error}")
    raise_first(problems, "conversations", shown=2)
    return samples


def _windows(tokenizer: Tokenizer, documents: Sequence[str], length: int) -> list[Rendered]:
    """Cut documents, each between two ends of text, into windows in which every token but the first carries loss."""
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    windows = []
    for text in documents:
        ids = [*end, *tokenizer.encode(text), *end]
        for start in range(0, len(ids) - 1, length):
            part = ids[start : start + length + 1]
            windows.append(Rendered(part, [False] + [True] * (len(part) - 1)))
    return windows


def instruct(
    model: LanguageModel,
    conversations: Sequence[Conversation],
    config: TrainingConfig,
    *,
    documents: Sequence[str] = (),
    runtime: RuntimeConfig | None = None,
    train: Callable[[Loop], None] = fit,
) -> None:
    """Fine-tune `model` in place; afterwards it carries the template that rendered the conversations.

    `train` runs the loop: `fit`, or a call of it that also logs, shows progress or keeps a time. Fine-tuned on
    conversations alone, a model soon forgets how to write anything else: `documents` of its earlier training text,
    mixed in, keep that (rehearsal, Robins 1995).
    """
    runtime = runtime or RuntimeConfig()
    batches = instruct_batches(model, conversations, config, runtime.seed, documents)
    model.saved.base = None  # everything is trained, so everything must be stored
    train(Loop(model.decoder, batches, config, runtime=runtime))
    if model.saved.template is None:
        model.saved.template = ChatTemplate.suited_to(model.tokenizer)
