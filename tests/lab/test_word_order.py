"""Shuffled contexts, the bag of a context, and the roles of heads that copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scratchlm.data.batches import ArrayTokens
from scratchlm.inspection.heads import all_heads
from scratchlm.lab.shared import copying
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.word_order import (
    CONTEXT,
    WIDTHS,
    ContextReader,
    WidthBatches,
    bag_nats,
    last_nats,
    reader_nats,
    shuffled,
    shuffled_nats,
    train_reader,
)
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.training.config import TrainingConfig
from toys import randomise


def toy(vocabulary_size: int = 40) -> Decoder:
    return build_decoder(qwen3_shaped(vocabulary_size, width=32, layers=1, context=32), 0)


def toy_reader() -> ContextReader:
    reader = ContextReader(toy().config)
    randomise(reader)
    return reader.eval()


@pytest.mark.parametrize("width", WIDTHS)
def test_tokens_stay_within_their_window(width: int) -> None:
    rows = torch.arange(CONTEXT).repeat(300, 1)
    mixed = shuffled(rows, width, np.random.default_rng(0))
    assert torch.equal(mixed // width, rows // width)
    assert torch.equal(mixed.sort(1).values, rows)
    places = {int(token) for token in mixed[:, -1]}
    assert places == set(range(CONTEXT - width, CONTEXT))  # the last token comes from anywhere in the last window


@pytest.mark.parametrize(("kind", "width"), list(enumerate(WIDTHS)))
def test_a_reader_knows_places_up_to_windows_of_its_width_and_nothing_farther_back(kind: int, width: int) -> None:
    reader = toy_reader()
    ids = torch.randint(0, 40, (4, 30), generator=torch.Generator().manual_seed(0))
    documents = torch.full_like(ids, kind)
    before = reader.hidden(ids, documents=documents)[:, -1]
    same, other = ids.clone(), ids.clone()
    same[:, -CONTEXT:] = shuffled(ids[:, -CONTEXT:], width, np.random.default_rng(0))
    torch.testing.assert_close(reader.hidden(same, documents=documents)[:, -1], before, rtol=1e-4, atol=1e-5)
    if width < CONTEXT:  # the last token changes places with one of the window before
        other[:, [-1, -1 - width]] = ids[:, [-1 - width, -1]]
        changed = (reader.hidden(other, documents=documents)[:, -1] - before).abs().amax(1)
        assert (changed[ids[:, -1] != ids[:, -1 - width]] > 1e-4).all()
    far = ids.clone()
    far[:, :-CONTEXT] = 0
    torch.testing.assert_close(reader.hidden(far, documents=documents)[:, -1], before)
    short = reader.hidden(ids[:, -CONTEXT:], documents=documents[:, -CONTEXT:])
    torch.testing.assert_close(short[:, -1], before)


def test_a_reader_never_sees_the_token_that_it_predicts() -> None:
    reader = toy_reader()
    ids = torch.randint(0, 40, (2, 20), generator=torch.Generator().manual_seed(1))
    later = ids.clone()
    later[:, 12:] = 0
    kinds = torch.tensor([[0], [4]]).expand(2, 20)
    torch.testing.assert_close(
        reader.hidden(later, documents=kinds)[:, :12], reader.hidden(ids, documents=kinds)[:, :12]
    )


def test_each_row_of_a_batch_has_a_width() -> None:
    batches = WidthBatches(ArrayTokens(np.arange(9000)), 32, 24, 3)
    (batch, state), (again, _) = next(batches(None)), next(batches(None))
    assert batch.documents is not None
    assert again.documents is not None
    assert torch.equal(batch.documents, again.documents)
    assert (batch.documents == batch.documents[:, :1]).all()
    assert set(batch.documents[:, 0].tolist()) == set(range(len(WIDTHS)))
    assert torch.equal(batch.ids + 1, batch.targets)
    assert not torch.equal(next(batches(state))[0].ids, batch.ids)


@pytest.mark.slow
def test_a_reader_without_order_is_not_confused() -> None:
    """Each pair of tokens names the next, so order tells all; without it a reader does no worse than guessing."""
    text = np.arange(6000) % 13 + 5
    text[::2] = text[::2][np.random.default_rng(0).permutation(3000)]
    text[1::2] = text[::2] + 14
    windows = torch.from_numpy(np.stack([text[at : at + CONTEXT + 1] for at in range(0, 600, 6)]))
    ordered = toy()
    fit_windows(ordered, ArrayTokens(text), TrainingConfig(steps=100, batch_size=32, sequence_length=24), 0)
    reader = train_reader(ordered, ArrayTokens(text), 60, 0)
    assert reader.embedding.weight.shape == ordered.embedding.weight.shape
    found, confused = reader_nats(reader, windows), shuffled_nats(ordered, windows)
    assert set(found) == set(confused) == {str(width) for width in WIDTHS}
    assert found["16"].mean() < confused["16"].mean() - 0.3
    assert found["16"].mean() < np.log(26) + 0.1


def test_the_loss_of_the_last_token_is_that_of_the_whole_logits() -> None:
    decoder = toy()
    windows = torch.randint(0, 40, (70, 9), generator=torch.Generator().manual_seed(0))
    logits = decoder(windows[:, :-1])[:, -1].detach().log_softmax(-1)
    expected = -logits.gather(1, windows[:, -1:]).squeeze(1)
    np.testing.assert_allclose(last_nats(decoder, windows), expected.numpy(), rtol=1e-5)


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
    decoder = copying.copying_model(copying.SHORTEST, copying.PERIOD, 2, 0)
    assert len(all_heads(decoder)) == copying.LAYERS * copying.HEADS
    found = copying.measure(decoder, 5)
    assert {len(rows) for key, rows in found.items() if isinstance(rows, list) and key != "scores"} == {5}
    assert all(0 <= found[key] <= 1 for key in ("by-place", "fed", "unfed"))
    assert len(found["scores"]) == len(all_heads(decoder))
    rows = copying.repeated(5, copying.PERIOD, copying.VOCABULARY, 2)
    assert torch.equal(rows[:, : copying.PERIOD], rows[:, copying.PERIOD :])
    assert found["second"] == copying.losses(decoder, rows, copying.PERIOD)[1]
    scores = copying.previous_scores(decoder, rows)
    assert all(0 <= score <= 1 for score in scores.values())
