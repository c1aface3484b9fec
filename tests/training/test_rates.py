"""The range test trains a copy with a rising rate, and reports where the loss falls and where it rises again."""

from __future__ import annotations

import torch

from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.rates import HIGHEST, LOWEST, RateTest, rate_test
from toys import VOCABULARY, random_decoder, toy_config


def batches() -> WindowBatches:
    ids = (torch.arange(4000) ** 2 % 17 % VOCABULARY).numpy().astype("uint16")
    return WindowBatches(ArrayTokens(ids), 8, 16, seed=0)


def test_the_rate_rises_evenly_from_far_below_the_recipes_to_far_above() -> None:
    config = TrainingConfig(optimizer=AdamWConfig(learning_rate=1e-6), batch_size=8, sequence_length=16)
    found = rate_test(random_decoder(toy_config("default")), batches(), config, RuntimeConfig(), steps=40)
    assert len(found.rates) == 40
    torch.testing.assert_close(torch.tensor(found.rates[0]), torch.tensor(LOWEST * 1e-6))
    torch.testing.assert_close(torch.tensor(found.rates[-1]), torch.tensor(HIGHEST * 1e-6))
    ratios = [after / before for before, after in zip(found.rates, found.rates[1:], strict=False)]
    assert max(ratios) / min(ratios) < 1.0001


def test_a_rate_that_is_too_high_ends_it_and_the_model_stays_as_it_was() -> None:
    decoder = random_decoder(toy_config("default"))
    before = {name: weight.clone() for name, weight in decoder.named_parameters()}
    for optimizer in (MuonConfig(), AdamWConfig(learning_rate=1e-2)):
        config = TrainingConfig(optimizer=optimizer, batch_size=8, sequence_length=16)
        found = rate_test(decoder, batches(), config, RuntimeConfig(), steps=100)
        peak = optimizer.learning_rate
        assert len(found.rates) < 100
        assert found.rates[0] < found.steepest <= found.lowest < found.rates[-1]
        assert LOWEST * peak < found.lowest < HIGHEST * peak
    assert all(torch.equal(weight, before[name]) for name, weight in decoder.named_parameters())


def test_lowest_and_steepest_are_read_off_the_curve() -> None:
    found = RateTest([1.0, 2.0, 4.0, 8.0, 16.0], [5.0, 4.9, 4.0, 3.8, 6.0])
    assert (found.lowest, found.steepest) == (8.0, 4.0)
    assert RateTest([1.0], [5.0]).steepest == 1.0
