"""What `plan` expects of a run: the law is the measured one, and moves as runs do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from scratchlm.recipes.config import PlanConfig
from scratchlm.recipes.dial import load_recipe
from scratchlm.recipes.expected import fitted, loss_law
from scratchlm.recipes.plan import Plan, plan

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
        assert abs(law.bits(run["dial"], run["weights"], run["tokens"]) - run["bits_per_byte"]) <= law.error
        assert law.covers(run["weights"], run["tokens"])


@pytest.mark.parametrize("recipe", ["default", "speedrun"])
def test_more_steps_and_a_larger_model_are_expected_to_learn_more(recipe: str) -> None:
    short, long = planned(recipe, 4, 300), planned(recipe, 4, 900)
    assert short.expected_bits_per_byte > long.expected_bits_per_byte > 1
    assert planned(recipe, 6, 900).expected_bits_per_byte < long.expected_bits_per_byte


def test_a_run_far_from_those_measured_is_called_an_extrapolation() -> None:
    assert planned("default", 4, 900).expected_measured
    assert "off by at most" in planned("default", 4, 900)._expected()
    assert not planned("default", 24).expected_measured
    assert "beyond the runs measured" in planned("default", 24)._expected()


def test_no_loss_is_expected_of_a_recipe_that_was_not_measured() -> None:
    assert planned("characters").expected_bits_per_byte is None
    assert "not known" in planned("characters")._expected()
