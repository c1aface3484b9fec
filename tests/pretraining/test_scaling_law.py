"""What `plan` expects of a run: the law is the measured one, and moves as runs do."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
from bench.learning.law import Run, fit

from scratchlm.pretraining.config import PlanConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.plan import Plan, plan
from scratchlm.pretraining.scaling_law import USUAL_STEP, LossLaw, MeasuredRun, fit_law, fitted, loss_law

RESULT = Path(__file__).parents[2] / "bench" / "results" / "learning" / "law.json"


def planned(recipe: str, depth: int | None = None, steps: int | None = None) -> Plan:
    """Plan a recipe without a probe."""
    found = load_recipe(recipe, depth)
    training = found.training if steps is None else dataclasses.replace(found.training, steps=steps)
    return plan(PlanConfig(recipe, depth=depth, probe=False, model=found.model, training=training))


def test_the_law_is_the_measured_one_and_misses_no_run_by_more_than_it_says() -> None:
    measured = json.loads(RESULT.read_text(encoding="utf-8"))
    law = loss_law()
    assert dataclasses.asdict(law) == measured["law"]
    assert law.error == max(abs(run["left_out_error"]) for run in measured["runs"])
    for run in measured["runs"]:
        assert fitted(run["dial"])
        size = run["weights"], run["tokens"], run["tokens_a_step"]
        assert abs(law.bits(run["dial"], *size) - run["bits_per_byte"]) <= law.error
        assert law.covers(*size)


def test_a_law_is_found_again_from_runs_that_follow_it() -> None:
    law = LossLaw(1.3, 5.0, 0.3, 20.0, 0.25)
    sizes = [(n, d) for n in (50_000, 200_000, 800_000) for d in (100_000, 400_000, 1_600_000)]
    found = fit_law([MeasuredRun(n, d, law.bits("default", n, d)) for n, d in sizes])
    assert (found.alpha, found.beta) == (0.3, 0.25)
    assert found.floor == pytest.approx(1.3, abs=1e-3)
    assert found.bits("default", 10**7, 10**8) == pytest.approx(law.bits("default", 10**7, 10**8), abs=1e-3)
    with pytest.raises(ValueError, match="too few runs"):
        fit_law([MeasuredRun(n, d, float(n)) for n, d in sizes])  # larger is worse: no such law


def test_the_stored_law_is_the_fit_of_the_stored_runs() -> None:
    runs = json.loads(RESULT.read_text(encoding="utf-8"))["runs"]
    kinds = [field.name for field in dataclasses.fields(Run)]
    found = fit([Run(**{name: run[name] for name in kinds}) for run in runs])
    for name in ("floor", "a", "alpha", "b", "beta", "speedrun", "critical"):
        assert getattr(found, name) == getattr(loss_law(), name)


def test_larger_steps_learn_less_from_as_many_tokens_until_only_their_number_counts() -> None:
    law = dataclasses.replace(loss_law(), critical=10_000.0)
    run = 10**6, 10**6
    assert law.bits("default", *run) == law.bits("default", *run, USUAL_STEP["default"])
    bits = [law.bits("default", *run, 2**power) for power in range(8, 24)]
    assert bits == sorted(bits)
    # far above the critical batch, twice the tokens in steps twice as large teach hardly more
    assert law.bits("default", 10**6, 2 * 10**8, 2 * 10**6) == pytest.approx(
        law.bits("default", 10**6, 10**8, 10**6), abs=1e-3
    )
    assert dataclasses.replace(law, critical=math.inf).bits("default", *run, 2**20) == law.bits("default", *run)


def test_the_larger_runs_that_were_not_fitted_are_within_the_interval() -> None:
    law = loss_law()
    for run in json.loads((RESULT.parent / "larger.json").read_text(encoding="utf-8"))["runs"]:
        told = law.bits(run["dial"], run["weights"], run["tokens"], run["tokens_a_step"])
        assert run["weights"] > law.most_weights
        assert abs(told - run["bits_per_byte"]) <= law.error


@pytest.mark.parametrize("recipe", ["default", "speedrun"])
def test_more_steps_and_a_larger_model_are_expected_to_learn_more(recipe: str) -> None:
    short, long = planned(recipe, 4, 300), planned(recipe, 4, 900)
    assert short.expected_loss.bits_per_byte > long.expected_loss.bits_per_byte > 1
    assert planned(recipe, 6, 900).expected_loss.bits_per_byte < long.expected_loss.bits_per_byte


def test_a_run_far_from_those_measured_is_called_an_extrapolation() -> None:
    assert planned("default", 4, 900).expected_loss.measured
    assert re.search(r"[\d.]+ \([\d.]+ to [\d.]+\)$", planned("default", 4, 900).expected())
    assert not planned("default", 24).expected_loss.measured
    assert "beyond the runs measured" in planned("default", 24).expected()


def test_no_loss_is_expected_of_a_recipe_that_was_not_measured() -> None:
    assert planned("characters").expected_loss is None
    assert "not known" in planned("characters").expected()
