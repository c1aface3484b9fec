"""Probes keep their time, whatever a step takes."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch

from scratchlm.data.batches import ArrayTokens, Batch
from scratchlm.model.decoder import Decoder
from scratchlm.training import probing
from scratchlm.training.config import SizeWarmupConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.loss import next_token_loss
from scratchlm.training.probing import probe_seconds, step_time
from scratchlm.training.stages import measure_step
from toys import VOCABULARY, random_decoder, random_ids, toy_config


class SlowMachine:
    """A clock that a loss moves on: so many seconds a token."""

    def __init__(self, seconds_a_token: float) -> None:
        self.now = 0.0
        self.seconds_a_token = seconds_a_token

    def __call__(self) -> float:
        return self.now

    def loss(self, decoder: Decoder, batch: Batch) -> torch.Tensor:
        self.now += self.seconds_a_token * batch.ids.numel()
        return next_token_loss(decoder, batch)


def windows(rows: int, length: int = 96):
    """A source of full windows."""

    def source(state=None):
        while True:
            yield Batch(random_ids(rows, length, VOCABULARY), random_ids(rows, length, VOCABULARY, seed=2)), {}

    return source


def probe(machine: SlowMachine, budget: float, rows: int = 32) -> float:
    decoder = random_decoder(replace(toy_config("default"), context=128))
    config, peak = TrainingConfig(batch_size=rows), decoder.flops_per_token(96) / machine.seconds_a_token / 0.2
    return step_time(
        decoder, windows(rows), config, RuntimeConfig(), budget=budget, loss=machine.loss, clock=machine, peak=peak
    )


@pytest.mark.parametrize("seconds_a_token", [1.0, 0.03, 0.003, 0.0001])
def test_a_probe_keeps_its_time_and_still_tells_what_a_step_takes(seconds_a_token: float) -> None:
    machine = SlowMachine(seconds_a_token)
    seconds = probe(machine, budget=2.0)
    assert machine.now <= max(2.0, 32 * seconds_a_token)  # one short piece is the least that tells anything
    assert seconds == pytest.approx(32 * 96 * seconds_a_token, rel=0.5)


def test_where_whole_steps_fit_they_are_what_is_timed() -> None:
    machine = SlowMachine(1e-4)
    assert probe(machine, budget=20.0) == pytest.approx(32 * 96e-4)
    assert machine.now > 10.0


def test_rows_whose_loss_falls_on_some_places_alone_are_not_cut() -> None:
    ids, targets = random_ids(4, 96, VOCABULARY), torch.full((4, 96), -100)
    targets[:, -1] = 1
    assert [piece.ids.shape for piece in probing.pieces_of(Batch(ids, targets), None)] == [(1, 96), (4, 96)]
    assert [piece.ids.shape for piece in probing.pieces_of(Batch(ids, ids), 2)] == [(1, 32), (1, 96), (2, 96)]


def test_probes_of_all_stages_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = []

    def note(*_: object, budget: float, **__: object) -> float:
        budgets.append(budget)
        return float(len(budgets))

    monkeypatch.setattr("scratchlm.training.stages.step_time", note)
    tokens = ArrayTokens(random_ids(1, 2000, VOCABULARY)[0].numpy())
    warmup = SizeWarmupConfig(fraction=0.25, batch_size=2, sequence_length=6)
    config = TrainingConfig(steps=100, batch_size=2, sequence_length=12, size_warmup=warmup)
    seconds = measure_step(random_decoder(toy_config("default")), tokens, config, RuntimeConfig(), 1.0)
    assert budgets == [0.5, 0.5]
    assert seconds == pytest.approx(0.25 * 1.0 + 0.75 * 2.0)


def test_a_step_after_the_compiling_is_timed_even_where_that_took_the_whole_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, compiling = SlowMachine(1e-3), [100.0]

    def loss(decoder: Decoder, batch: Batch) -> torch.Tensor:
        machine.now += compiling.pop() if compiling else 0.0
        return machine.loss(decoder, batch)

    monkeypatch.setattr(probing, "compiled_blocks", lambda decoder: contextlib.nullcontext(True))
    decoder = random_decoder(replace(toy_config("default"), context=128))
    config = TrainingConfig(batch_size=4, compile=True)
    found = step_time(decoder, windows(4), config, RuntimeConfig(), budget=30.0, loss=loss, clock=machine, peak=1e9)
    assert found == pytest.approx(4 * 96e-3)


def test_a_probe_takes_at_most_a_twentieth_of_the_time() -> None:
    assert probe_seconds(0.2) == pytest.approx(0.6)
    assert probe_seconds(3.0) == 2.0
    assert probe_seconds(None) == 2.0
    assert probe_seconds(1.0, compiled=True) == 2.0  # too little to compile in, so blocks are timed uncompiled
    assert probe_seconds(10.0, compiled=True) == pytest.approx(30.0)
