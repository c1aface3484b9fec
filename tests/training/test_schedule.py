"""The learning rate as a pure function of the step."""

from __future__ import annotations

import itertools

import pytest

from scratchlm.base.errors import UserError
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.schedule import lr_factor

SHAPES = ("linear", "cosine", "stable_decay")


def rates(steps: int, config: ScheduleConfig) -> list[float]:
    return [lr_factor(step, steps, config) for step in range(steps)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 500])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_every_rate_is_over_zero_and_at_most_the_peak(shape, steps: int, final: float) -> None:
    values = rates(steps, ScheduleConfig(shape=shape, warmup_steps=20, final_fraction=final))
    assert min(values) > 0
    assert values[-1] > final or steps == 1
    assert max(values) == pytest.approx(1.0, abs=0.35 if steps < 4 else 0.2)
    assert max(values) <= 1.0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rate_rises_evenly_to_the_peak_and_then_never_rises_again(shape) -> None:
    values = rates(500, ScheduleConfig(shape=shape, warmup_steps=20))
    assert values[:20] == pytest.approx([(i + 1) / 21 for i in range(20)])
    assert values[20] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(values[20:]))


def test_warm_up_takes_at_most_a_tenth_of_a_short_run() -> None:
    assert rates(30, ScheduleConfig(warmup_steps=20))[3] == 1.0
    assert rates(9, ScheduleConfig(warmup_steps=20))[0] == 1.0


def test_linear_goes_down_by_equal_steps_to_one_above_the_final_fraction() -> None:
    values = rates(100, ScheduleConfig(shape="linear", warmup_steps=10, final_fraction=0.1))
    assert {round(a - b, 9) for a, b in itertools.pairwise(values[10:])} == {0.01}
    assert values[-1] == pytest.approx(0.1 + 0.01)


def test_cosine_is_halfway_at_half_time_and_flat_at_both_ends() -> None:
    values = rates(1000, ScheduleConfig(shape="cosine", warmup_steps=0, final_fraction=0.2))
    assert values[500] == pytest.approx(0.2 + 0.8 * 0.5)
    assert values[0] - values[10] < 0.001
    assert values[-10] - values[-1] < 0.001
    assert values[-1] == pytest.approx(0.2, abs=1e-4)


def test_stable_decay_holds_the_peak_and_then_goes_down_linearly() -> None:
    values = rates(100, ScheduleConfig(shape="stable_decay", warmup_steps=5, decay_fraction=0.4))
    assert set(values[5:61]) == {1.0}
    assert {round(a - b, 9) for a, b in itertools.pairwise(values[60:])} == {0.025}
    assert values[-1] == pytest.approx(0.025)


def test_all_problems_of_a_training_configuration_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        TrainingConfig(
            steps=0,
            batch_size=-2,
            micro_batch_size=0,
            checkpoint_every=-1,
            clip=0.0,
            optimizer=AdamWConfig(learning_rate=float("nan")),
            schedule=ScheduleConfig(warmup_steps=-1),
        )
    for part in (
        *("training.steps is 0", "batch_size is -2", "micro_batch_size is 0", "checkpoint_every is -1"),
        *("clip is 0", "learning_rate is nan", "warmup_steps is -1"),
    ):
        assert part in str(caught.value)
