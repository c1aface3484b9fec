"""A sweep trains every combination, the best third of them longer, and can be stopped at any moment."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from commands import fails
from scratchlm.base.errors import UserError
from scratchlm.data.prepare import prepare
from scratchlm.model.config import DecoderConfig
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.pretraining.sweep.halving import Halving, Round, rounds
from scratchlm.pretraining.sweep.run import Sweep, score
from scratchlm.pretraining.sweep.trials import changed, trials_of
from scratchlm.runs.run import begin_run
from scratchlm.tokens.config import PrepareConfig

RATE = "training.optimizer.learning_rate"
RATES = f"{RATE}=0.001,0.01,0.02"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "data"
    prepare(PrepareConfig(("storyworld:100KB",), out=folder, vocabulary_size=400))
    return folder


@pytest.mark.parametrize(
    ("trials", "steps", "planned"),
    [
        (1, 100, [(1, 100)]),
        (2, 100, [(2, 33), (1, 100)]),
        (9, 900, [(9, 100), (3, 300), (1, 900)]),
        (9, 100, [(9, 33), (1, 100)]),
        (9, 50, [(9, 50)]),
        (2, 5, [(2, 5)]),
    ],
)
def test_rounds_have_a_third_of_the_trials_and_three_times_the_steps(
    trials: int, steps: int, planned: list[tuple[int, int]]
) -> None:
    assert rounds(trials, steps) == [Round(*each) for each in planned]


def ranked(count: int, scores: dict[tuple[int, int], float], draw: random.Random) -> tuple[list[int], set[int]]:
    """Return the order of trials that end in a random one, and those that were trained for the last round."""
    halving, running, last = Halving(rounds(count, 900)), [], set()
    while not halving.done:
        while len(running) < 3 and (job := halving.next()) is not None:
            running.append(job)
        if not running:  # who failed fills the places that are left
            assert halving.done
            break
        trial, round_number = running.pop(draw.randrange(len(running)))
        if round_number == len(halving.rounds) - 1:
            last.add(trial)
        halving.add(trial, round_number, scores[trial, round_number])
    return halving.order(), last


@pytest.mark.parametrize("seed", range(20))
def test_what_goes_on_does_not_depend_on_which_trial_ends_first(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randint(1, 15)
    scores = {(t, r): math.inf if draw.random() < 0.2 else draw.random() for t in range(count) for r in range(4)}
    found = [ranked(count, scores, draw) for _ in range(5)]
    assert all(each == found[0] for each in found)


def test_the_best_goes_on_and_one_that_failed_never() -> None:
    scores = {(trial, round_number): float(trial) for trial in range(9) for round_number in range(3)}
    order, last = ranked(9, scores, random.Random(0))
    assert order == list(range(9))
    assert last == {0}
    order, last = ranked(9, {**scores, (0, 0): math.inf, (1, 1): math.nan}, random.Random(0))
    assert (order[0], order[-1], last) == (2, 0, {2})
    order, last = ranked(9, {**scores, (0, 2): math.inf}, random.Random(0))
    assert order[0] == 0  # the last round failed: what is left is the best of the round before


def swept(*sweep: str, **values: object) -> PretrainConfig:
    return PretrainConfig("tiny", data=(Path("data"),), out=Path("out"), sweep=sweep, **values)


def test_trials_are_all_combinations() -> None:
    found = trials_of(swept(RATES, "training.optimizer.type=adamw", "--seed = 1, 2"))
    assert [tuple(each.values.values()) for each in found] == [
        (rate, "adamw", seed) for rate in (0.001, 0.01, 0.02) for seed in (1, 2)
    ]
    assert {each.config.training.optimizer.type for each in found} == {"adamw"}
    assert [each.config.seed for each in found] == [1, 2] * 3
    assert [each.config.training.optimizer.learning_rate for each in found[::2]] == [0.001, 0.01, 0.02]


def test_another_depth_brings_its_sizes_and_keeps_what_was_said() -> None:
    config = PretrainConfig("default", depth=4)
    said = changed(config, {"training.batch_size": 5, "model.dropout": 0.1})
    deeper = changed(said, {"depth": 6})
    recipe = load_recipe("default", 6)
    assert (deeper.model.layers, deeper.model.width) == (recipe.model.layers, recipe.model.width)
    assert deeper.training.optimizer == recipe.training.optimizer
    assert (deeper.training.batch_size, deeper.model.dropout, deeper.depth) == (5, 0.1, 6)
    assert isinstance(deeper.model, DecoderConfig)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        (("training.steps",), "write KEY=A,B,C"),
        (("training.steps=1,,2",), "write KEY=A,B,C"),
        (("=1",), "write KEY=A,B,C"),
        (("seed=1,2", "seed=3"), "seed is given twice"),
        (("data=a,b",), "data is the same for all trials"),
        (("sweep-on=here,ray",), "sweep_on is the same for all trials"),
        (("training.batch-size=0",), "batch_size is 0: must be at least 1"),
        (("training.batch-sise=1",), "did you mean 'batch_size'"),
        (("training.batch_size=many",), "'many': expected a whole number"),
        (("depth=two",), "'two': expected a whole number"),
        (("depth=3",), "the recipe 'tiny' has a fixed shape"),
        (("seed=" + ",".join(map(str, range(40))), "training.steps=" + ",".join(map(str, range(1, 41)))), "1,600"),
    ],
)
def test_wrong_values_are_told_before_anything_begins(sweep: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        trials_of(swept(*sweep))


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UserError) as told:
        trials_of(swept("seed", "out=a"))
    assert "write KEY=A,B,C" in str(told.value)
    assert "out is the same for all trials" in str(told.value)


def test_flags_of_a_sweep_need_a_sweep(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    begun = ("pretrain", "tiny", "--data", tmp_path, "--out", tmp_path / "out")
    assert "have no part without --sweep" in fails(capsys, *begun, "--sweep-processes", "2", code=2)
    assert "give --training.steps instead" in fails(capsys, *begun, "--sweep", "seed=1,2", "--minutes", "1", code=2)


class InTurn:
    """Trains trials in this process, one after another."""

    threads = 1.0

    def start(self, config: PretrainConfig, threads: int, log: Path) -> Future[None]:
        future: Future[None] = Future()
        try:
            pretrain(config)
            future.set_result(None)
        except UserError as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        raise AssertionError("nothing runs while this is called")


def small(data: Path, out: Path, *sweep: str) -> PretrainConfig:
    config = PretrainConfig("tiny", data=(data,), out=out, sweep=sweep, dtype="fp32", threads=1, device="cpu")
    sizes = {"training.steps": 60, "training.sequence_length": 16, "training.batch_size": 4, "model.width": 32}
    return changed(config, sizes)


@pytest.mark.slow
def test_the_best_trial_is_the_run_that_its_recipe_gives(data: Path, tmp_path: Path) -> None:
    config = small(data, tmp_path, RATES)
    sweep = Sweep(tmp_path, config, trials_of(config), InTurn(), 1)
    found = sweep.train()
    assert found.trials[0].values == {RATE: 0.02}
    assert found.steps == [20, 60]
    assert [len(each.bits_per_byte) for each in found.trials] == [2, 1, 1]
    best = sweep.best()
    assert score(best) == found.trials[0].bits_per_byte[-1]
    recipe = str(tmp_path / "best.toml")
    pretrain(PretrainConfig(recipe, data=(data,), out=tmp_path / "again", dtype="fp32", threads=1))
    weights = [
        (run / "checkpoints" / "00000060" / "model.safetensors").read_bytes() for run in (best, tmp_path / "again")
    ]
    assert weights[0] == weights[1]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"Bits per byte by {RATE}" in page
    assert page.count("<polyline") == 1  # of the first round, since only one trial reached the second


def test_a_trial_that_fails_ends_no_other(data: Path, tmp_path: Path) -> None:
    config = small(data, tmp_path, "training.sequence_length=1000,16")
    config = changed(config, {"training.steps": 20})
    found = Sweep(tmp_path, config, trials_of(config), InTurn(), 1).train()
    assert [each.number for each in found.trials] == [1, 0]
    assert "exceeds model.context 128" in str(found.trials[1].problem)
    assert found.rows()[1][2].startswith("failed: training.sequence_length 1000")
    config = small(data, tmp_path, "training.sequence_length=1001,1000")
    with pytest.raises(UserError, match=r"no trial came to its end; the first: training\.sequence_length 1001"):
        Sweep(tmp_path / "trials", config, trials_of(config), InTurn(), 1).train()


def test_a_trial_that_was_stopped_while_its_folder_began_is_trained(data: Path, tmp_path: Path) -> None:
    config = changed(small(data, tmp_path, "seed=1,2"), {"training.steps": 20})
    begin_run(tmp_path / "trials" / "000-20", {}, {}, {})
    (tmp_path / "trials" / "000-20" / "recipe.toml").unlink()  # which is written last
    found = Sweep(tmp_path, config, trials_of(config), InTurn(), 1).train()
    assert [each.problem for each in found.trials] == [None, None]


def begin(data: Path, out: Path) -> list[str]:
    sizes = ["--training.steps", "90", "--training.sequence-length", "16", "--training.batch-size", "4"]
    often = ["--training.checkpoint-every", "10", "--dtype", "fp32", "--threads", "2"]
    start = [sys.executable, "-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out)]
    return [*start, "--sweep", RATES, *sizes, *often]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing stopped."""
    out = tmp_path_factory.mktemp("sweep") / "whole"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(begin(data, out), check=True, env=environment, timeout=300)
    return out


