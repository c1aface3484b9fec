"""Masked next-token prediction hides tokens in some rows, and nothing else changes."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from scratchlm.data.batches import IGNORED, ArrayTokens, WindowBatches
from scratchlm.data.masking import HiddenTokens
from scratchlm.model.decoder import build_decoder
from scratchlm.training.config import AdamWConfig, TrainingConfig
from scratchlm.training.loop import Loop
from toys import toy_config

SOURCE = WindowBatches(ArrayTokens(np.arange(1000) % 50), 8, 20, 3)
MASK = 99


def test_a_hidden_token_is_the_target_of_the_position_before_it() -> None:
    hiding = HiddenTokens(SOURCE, 0.25, 0.3, MASK, 5)
    counted = []
    for (batch, state), (plain, plain_state) in itertools.islice(zip(hiding(None), SOURCE(None), strict=False), 20):
        assert state == plain_state
        assert batch.bidirectional is not None
        assert batch.bidirectional.tolist() == [True, True, *[False] * 6]
        assert torch.equal(batch.ids[2:], plain.ids[2:])
        assert torch.equal(batch.targets[2:], plain.targets[2:])
        hidden = batch.ids[:2] == MASK
        assert torch.equal(batch.ids[:2][~hidden], plain.ids[:2][~hidden])
        assert not hidden[:, 0].any()
        wanted = batch.targets[:2] != IGNORED
        assert torch.equal(wanted[:, :-1], hidden[:, 1:])
        assert not wanted[:, -1].any()
        assert torch.equal(batch.targets[:2][wanted], plain.targets[:2][wanted])
        assert wanted.any(1).all()
        counted.append(hidden[:, 1:].float().mean().item())
    assert 0.25 < np.mean(counted) < 0.35


def test_a_model_learns_to_restore_what_was_hidden() -> None:
    source = WindowBatches(ArrayTokens(np.arange(4000) % 10), 8, 20, 3)
    hiding = HiddenTokens(source, 1.0, 0.3, mask=10, seed=0)
    decoder = build_decoder(toy_config("default", vocabulary_size=11))
    training = TrainingConfig(steps=120, optimizer=AdamWConfig(learning_rate=0.01))
    losses = [record.loss for record in Loop(decoder, hiding, training).steps()]
    assert losses[-1] < 0.3 * losses[0]
    batch, _ = next(HiddenTokens(source, 1.0, 0.3, mask=10, seed=9)(None))
    with torch.no_grad():
        restored = decoder.logits(decoder.hidden(batch.ids, bidirectional=True)).argmax(-1)
    hidden = batch.targets != IGNORED
    assert float((restored == batch.targets)[hidden].float().mean()) > 0.7  # by chance 0.1


def test_what_is_hidden_follows_from_the_state() -> None:
    hiding = HiddenTokens(SOURCE, 0.5, 0.2, MASK, 5)
    batches = list(itertools.islice(hiding(None), 12))
    _, state = batches[6]
    resumed, _ = next(hiding(state))
    assert torch.equal(resumed.ids, batches[7][0].ids)
    assert torch.equal(resumed.targets, batches[7][0].targets)
    other, _ = next(HiddenTokens(SOURCE, 0.5, 0.2, MASK, 6)(None))
    assert not torch.equal(other.ids, batches[0][0].ids)
