"""A run that was stopped or killed goes on bit for bit as if it had not been."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from marks import slow
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.signals import StopRequest
from scratchlm.weights.checkpoint import latest_checkpoint, list_checkpoints, load_training_state
from training.forty_steps import EVERY, SETTINGS, STEPS, batches_of, run

TESTS = Path(__file__).parent.parent


class StopAt:
    """A watcher that asks for a stop after some step, as Ctrl-C would."""

    def __init__(self, step: int, stop: StopRequest) -> None:
        self.at, self.stop = step, stop

    def step(self, record) -> None:
        if record.step == self.at:
            self.stop()

    def note(self, kind: str, step: int, values) -> None:
        pass


def logged(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all("timing" in record for record in records)
    return [{key: value for key, value in record.items() if key != "timing"} for record in records]


def assert_alike(one: Path, other: Path, name: str = "muon") -> None:
    """Compare weights, optimizer tensors, log and next batch of two finished runs, bit for bit."""
    ends = [latest_checkpoint(folder / "checkpoints") for folder in (one, other)]
    assert [end.name for end in ends] == [f"{STEPS:08d}"] * 2
    assert (ends[0] / "model.safetensors").read_bytes() == (ends[1] / "model.safetensors").read_bytes()
    (tensors, state), (others, other_state) = map(load_training_state, ends)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert state == other_state
    assert logged(one) == logged(other)
    following = [next(batches_of(name)(s["batches"]))[0].ids for s in (state, other_state)]
    assert torch.equal(*following)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name in SETTINGS:
        folders[name] = tmp_path_factory.mktemp(name)
        run(folders[name], name)
    return folders


def test_the_run_crosses_epochs_logs_and_keeps_its_newest_checkpoints(unbroken: dict[str, Path]) -> None:
    folder = unbroken["muon"]
    records = logged(folder)
    assert [r["step"] for r in records if r["kind"] == "train"] == [1, *range(3, 40, 3)]
    assert [r["step"] for r in records if r["kind"] == "look"] == list(range(0, 41, 5))
    assert [path.name for path in list_checkpoints(folder / "checkpoints")] == ["00000035", "00000040"]
    _, state = load_training_state(latest_checkpoint(folder / "checkpoints"))
    assert state["batches"]["epoch"] >= 3
    losses = [r["loss"] for r in records if r["kind"] == "train"]
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(
    ("name", "stop_at"),
    [
        slow("muon", 1),
        ("muon", 12),
        slow("muon", 39),
        slow("adamw", 10),
        slow("plain", 10),
        slow("every part", 10),
        ("every part", 20),
        slow("every part", 33),
    ],
)
def test_a_run_stopped_on_request_saves_says_so_and_resumes_exactly(
    unbroken: dict[str, Path], tmp_path: Path, name: str, stop_at: int
) -> None:
    stop = StopRequest()
    with pytest.raises(Interrupted, match=f"after step {stop_at} of {STEPS}"):
        run(tmp_path, name, stop=stop, watcher=StopAt(stop_at, stop))
    assert latest_checkpoint(tmp_path / "checkpoints").name == f"{stop_at:08d}"
    _, source = run(tmp_path, name, resume=True, seed=9)
    assert len(source.taken) == STEPS - stop_at
    assert_alike(tmp_path, unbroken[name], name)


def test_batches_after_a_resume_are_those_the_unbroken_run_took(tmp_path: Path) -> None:
    _, whole = run(tmp_path / "whole", "adamw")
    stop = StopRequest()
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", "adamw", stop=stop, watcher=StopAt(10, stop))
    _, rest = run(tmp_path / "cut", "adamw", resume=True)
    assert whole.taken[9][0] < whole.taken[12][0]  # an epoch ends here
    for (epoch, ids), (other_epoch, other_ids) in zip(whole.taken[10:], rest.taken, strict=True):
        assert epoch == other_epoch
        assert torch.equal(ids, other_ids)


def test_a_stop_in_the_last_step_ends_the_run_as_usual(unbroken: dict[str, Path], tmp_path: Path) -> None:
    stop = StopRequest()
    run(tmp_path, "muon", stop=stop, watcher=StopAt(STEPS, stop))
    assert_alike(tmp_path, unbroken["muon"])


def test_a_run_killed_after_its_last_checkpoint_still_looks_and_logs_a_last_time(
    unbroken: dict[str, Path], tmp_path: Path
) -> None:
    run(tmp_path, "muon")
    log = tmp_path / "metrics.jsonl"
    *kept, last = log.read_text().splitlines(keepends=True)
    assert '"kind": "look", "step": 40' in last
    log.write_text("".join(kept))  # as a kill between the checkpoint and the last look leaves it
    for _ in range(2):  # resuming a finished run changes nothing either
        _, source = run(tmp_path, "muon", resume=True, seed=9)
        assert source.taken == []
        assert_alike(tmp_path, unbroken["muon"])


def test_resuming_where_nothing_was_saved_begins_again(unbroken: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1}\n{"kind": "tra')
    run(tmp_path, "muon", resume=True)
    assert_alike(tmp_path, unbroken["muon"])


def test_a_half_written_line_and_lines_beyond_the_checkpoint_are_cut(unbroken: dict[str, Path], tmp_path: Path) -> None:
    stop = StopRequest()
    with pytest.raises(Interrupted):
        run(tmp_path, "muon", stop=stop, watcher=StopAt(14, stop))
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "train", "step": 15, "loss": 1.0}\n{"kind": "train", "st')
    run(tmp_path, "muon", resume=True)
    assert_alike(tmp_path, unbroken["muon"])


def test_a_damaged_latest_checkpoint_is_refused_and_the_one_before_serves(
    unbroken: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    stop = StopRequest()
    with pytest.raises(Interrupted):
        run(tmp_path, "muon", stop=stop, watcher=StopAt(16, stop))
    latest = latest_checkpoint(tmp_path / "checkpoints")
    weights = latest / "optimizer.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"optimizer\.safetensors: is truncated.*removing .*00000016 resumes"):
        run(tmp_path, "muon", resume=True)
    shutil.rmtree(latest)
    run(tmp_path, "muon", resume=True)
    assert_alike(tmp_path, unbroken["muon"])


def paths() -> dict[str, str]:
    """Return an environment in which a process finds the package and the tests' own modules."""
    found = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in found if path)}


