"""What a run leaves to the machine and to its minutes is settled before the first step, and recorded."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchlm
from scratchlm.base import device
from scratchlm.base.device import Processor
from scratchlm.base.runfolder import Evaluation, Revision, Timing, Train, read_log
from scratchlm.data.batches import ArrayTokens
from scratchlm.model.decoder import Decoder
from scratchlm.pretraining import compute_optimal
from scratchlm.pretraining.budget.pacing import paced, seconds_of
from scratchlm.pretraining.budget.settling import at_best_depth
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.runs.resuming import stored_settings
from scratchlm.training.ranks import Ranks
from scratchlm.weights.checkpoint import find_model

SMALL = {"training.batch_size": 4, "training.sequence_length": 32, "training.log_every": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("budget") / "data"
    scratchlm.prepare("storyworld:60KB", out=place, vocabulary_size=300)
    return place


def recorded(run: Path) -> tuple[list[str], dict]:
    """Return the lines of a run's recipe, and its manifest."""
    return (run / "recipe.toml").read_text().splitlines(), json.loads((run / "manifest.json").read_text())


def test_auto_is_recorded_with_its_meaning_and_a_resume_on_another_machine_takes_that(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "processor", lambda: Processor("x86_64", "GenuineIntel"))
    steps = {**SMALL, "training.steps": 2}
    scratchlm.pretrain("tiny", data=data, out=tmp_path / "run", threads=1, overrides=steps)
    assert "number format: fp32 (the processor has no bf16 products)" in capsys.readouterr().err
    recipe, manifest = recorded(tmp_path / "run")
    assert 'dtype = "auto"  # default' in recipe
    assert 'device = "cpu"  # machine' in recipe
    assert any(line.startswith("vocabulary_size = ") and line.endswith("# data") for line in recipe)
    assert (manifest["dtype"], manifest["dtype_reason"]) == ("fp32", "the processor has no bf16 products")
    assert "in fp32 (the processor has no bf16 products)" in (tmp_path / "run" / "report.html").read_text()

    weights = find_model(tmp_path / "run") / "model.safetensors"
    before = weights.read_bytes()
    for old in (tmp_path / "run" / "checkpoints").iterdir():
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    monkeypatch.setattr(device, "processor", lambda: Processor("x86_64", "GenuineIntel", amx_bf16=True))
    scratchlm.pretrain(resume=tmp_path / "run")
    assert (
        "goes on in fp32, as it began; here auto would be bf16 (the processor has amx_bf16)" in capsys.readouterr().err
    )
    assert weights.read_bytes() == before


