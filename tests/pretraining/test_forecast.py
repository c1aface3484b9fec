"""What a run was expected to take and to reach is reported beside what came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marks import slow
from memory import measured
from scratchlm.base.runfolder import Evaluation, RunLog, Timing, Train
from scratchlm.data.prepare import prepare
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.forecast import compared, flops_utilization
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.tokens.config import PrepareConfig
from scratchlm.training.config import TrainingConfig

EXPECTED = {"memory": 400_000_000, "seconds": 90.0, "loss": {"bits_per_byte": 1.5, "error": 0.1, "measured": False}}


def test_what_came_stands_beside_what_was_expected(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    for step, seconds in ((10, 0.9), (20, 1.1)):
        log.write(Train(step=step, loss=3.0, gradient_norm=1.0, tokens=512, skipped=False, timing=Timing(seconds)))
    log.write(Evaluation(step=20, loss=3.1, bits_per_byte=1.62, tokens=1234))
    time, memory, loss = compared(tmp_path, {"forecast": EXPECTED, "peak_memory": 500_000_000})
    assert time[1:] == ("90", "20")
    assert memory[1:] == ("400", "500")
    assert loss[1:] == ("1.50 (1.40 to 1.60), beyond the runs measured", "1.62 on this run's text")
    assert compared(tmp_path, {"forecast": None}) == compared(tmp_path, {}) == []


def test_the_use_of_a_machine_is_that_of_the_median_step(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    told = {"product_peak": 10_000, "flops_per_token": 8}
    assert flops_utilization(tmp_path, told) is None
    for step, seconds in ((1, 9.0), (2, 1.0), (3, 0.8)):
        log.write(Train(step=step, loss=3.0, gradient_norm=1.0, tokens=500, skipped=False, timing=Timing(seconds)))
    assert flops_utilization(tmp_path, told) == pytest.approx(0.4)
    assert flops_utilization(tmp_path, {**told, "changes": [{"changed": ["ranks 2 to 1"]}]}) is None
    assert flops_utilization(tmp_path, {}) is None  # a run of an earlier version


@pytest.mark.parametrize("recipe", [slow("default"), "tiny"])
def test_a_run_keeps_its_forecast_and_reports_what_came(recipe: str, tmp_path: Path) -> None:
    prepare(PrepareConfig(("storyworld:100KB",), out=tmp_path / "data", vocabulary_size=400))
    training = TrainingConfig(steps=6, batch_size=4, sequence_length=16, log_every=1)
    model = load_recipe(recipe, 2 if recipe == "default" else None).model
    run = tmp_path / "run"
    pretrain(PretrainConfig(recipe, data=(tmp_path / "data",), out=run, training=training, model=model, threads=1))
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["forecast"]["seconds"] > 0
    assert (manifest["forecast"]["loss"] is not None) == (recipe == "default")
    assert manifest["peak_memory"] > 10**8
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What was expected" in page
    use = flops_utilization(run, manifest)
    assert use is not None
    assert use > 0
    assert f"used {use:.0%} of the" in " ".join(page.split())
    assert len(compared(run, manifest)) == (3 if recipe == "default" else 2)


def test_the_peak_is_that_of_the_process() -> None:
    script = "from scratchlm.base.memory import peak_memory; x = bytearray(10**8); print(peak(), peak_memory())"
    own, same = measured(script)
    assert own == pytest.approx(same, rel=0.01)
    assert same > 10**8
