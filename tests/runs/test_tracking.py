"""Programs that show curves get what a run's log gets, and none of them can end a run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from commands import fails
from scratchlm.base.runfolder import Evaluation, Train, read_log
from scratchlm.data.prepare import prepare
from scratchlm.runs import tracking
from scratchlm.runs.tracking import Tracking, tracked
from scratchlm.tokens.config import PrepareConfig
from scratchlm.training.loop import StepRecord

TRACKERS = ("tensorboard", "trackio", "mlflow", "wandb")
ELSEWHERE = ("TRACKIO_DIR", "MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_DIR")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "data"
    prepare(PrepareConfig(("storyworld:100KB",), out=folder, vocabulary_size=400))
    return folder


def train(data: Path, out: Path, *more: str) -> None:
    """Train in a process of its own: these programs keep a state in theirs."""
    sizes = ["--training.steps", "12", "--training.sequence-length", "16", "--training.batch-size", "4"]
    often = ["--training.log-every", "2", "--training.evaluate-every", "6", "--dtype", "fp32", "--threads", "1"]
    command = [sys.executable, "-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([*command, *sizes, *often, *more], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "note: --track" not in done.stderr


def logged(out: Path) -> dict[str, dict[int, float]]:
    """Return the curves of a run's log by the names that trackers get."""
    records = list(read_log(out / "metrics.jsonl"))
    losses = {each.step: float(each.loss) for each in records if isinstance(each, Train)}
    bits = {each.step: float(each.bits_per_byte or 0) for each in records if isinstance(each, Evaluation)}
    return {"train/loss": losses, "evaluation/bits_per_byte": bits}


def of_tensorboard(out: Path) -> dict[str, dict[int, float]]:
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(out / "tracking" / "tensorboard"))
    events.Reload()
    return {name: {each.step: each.value for each in events.Scalars(name)} for name in events.Tags()["scalars"]}


def of_mlflow(out: Path) -> dict[str, dict[int, float]]:
    return of_database(out / "tracking" / "mlflow.db", "select step, key, value from metrics")


def of_trackio(out: Path) -> dict[str, dict[int, float]]:
    values = "select step, e.key, e.value from metrics, json_each(metrics) as e where e.type != 'text'"
    return of_database(out / "tracking" / "trackio" / "scratchlm.db", values)


def of_database(file: Path, question: str) -> dict[str, dict[int, float]]:
    curves: dict[str, dict[int, float]] = {}
    with contextlib.closing(sqlite3.connect(file)) as database:
        for step, name, value in database.execute(question):
            curves.setdefault(name, {})[step] = value
    return curves


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_gets_the_numbers_of_the_log(name: str, data: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    out = tmp_path / "run"
    train(data, out, "--track", name)
    if name == "wandb":  # whose offline format has no reader that it promises
        (file,) = (out / "tracking" / "wandb").glob("offline-run-*/*.wandb")
        stored = file.read_bytes()
        assert all(repr(loss).encode() in stored for loss in logged(out)["train/loss"].values())
    else:
        found = {"tensorboard": of_tensorboard, "mlflow": of_mlflow, "trackio": of_trackio}[name](out)
        for curve, points in logged(out).items():
            assert found[curve] == pytest.approx(points, rel=1e-6), curve
    train(data, out, "--force")  # what trackers wrote is ours
    assert not (out / "tracking").exists()


class Broken:
    """Takes two messages, then fails."""

    def __init__(self, folder: Path, name: str, step: int) -> None:
        self.taken: list[Any] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if len(self.taken) == 2:
            raise ConnectionError("the server is gone")
        self.taken.append((step, dict(values)))

    def text(self, step: int, name: str, text: str) -> None:
        self.taken.append((step, name, text))

    def close(self) -> None:
        raise AssertionError("a tracker that failed is left alone")


class Silent:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def step(self, record: StepRecord) -> None:
        self.steps.append(record.step)

    def note(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        self.steps.append(-step)


def test_a_tracker_that_fails_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "TRACKERS", {"wandb": Broken})
    watcher = Silent()
    with tracked(watcher, ("wandb",), tmp_path, 0, 5) as watching:
        assert isinstance(watching, Tracking)
        broken = watching.trackers["wandb"]
        for step in range(1, 12):
            watching.step(StepRecord(step, 12, 1.5, 0.1, 2.0, 64, 0.5))
        watching.note("evaluation", 11, {"loss": 1.0, "text": "so far"})
    assert isinstance(broken, Broken)
    told = {"train/loss": 1.5, "train/lr": 0.1, "train/gradient_norm": 2.0, "train/tokens_per_second": 128.0}
    assert broken.taken == [(1, told), (5, told)]
    assert watcher.steps == [*range(1, 12), -11]
    assert "note: --track wandb: the server is gone; the run goes on without it" in capsys.readouterr().err


def test_without_trackers_a_watcher_is_left_as_it_is(tmp_path: Path) -> None:
    watcher = Silent()
    with tracked(watcher, (), tmp_path, 0, 5) as watching:
        assert watching is watcher


def test_a_tracker_that_is_not_installed_is_told_before_the_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    told = fails(capsys, "pretrain", "tiny", "--data", data, "--out", tmp_path / "run", "--track", "mlflow")
    assert told == "scratchlm: --track mlflow: is not installed; run pip install mlflow, or leave it out"
    assert not (tmp_path / "run" / "recipe.toml").exists()