def test_a_fine_tuning_records_what_auto_means_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "processor", lambda: Processor("riscv64", ""))
    scratchlm.pretrain("tiny", data=data, out=tmp_path / "base", dtype="fp32", overrides={**SMALL, "training.steps": 1})
    rows = [{"text": f"{n} cats", "label": n % 2} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scratchlm.finetune_classify(init=tmp_path / "base", data=tmp_path / "rows.jsonl", out=tmp_path / "run", epochs=0.1)
    recipe, manifest = recorded(tmp_path / "run")
    assert 'dtype = "auto"  # default' in recipe
    assert (manifest["dtype"], manifest["dtype_reason"]) == ("fp32", "bf16 was never measured on riscv64")
    assert "number format: fp32 (bf16 was never measured on riscv64)" in capsys.readouterr().err


def test_minutes_become_revised_steps_that_the_run_keeps(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = scratchlm.pretrain("tiny", data=data, out=run, minutes=0.08, threads=1, overrides=SMALL)
    recipe, manifest = recorded(run)
    planned = stored_settings(PretrainConfig, run).training.steps
    assert f"steps = {planned}  # budget" in recipe
    assert "minutes = 0.08  # flag" in recipe
    records = list(read_log(run / "metrics.jsonl"))
    revisions = [[record.step, record.steps] for record in records if isinstance(record, Revision)]
    assert manifest["budget"]["revisions"] == revisions
    assert result.steps == (revisions[-1][1] if revisions else planned)
    last = [record for record in records if isinstance(record, Evaluation)][-1]
    assert last.step == result.steps
    assert json.loads((find_model(run) / "config.json").read_text())["provenance"]["steps"] == result.steps


def test_the_pace_of_a_resumed_run_repeats_its_revisions_and_has_the_time_that_is_left(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    scratchlm.pretrain("tiny", data=data, out=run, threads=1, dtype="fp32", overrides={**SMALL, "training.steps": 6})
    config = dataclasses.replace(stored_settings(PretrainConfig, run), minutes=1.0)
    assert paced(run, config, lambda: 0.0) is None  # began without a budget
    manifest = json.loads((run / "manifest.json").read_text())
    budget = {"spent": 10.0, "step": 1.0, "revisions": [[2, 9], [4, 20]]}
    (run / "manifest.json").write_text(json.dumps({**manifest, "budget": budget}))
    now = 0.0
    pace = paced(run, config, lambda: now)
    assert pace is not None
    plans = []
    for step in range(12):
        plans.append(pace(step))
        now += 1.0
    assert plans[:7] == [6, 6, 9, 9, 20, 20, 20]
    assert 30 < plans[-1] < 55  # of sixty seconds ten were spent, and some are kept for the end
    kept = json.loads((run / "manifest.json").read_text())["budget"]["revisions"]
    assert kept[:2] == [[2, 9], [4, 20]]
    assert kept[2][0] > 6


def test_a_log_accounts_for_the_seconds_of_steps_between_its_lines_and_for_evaluations() -> None:
    def train(step: int, seconds: float) -> Train:
        return Train(step=step, loss=1.0, gradient_norm=1.0, tokens=1, skipped=False, timing=Timing(seconds))

    looked = Evaluation(step=10, loss=1.0, timing=Timing(4.0))
    assert seconds_of([train(1, 5.0), train(10, 1.0), looked, train(20, 2.0)]) == 5.0 + 9 * 1.0 + 4.0 + 10 * 2.0


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which steps take long for their FLOPs."""

    def step(decoder: Decoder, *_: object) -> float:
        return 1e-6 * decoder.parameter_count()

    monkeypatch.setattr(compute_optimal, "measure_step", step)


TEXT = ArrayTokens(np.zeros(10_000_000, dtype=np.uint16))


def test_a_run_with_minutes_and_no_depth_takes_the_one_that_plan_expects_most_of(
    slow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PretrainConfig("default", minutes=0.5, dtype="fp32")
    rate = dataclasses.replace(config.training, clip=0.3)
    chosen = at_best_depth(dataclasses.replace(config, training=rate), 300, TEXT, Ranks())
    told = capsys.readouterr().err
    assert chosen.depth is not None
    assert chosen.depth < config.model.layers
    assert chosen.model.layers == chosen.depth
    assert chosen.training.clip == 0.3  # what was said beside the recipe still holds
    assert told.startswith(f"depth {chosen.depth}: expected to reach ")
    assert f"; depth {config.model.layers}, the recipe's, " in told
    assert told.count("\n") == 1
    assert "it reads the text" not in told
    again = at_best_depth(config, 300, ArrayTokens(TEXT.read(0, 1000)), Ranks())
    told = capsys.readouterr().err
    assert re.search(r"; it reads the text \d+ times, so both are guesses; --depth sets another$", told.strip())
    assert again.depth is not None
    assert again.depth > chosen.depth  # more of a small model's time would go to what it has read before


@pytest.mark.parametrize(
    "changes", [{"depth": 6}, {"minutes": None}, {"recipe": "tiny"}, {"init": Path("m")}, {"recipe": "characters"}]
)
def test_a_depth_is_chosen_for_nobody_who_chose_a_shape(slow: None, changes: dict[str, object]) -> None:
    config = PretrainConfig(**{"recipe": "default", "minutes": 0.5, **changes})  # type: ignore[arg-type]
    assert at_best_depth(config, 300, TEXT, Ranks()) == config
    wide = dataclasses.replace(config, model=dataclasses.replace(config.model, context=512))
    assert at_best_depth(wide, 300, TEXT, Ranks()) == wide


@pytest.mark.slow
def test_a_busy_machine_trains_the_same_weights(data: Path, tmp_path: Path) -> None:
    weights = []
    for busy in (0, 2):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            out = tmp_path / f"run{busy}"
            command = (
                f"-m scratchlm pretrain default --depth 2 --data {data} --out {out} --threads 1 --training.steps 4"
            )
            subprocess.run([sys.executable, *command.split()], env=os.environ, check=True, capture_output=True)
        finally:
            for other in others:
                other.kill()
                other.wait()
        weights.append((find_model(out) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
