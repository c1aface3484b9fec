"""The recurrent network: one step written out, torch's layers, and the interface of a decoder."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from scratchlm.classic.recurrent import CarriedLoss, Cell, build_recurrent, carried_nats, gru_step, lstm_step
from scratchlm.data.batches import ArrayTokens, StreamBatches, WindowBatches
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.model.config import ClassesConfig, DecoderConfig
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from scratchlm.training.loss import next_token_loss
from toys import byte_tokenizer

SHAPE = DecoderConfig(vocabulary_size=300, width=12, layers=2, context=32)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_steps_written_out_give_the_states_of_torch(cell: Cell) -> None:
    network = build_recurrent(SHAPE, cell)
    layer = network.layers[0]
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 7, 12)
    theirs, _ = layer(x)
    state, memory = torch.zeros(3, 12), torch.zeros(3, 12)
    for t in range(7):
        if isinstance(layer, nn.LSTM):
            state, memory = lstm_step(layer, x[:, t], state, memory)
        else:
            assert isinstance(layer, nn.GRU)
            state = gru_step(layer, x[:, t], state)
        torch.testing.assert_close(state, theirs[:, t], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_changing_a_token_never_changes_logits_before_it(cell: Cell) -> None:
    network = build_recurrent(SHAPE, cell, seed=3)
    ids = torch.randint(0, 300, (1, 10))
    other = ids.clone()
    other[0, 6] = (other[0, 6] + 1) % 300
    before, after = network(ids), network(other)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_weights_depend_on_the_seed_only_and_the_forget_gate_starts_open() -> None:
    one, same, other = (build_recurrent(SHAPE, "lstm", seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)
    bias = dict(one.named_parameters())["layers.0.bias_ih_l0"]
    assert bias.tolist() == [0.0] * 12 + [1.0] * 12 + [0.0] * 24


def test_it_trains_in_the_same_loop_and_generates() -> None:
    tokenizer = byte_tokenizer()
    shape = DecoderConfig(vocabulary_size=tokenizer.vocabulary_size, width=24, layers=1, context=32, init_std=0.1)
    network = build_recurrent(shape, "gru")
    ids = torch.tensor(tokenizer.encode("the cat sat. " * 60)).numpy()
    before = held_out_loss(network, tokenizer, ArrayTokens(ids), length=32).loss
    training = TrainingConfig(steps=60, batch_size=8, sequence_length=32, optimizer=AdamWConfig(learning_rate=0.02))
    fit(Loop(network, WindowBatches(ArrayTokens(ids), 8, 32, 0), training))
    after = held_out_loss(network, tokenizer, ArrayTokens(ids), length=32).loss
    assert before == pytest.approx(math.log(tokenizer.vocabulary_size), rel=0.1)
    assert after < 0.5
    written = list(generate_ids(network, tokenizer.encode("the cat"), SamplingConfig(max_tokens=6, temperature=0.0)))
    assert tokenizer.decode(written) == " sat. "


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_carrying_the_state_equals_one_long_forward_pass(cell: Cell) -> None:
    network = build_recurrent(SHAPE, cell, seed=3)
    ids = torch.randint(0, 300, (3, 41), generator=torch.Generator().manual_seed(1))
    whole, state, parts = network.hidden(ids), None, []
    for start in (0, 1, 8, 40):
        stop = min([after for after in (1, 8, 40, 41) if after > start])
        made, state = network.advance(ids[:, start:stop], state)
        parts.append(made)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    anew = torch.cat([network.hidden(ids[:, :8]), network.hidden(ids[:, 8:])], 1)
    assert not torch.allclose(anew, whole, atol=1e-3)  # without the state it is another number


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("length", [1, 5, 64])
def test_texts_are_scored_as_by_one_long_forward_pass_each(cell: Cell, length: int) -> None:
    network = build_recurrent(SHAPE, cell, seed=3)
    draw = np.random.default_rng(0)
    texts = [draw.integers(0, 300, size) for size in (30, 2, 17)]
    found = carried_nats(network, texts, length)
    assert [len(nats) for nats in found] == [29, 1, 16]
    for text, nats in zip(texts, found, strict=True):
        ids = torch.from_numpy(text)[None]
        with torch.no_grad():
            expected = -network(ids[:, :-1])[0].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        np.testing.assert_allclose(nats, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_the_carried_loss_goes_on_from_batch_to_batch_and_keeps_the_gradient_inside_one() -> None:
    network = build_recurrent(SHAPE, "lstm", seed=3)
    first, second = (batch for batch, _ in itertools.islice(StreamBatches(ArrayTokens(np.arange(200)), 2, 6, 0)(), 2))
    loss = CarriedLoss()
    for batch in (first, second):
        network.zero_grad()
        total = loss(network, batch)
        total.backward()  # fails at the second batch if its graph reaches into the first, which is freed
    both = network.hidden(torch.cat([first.ids, second.ids], 1))[:, 6:]
    logits = network.logits(both).flatten(0, 1)
    expected = nn.functional.cross_entropy(logits, second.targets.flatten(), reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert total.item() != pytest.approx(next_token_loss(network, second).item(), rel=1e-5)
    assert loss.state is not None
    assert not any(each.requires_grad for each in loss.state)


@pytest.mark.parametrize(
    "optimizer", [AdamWConfig(learning_rate=0.02), MuonConfig(adam=AdamWConfig(learning_rate=0.02))]
)
def test_it_learns_from_streams_what_a_window_alone_does_not_tell(optimizer: OptimizerConfig) -> None:
    ids = np.concatenate([[token, 4, token + 2] for token in np.random.default_rng(0).integers(0, 2, 500)])
    network = build_recurrent(DecoderConfig(5, width=16, layers=1, context=2, init_std=0.1), "lstm")
    training = TrainingConfig(steps=300, batch_size=8, sequence_length=2, optimizer=optimizer)
    fit(Loop(network, StreamBatches(ArrayTokens(ids), 8, 2, 0), training, loss=CarriedLoss()))
    told = (ids[1:] == 2) | (ids[1:] == 3)  # by the token two places before: half of the windows of two begin after it
    assert carried_nats(network, [ids])[0][told].mean() < math.log(2) / 8


def test_the_class_of_a_text_does_not_depend_on_padding() -> None:
    shape = DecoderConfig(vocabulary_size=300, width=12, layers=1, context=32, classes=ClassesConfig(3, pooling="mean"))
    network = build_recurrent(shape)
    ids = torch.randint(0, 300, (1, 5))
    longer = torch.cat([ids, torch.randint(0, 300, (1, 4))], 1)
    last = torch.tensor([4])
    torch.testing.assert_close(
        network.class_logits(network.hidden(ids), last), network.class_logits(network.hidden(longer), last)
    )


def test_flops_count_the_head_and_not_the_embedding() -> None:
    tied = build_recurrent(SHAPE)
    assert tied.flops_per_token(32) == 6 * tied.parameter_count()
