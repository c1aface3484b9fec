"""Stages of a run, and the average of its last weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from scratchlm.base.errors import UserError
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.training.averaging import WeightAverage
from scratchlm.training.config import SizeWarmupConfig, TrainingConfig
from scratchlm.training.schedule import StepPlan
from scratchlm.training.stages import stages, training_batches

TOKENS = ArrayTokens(np.arange(500))
STAGED = TrainingConfig(
    steps=10,
    batch_size=2,
    sequence_length=12,
    size_warmup=SizeWarmupConfig(fraction=0.4, batch_size=5, sequence_length=3),
)


def test_a_warm_up_has_its_own_sizes_and_the_rest_begins_where_a_plain_run_does() -> None:
    taken = [batch.ids for batch, _ in itertools.islice(training_batches(TOKENS, STAGED, 7)(None), 10)]
    assert [tuple(ids.shape) for ids in taken] == [(5, 3)] * 4 + [(2, 12)] * 6
    short, plain = WindowBatches(TOKENS, 5, 3, 7)(None), WindowBatches(TOKENS, 2, 12, 7)(None)
    expected = [next(short)[0].ids for _ in range(4)] + [next(plain)[0].ids for _ in range(6)]
    assert all(map(torch.equal, taken, expected))


@pytest.mark.parametrize("after", range(1, 9))
def test_staged_batches_go_on_from_the_state_of_any_batch(after: int) -> None:
    source = training_batches(TOKENS, STAGED, 7)
    whole = list(itertools.islice(source(None), 10))
    rest = itertools.islice(source(whole[after - 1][1]), 10 - after)
    for (batch, state), (expected, then) in zip(rest, whole[after:], strict=True):
        assert torch.equal(batch.ids, expected.ids)
        assert state == then


def test_without_a_warm_up_nothing_is_staged() -> None:
    plain = TrainingConfig(batch_size=2, sequence_length=12)
    assert training_batches(TOKENS, plain, 7) == WindowBatches(TOKENS, 2, 12, 7)


def test_stages_count_their_tokens() -> None:
    assert [(stage.steps, stage.tokens) for stage in stages(TOKENS, STAGED, 0)] == [(4, 60), (6, 144)]


def test_all_problems_of_a_warm_up_are_reported_at_once() -> None:
    with pytest.raises(UserError) as problems:
        TrainingConfig(size_warmup=SizeWarmupConfig(fraction=1.5, batch_size=0, sequence_length=-1), tail_average=2.0)
    for name in (
        "size_warmup.fraction is 1.5",
        "size_warmup.batch_size is 0",
        "sequence_length is -1",
        "tail_average is 2",
    ):
        assert name in str(problems.value)


def test_the_tail_average_is_the_mean_of_the_last_weights_and_only_the_last_step_changes_the_model() -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, TrainingConfig(tail_average=0.3))
    seen = []
    for step in range(1, 11):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        seen.append(model.weight.detach().clone())
        average.update(step, StepPlan(10))
        if step < 10:
            assert torch.equal(model.weight, seen[-1])
    torch.testing.assert_close(model.weight.detach(), torch.stack(seen[-3:]).mean(0))


def test_no_share_averages_nothing() -> None:
    model = nn.Linear(3, 2)
    average, before = WeightAverage(model, TrainingConfig()), model.weight.detach().clone()
    for step in range(1, 5):
        average.update(step, StepPlan(4))
    assert torch.equal(model.weight, before)
    assert average.tensors() == {}


def test_the_exponential_average_is_that_of_all_weights_and_only_the_last_step_changes_the_model() -> None:
    model, steps, decay = torch.nn.Linear(2, 2), 30, 0.7
    average = WeightAverage(model, TrainingConfig(ema_decay=decay))
    expected = None
    for step in range(1, steps + 1):
        with torch.no_grad():
            model.weight.add_(torch.full_like(model.weight, float(step)))
        now = model.weight.detach().clone()
        share = min(decay, step / (step + 10))
        expected = now if expected is None else share * expected + (1 - share) * now
        average.update(step, StepPlan(steps))
        assert torch.equal(model.weight, now) == (step < steps)
    torch.testing.assert_close(model.weight, expected)


def test_two_averages_at_once_are_refused() -> None:
    with pytest.raises(UserError, match=r"training\.ema_decay: not beside training\.tail_average"):
        TrainingConfig(ema_decay=0.9, tail_average=0.2)
