"""Fine-tuning on conversations: the loss falls on what the assistant says and on the end of its turn, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scratchlm.base.errors import UserError, raise_first
from scratchlm.data.batches import PackedBatches, pad_of
from scratchlm.generation.language_model import LanguageModel
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate, Conversation, Rendered
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig


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


def rendered(template: ChatTemplate, conversations: Sequence[Conversation]) -> list[Rendered]:
    """Render conversations. Raises `UserError` with all that the template cannot lay out."""
    found, problems = [], []
    for number, conversation in enumerate(conversations, 1):
        try:
            found.append(template.render(conversation))
        except UserError as error:
            problems.append(f"conversation {number}: {error}")
    raise_first(problems, "conversations", shown=2)
    return found


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
