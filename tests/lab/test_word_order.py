"""Shuffled contexts, the bag of a context, and the roles of heads that copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scratchlm.data.batches import IGNORED, ArrayTokens
from scratchlm.inspection.heads import all_heads
from scratchlm.lab.shared import copying
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.word_order import (
    CONTEXT,
    WIDTHS,
    ShuffledBatches,
    bag_nats,
    last_nats,
    named,
    nats_by_width,
    shuffled,
    train_on_shuffled,
)
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.training.config import TrainingConfig


def toy(vocabulary_size: int = 40) -> Decoder:
    return build_decoder(qwen3_shaped(vocabulary_size, width=32, layers=1, context=32), 0)


@pytest.mark.parametrize("width", WIDTHS)
def test_tokens_stay_within_their_window(width: int) -> None:
    rows = torch.arange(CONTEXT).repeat(300, 1)
    mixed = shuffled(rows, width, np.random.default_rng(0))
    assert torch.equal(mixed // width, rows // width)
    assert torch.equal(mixed.sort(1).values, rows)
    places = {int(token) for token in mixed[:, -1]}
    assert places == set(range(CONTEXT - width, CONTEXT))  # the last token comes from anywhere in the last window


def test_a_batch_predicts_only_the_token_after_a_context_that_names_its_width() -> None:
    batches = ShuffledBatches(ArrayTokens(np.arange(2000)), 64, 3)
    (batch, state), other = next(batches(None)), next(batches(None))
    assert torch.equal(batch.ids, other[0].ids)
    assert batch.target_count == 64
    assert (batch.targets[:, :-1] == IGNORED).all()
    seen = set()
    for row, target in zip(batch.ids, batch.targets[:, -1], strict=True):
        width = WIDTHS[int(row[0])]
        first = int(target) - CONTEXT
        assert sorted(row[1:].tolist()) == list(range(first, first + CONTEXT))
        assert [(int(id) - first) // width for id in row[1:]] == [at // width for at in range(CONTEXT)]
        seen.add(width)
    assert seen == set(WIDTHS)
    assert not torch.equal(next(batches(state))[0].ids, batch.ids)


def test_training_on_shuffled_context_removes_the_confusion() -> None:
    """Each token of a text names the next in order; after training, a shuffled context is no worse than guessing."""
    text = np.arange(4000) % 13 + 5
    windows = torch.from_numpy(np.stack([text[at : at + CONTEXT + 1] for at in range(0, 200, 7)]))
    decoder = toy()
    train_on_shuffled(decoder, ArrayTokens(text), 150, 0)
    found = nats_by_width(decoder, windows, True)
    assert set(found) == {str(width) for width in WIDTHS}
    assert found["1"].mean() < 0.6
    assert found["16"].mean() < np.log(13)  # a model trained on order alone is confused: its loss is above guessing
    ordered = toy()
    fit_windows(ordered, ArrayTokens(text), TrainingConfig(steps=150, batch_size=32, sequence_length=CONTEXT), 0)
    assert nats_by_width(ordered, windows, False)["16"].mean() > np.log(13)


def test_the_loss_of_the_last_token_is_that_of_the_whole_logits() -> None:
    decoder = toy()
    windows = torch.randint(0, 40, (70, 9), generator=torch.Generator().manual_seed(0))
    logits = decoder(windows[:, :-1])[:, -1].detach().log_softmax(-1)
    expected = -logits.gather(1, windows[:, -1:]).squeeze(1)
    np.testing.assert_allclose(last_nats(decoder, windows), expected.numpy(), rtol=1e-5)
    assert torch.equal(named(windows, 4)[:, 0], torch.full((70,), WIDTHS.index(4)))


def test_a_bag_of_words_predicts_what_occurs_near_its_words() -> None:
    draw = np.random.default_rng(0)
    topics = np.repeat(draw.integers(0, 2, 400), 50)  # two topics with five words each
    text = topics * 5 + draw.integers(0, 5, len(topics))
    windows = torch.from_numpy(np.stack([text[at : at + CONTEXT + 1] for at in range(20, 18_000, 150)]))
    nats = bag_nats(text, windows, 10)
    assert np.log(5) - 0.05 < nats.mean() < np.log(10) - 0.2
    turned = windows.clone()
    turned[:, :-1] = windows[:, :-1].flip(1)
    np.testing.assert_allclose(bag_nats(text, turned, 10), nats, rtol=1e-5)  # a bag has no order


def test_heads_get_their_roles_by_scores_and_layers() -> None:
    heads = [(layer, head) for layer in range(3) for head in range(2)]
    induction = dict(zip(heads, [0.0, 0.1, 0.9, 0.2, 0.0, 0.0], strict=True))
    previous = dict(zip(heads, [0.8, 0.2, 0.0, 0.1, 0.9, 0.05], strict=True))
    found = copying.roles(induction, previous)
    assert found.induction == [(1, 0)]
    assert found.previous == [(0, 0)]  # (2, 0) attends to the previous token too, but above the induction head
    assert found.neutral == [(2, 1)]
    none = copying.roles(dict.fromkeys(heads, 0.0) | {(2, 0): 0.1}, dict.fromkeys(heads, 0.0) | {(0, 1): 0.1})
    assert (none.induction, none.previous) == ([(2, 0)], [(0, 1)])


def test_a_model_that_copies_is_tested_whole_and_without_the_heads_of_each_role() -> None:
    decoder = copying.copier(copying.SHORTEST, copying.PERIOD, 2, 0)
    assert len(all_heads(decoder)) == copying.LAYERS * copying.HEADS
    found = copying.measure(decoder, 5)
    assert {len(rows) for key, rows in found.items() if key not in ("scores", "roles")} == {5}
    assert len(found["scores"]) == len(all_heads(decoder))
    rows = copying.repeated(5, copying.PERIOD, copying.VOCABULARY, 2)
    assert torch.equal(rows[:, : copying.PERIOD], rows[:, copying.PERIOD :])
    assert found["second"] == copying.losses(decoder, rows, copying.PERIOD)[1]
    scores = copying.previous_scores(decoder, rows)
    assert all(0 <= score <= 1 for score in scores.values())
