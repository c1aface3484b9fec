"""Fine-tuning on conversations, with and without documents in between."""

from __future__ import annotations

import pytest
import torch

from scratchlm.data.batches import IGNORED
from scratchlm.finetuning.supervised import instruct, instruct_batches
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import AdamWConfig, TrainingConfig
from scratchlm.weights.checkpoint import SavedModel

DOCUMENTS = [f"The miller had {day} cats and told them about the river, the mill and the sea. " * 3 for day in range(9)]
TALK = [
    [{"role": "user", "content": f"Who has {number} cats?"}, {"role": "assistant", "content": f"Number {number} has."}]
    for number in range(12)
]
CONFIG = TrainingConfig(steps=60, batch_size=4, sequence_length=48, optimizer=AdamWConfig(learning_rate=3e-3))


@pytest.fixture
def model() -> LanguageModel:
    tokenizer = FastBPE.train(DOCUMENTS + [turn["content"] for talk in TALK for turn in talk], 290)
    return LanguageModel(SavedModel(build_decoder(tiny(tokenizer.vocabulary_size), 0), tokenizer))


def test_documents_fill_about_half_of_an_epoch_and_every_token_of_them_is_a_target_once(model: LanguageModel) -> None:
    batches = instruct_batches(model, TALK, CONFIG, 0, DOCUMENTS)
    plain = instruct_batches(model, TALK, CONFIG, 0).samples
    repeats = sum(sample == plain[0] for sample in batches.samples)
    windows = batches.samples[repeats * len(plain) :]
    targets = [id for window in windows for id, wanted in zip(window.ids, window.mask, strict=True) if wanted]
    end = model.tokenizer.end_of_text
    assert targets == [id for text in DOCUMENTS for id in [*model.tokenizer.encode(text), end]]
    talked = repeats * sum(len(sample.ids) for sample in plain)
    assert 0.6 < talked / sum(len(window.ids) for window in windows) < 1.7


def test_what_is_taught_is_answered_and_ends_with_the_turn(model: LanguageModel) -> None:
    instruct(model, TALK, CONFIG, documents=DOCUMENTS)
    answer = "".join(
        model.stream_reply([{"role": "user", "content": "Who has 7 cats?"}], temperature=0.0, max_tokens=20)
    )
    assert answer.startswith("Number ")
    assert answer.endswith(" has.")
    assert "<|im_end|>" not in model.generate("The miller", temperature=1.0, max_tokens=100, seed=5)


def test_only_replies_are_targets_without_documents(model: LanguageModel) -> None:
    batch, _ = next(instruct_batches(model, TALK, CONFIG, 0)())
    shown = model.tokenizer.decode(batch.targets[batch.targets != IGNORED].tolist())
    assert "Number" in shown
    assert "Who" not in shown
    assert torch.is_tensor(batch.documents)
