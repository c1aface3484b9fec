"""Fine-tuning on conversations: the loss falls on what the assistant says and on the end of its turn, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import LanguageModel
from scratchlm.tokens.batches import PackedBatches
from scratchlm.tokens.chat import CHATML, ChatTemplate, Conversation
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import Hook, Pace, Setting, Watcher, fit
from scratchlm.training.signals import StopRequest


def instruct_batches(
    model: LanguageModel, conversations: Sequence[Conversation], config: TrainingConfig, seed: int
) -> PackedBatches:
    """Render conversations with the model's template (ChatML where it has none) and pack them into rows."""
    template = model.saved.template or ChatTemplate(model.tokenizer, CHATML)
    pad = model.tokenizer.specials.get("<|pad|>", model.tokenizer.end_of_text)
    if pad is None:
        raise UserError(
            "tokenizer: has neither <|pad|> nor <|endoftext|>, so rows cannot be filled; train one with them"
        )
    samples = [template.render(conversation) for conversation in conversations]
    return PackedBatches(samples, config.batch_rows, config.sequence_length, seed, pad)


def instruct(
    model: LanguageModel,
    conversations: Sequence[Conversation],
    config: TrainingConfig,
    *,
    setting: Setting | None = None,
    folder: Path | None = None,
    hooks: Sequence[Hook] = (),
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
    pace: Pace | None = None,
) -> None:
    """Fine-tune `model` in place; afterwards it carries the template it was taught with."""
    setting = setting or Setting()
    batches = instruct_batches(model, conversations, config, setting.seed)
    fit(
        model.decoder,
        batches,
        config,
        setting=setting,
        folder=folder,
        hooks=hooks,
        watcher=watcher,
        stop=stop,
        pace=pace,
    )
    if model.saved.template is None:
        model.saved.template = ChatTemplate(model.tokenizer, CHATML)
