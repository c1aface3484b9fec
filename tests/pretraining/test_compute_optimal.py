"""Sizes that a time is spent on: probed here, expected by the law, tried a little past the best."""

from __future__ import annotations

import dataclasses

import pytest

from scratchlm.base.errors import UserError
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining import compute_optimal as sizes
from scratchlm.pretraining.compute_optimal import PAST_BEST, SHALLOWEST, best_of
from scratchlm.pretraining.config import PlanConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.plan import plan
from scratchlm.pretraining.scaling_law import loss_law
from scratchlm.training.loop import RuntimeConfig


@pytest.fixture(scope="module")
def recipe_of_two() -> PlanConfig:
    """A plan for half a minute of the recipe default."""
    found = load_recipe("default", 2)
    model = dataclasses.replace(found.model, vocabulary_size=1000)
    return PlanConfig("default", depth=2, minutes=0.5, model=model, training=found.training)


def test_minutes_are_turned_into_steps_and_into_sizes(recipe_of_two: PlanConfig) -> None:
    found = plan(recipe_of_two)
    assert found.step_seconds is not None
    assert found.steps == int((0.5 * 54 - 1.5) / found.step_seconds)  # less the last evaluation and the probe
    depths = [size.depth for size in found.sizes]
    assert depths == list(range(SHALLOWEST, SHALLOWEST + len(depths)))
    assert depths[-1] - best_of(found.sizes).depth == PAST_BEST
    for size in found.sizes:
        model = load_recipe("default", size.depth).model
        decoder = build_decoder(dataclasses.replace(model, vocabulary_size=1000))
        inside = sum(p.numel() for block in decoder.blocks for p in block.parameters() if p.ndim == 2)
        assert size.parameters == decoder.parameter_count()
        assert size.expected_bits_per_byte == pytest.approx(loss_law().bits("default", inside, size.tokens))
    assert [row["depth"] for row in found.as_dict()["sizes"]] == depths


def test_a_recipe_without_a_law_is_told_its_steps_alone() -> None:
    found = load_recipe("tiny")
    planned = plan(PlanConfig("tiny", minutes=0.2, model=found.model, training=found.training))
    assert not planned.sizes
    assert planned.steps != found.training.steps


def test_sizes_that_come_after_the_time_for_probes_are_judged_by_their_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    timed = []

    def slow(decoder: Decoder, *_: object) -> float:
        nonlocal now
        now += 1.5
        timed.append(decoder.config.layers)
        return 0.5

    monkeypatch.setattr(sizes, "measure_step", slow)
    runtime = RuntimeConfig()
    found = sizes.sizes_within("default", 60.0, vocabulary_size=1000, runtime=runtime, budget=3.0, clock=lambda: now)
    assert timed == [2, 3]  # two probes, and the three seconds are over
    assert [size.probed for size in found] == [True, True, False, False]
    speeds = [size.tokens_per_second for size in found[1:]]
    assert speeds == sorted(speeds, reverse=True)


def test_on_a_machine_too_slow_for_a_step_no_size_looks_better_for_being_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(decoder: Decoder, *_: object) -> float:
        return 1e-3 * decoder.parameter_count()

    monkeypatch.setattr(sizes, "measure_step", slow)
    found = sizes.sizes_within("default", 0.5, vocabulary_size=1000, runtime=RuntimeConfig())
    assert len(found) < 6


def test_without_minutes_a_plan_takes_ten_seconds_and_longer_where_blocks_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets = []

    def note(*given: object) -> float:
        budgets.append(given[-1])
        return 0.1

    monkeypatch.setattr("scratchlm.pretraining.plan.measure_step", note)
    for recipe in ("default", "speedrun"):
        found = load_recipe(recipe, 2)
        planned = plan(PlanConfig(recipe, dtype="fp32", model=found.model, training=found.training))
        assert planned.seconds == pytest.approx(0.1 * planned.steps)
        assert not planned.uncompiled
    assert budgets == [10.0, 30.0]


def test_minutes_need_a_probe(recipe_of_two: PlanConfig) -> None:
    with pytest.raises(UserError, match="leave out --no-probe"):
        dataclasses.replace(recipe_of_two, probe=False)


def test_minutes_for_a_model_too_large_to_probe_are_refused(recipe_of_two: PlanConfig) -> None:
    huge = dataclasses.replace(recipe_of_two.model, vocabulary_size=10_000_000)
    with pytest.raises(UserError, match=r"--minutes 0.5: .* over the 300,000,000"):
        plan(dataclasses.replace(recipe_of_two, model=huge))