def start(folder: Path, name: str, pause: float) -> subprocess.Popen:
    script = TESTS / "training" / "forty_steps.py"
    return subprocess.Popen([sys.executable, str(script), str(folder), name, str(pause)], env=paths())


def kill_at_some_moment(folder: Path, name: str, chance: random.Random) -> None:
    """Start the run as a process and kill it without warning once its first checkpoint stands."""
    process = start(folder, name, pause=0.02)
    try:
        deadline = time.monotonic() + 120
        while not list_checkpoints(folder / "checkpoints"):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.5))
    finally:
        process.kill()  # SIGKILL
        process.wait()
    assert process.returncode != 0, "it was done before the kill"


def test_a_run_killed_at_an_arbitrary_moment_resumes_bit_for_bit(unbroken: dict[str, Path], tmp_path: Path) -> None:
    kill_at_some_moment(tmp_path, "muon", random.Random())
    assert EVERY <= int(latest_checkpoint(tmp_path / "checkpoints").name) < STEPS
    run(tmp_path, "muon", resume=True, seed=9)
    assert_alike(tmp_path, unbroken["muon"])


def test_a_clock_that_jumps_changes_no_number(
    unbroken: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([0.0, 4e9, -7200.0, 1.7e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    stop = StopRequest()
    with pytest.raises(Interrupted):
        run(tmp_path, "muon", stop=stop, watcher=StopAt(17, stop))
    run(tmp_path, "muon", resume=True, seed=1)
    assert_alike(unbroken["muon"], tmp_path)