def trials_in(out: Path) -> list[dict]:
    return json.loads((out / "result.json").read_text())["trials"]


@pytest.mark.slow
@pytest.mark.xdist_group("sweeps")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_was_stopped_goes_on(data: Path, whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    environment, run = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, tmp_path / "run"
    process = subprocess.Popen(begin(data, run), env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "steps:" not in process.stderr.readline():
        pass
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert f"continue with: scratchlm pretrain --resume {run}" in told
    resume = [sys.executable, "-m", "scratchlm", "pretrain", "--resume", str(run), "--threads", "2"]
    until = time.monotonic() + 60  # what the killed process had started ends by itself
    while subprocess.run(resume, env=environment, timeout=300).returncode and time.monotonic() < until:
        time.sleep(1)
    assert trials_in(run) == trials_in(whole)


@pytest.mark.slow
@pytest.mark.xdist_group("sweeps")
def test_a_smaller_micro_batch_is_refused_beside_a_sweep(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "pretrain", "--resume", whole, "--training.micro-batch-size", "2")
    assert "--training.micro-batch-size: the trials of a sweep keep their settings; leave it out" in line


@pytest.mark.slow
@pytest.mark.xdist_group("sweeps")
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_trials_run_on_ray_as_they_do_here(data: Path, whole: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*begin(data, tmp_path / "ray"), "--threads", "1", "--sweep-on", "ray"]
    subprocess.run(command, check=True, env=environment, timeout=300)
    ours, rays = trials_in(whole), trials_in(tmp_path / "ray")
    assert [each["number"] for each in rays] == [each["number"] for each in ours]
    for one, other in zip(ours, rays, strict=True):  # trained by another number of threads
        assert other["bits_per_byte"] == pytest.approx(one["bits_per_byte"], abs=1e-3)
