"""Curves of a run in the programs that people watch many runs with. They get copies; the complete record is its log.

Everything stays on this machine, in `tracking/` of the run, unless the program's own environment variables name another
place: TRACKIO_DIR, MLFLOW_TRACKING_URI, WANDB_MODE with WANDB_DIR. After a kill, steps since the last checkpoint are
sent again, with the same numbers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.runfolder import TRACKING
from scratchlm.base.terminal import one_line
from scratchlm.training.config import TrackerName
from scratchlm.training.fit import Watcher
from scratchlm.training.loop import StepRecord

PROJECT = "scratchlm"
"""Under which these programs list the run, beside those of the same folder."""


class Tracker(Protocol):
    """One of these programs."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take note of numbers by their names, such as train/loss."""

    def text(self, step: int, name: str, text: str) -> None:
        """Take note of a text, such as a sample."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """A board in a browser: `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, name: str, step: int) -> None:
        module = import_module("torch.utils.tensorboard")
        self.writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def text(self, step: int, name: str, text: str) -> None:
        """Add a text."""
        self.writer.add_text(name, text, step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class Trackio:
    """`trackio show`."""

    def __init__(self, folder: Path, name: str, step: int) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
        self.trackio = import_module("trackio")
        self.trackio.init(project=PROJECT, name=name, resume="allow")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self.trackio.log(dict(values), step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """Add a text as a value of its step."""
        self.trackio.log({name: text}, step=step)

    def close(self) -> None:
        """Write what is left."""
        self.trackio.finish()


class Mlflow:
    """`mlflow ui --backend-store-uri sqlite:///RUN/tracking/mlflow.db`."""

    def __init__(self, folder: Path, name: str, step: int) -> None:
        self.mlflow = import_module("mlflow")
        if "MLFLOW_TRACKING_URI" not in os.environ:
            folder.mkdir(parents=True, exist_ok=True)
            self.mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
            if self.mlflow.get_experiment_by_name(PROJECT) is None:  # files would lie in the current folder
                self.mlflow.create_experiment(PROJECT, artifact_location=(folder / "mlflow").absolute().as_uri())
        self.mlflow.set_experiment(PROJECT)
        earlier = self.mlflow.search_runs(filter_string=f"run_name = '{name}'", output_format="list") if step else []
        self.mlflow.start_run(**({"run_id": earlier[0].info.run_id} if earlier else {"run_name": name}))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self.mlflow.log_metrics(dict(values), step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """Keep a text as a file."""
        self.mlflow.log_text(text, f"{name}/{step:08d}.txt")

    def close(self) -> None:
        """Write what is left."""
        self.mlflow.end_run()


class WeightsAndBiases:
    """Offline; `wandb sync RUN/tracking/wandb/offline-run-*` sends it where you say."""

    def __init__(self, folder: Path, name: str, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.wandb = import_module("wandb")
        mode, place = os.environ.get("WANDB_MODE", "offline"), os.environ.get("WANDB_DIR", str(folder))
        quiet = {"silent": True, "disable_git": True, "save_code": False}
        self.run = self.wandb.init(project=PROJECT, name=name, dir=place, mode=mode, settings=quiet)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self.run.log(dict(values), step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """Add a text as a page of its step."""
        self.run.log({name: text}, step=step)

    def close(self) -> None:
        """Write what is left."""
        self.run.finish()


REPORTS_OF_USE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}
"""Switches of what these programs would report to their makers, off unless the user has set them."""
TRACKERS: Mapping[TrackerName, Callable[[Path, str, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "mlflow": Mlflow,
    "wandb": WeightsAndBiases,
}


class Tracking:
    """Writes to trackers what a run's log gets, beside a watcher: a step now and then, and what hooks answer.

    A tracker that fails is left alone from then on; training goes on.
    """

    def __init__(self, watcher: Watcher, every: int) -> None:
        self.watcher, self.every = watcher, every
        self.trackers: dict[TrackerName, Tracker] = {}

    def step(self, record: StepRecord) -> None:
        """Write a step, where the log gets it too."""
        self.watcher.step(record)
        if record.step == 1 or record.step % self.every == 0 or record.skipped:
            speed = record.tokens / record.seconds
            numbers = {"loss": record.loss, "lr": record.lr, "gradient_norm": record.gradient_norm}
            values = {f"train/{name}": value for name, value in {**numbers, "tokens_per_second": speed}.items()}
            self._tell(lambda tracker: tracker.log(record.step, values))

    def note(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write what a hook answered: its numbers, and texts such as a sample."""
        self.watcher.note(kind, step, values)
        numbers = {f"{kind}/{name}": float(v) for name, v in values.items() if isinstance(v, int | float)}
        texts = {f"{kind}/{name}": text for name, text in values.items() if isinstance(text, str)}
        if numbers:
            self._tell(lambda tracker: tracker.log(step, numbers))
        for name, text in texts.items():
            self._tell(lambda tracker, name=name, text=text: tracker.text(step, name, text))  # type: ignore[misc]

    def close(self) -> None:
        """Let trackers write what is left."""
        self._tell(lambda tracker: tracker.close())

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # of whatever kind: these programs may want a network, a disk, a server
                del self.trackers[name]
                print(one_line(f"note: --track {name}: {error}; the run goes on without it"), file=sys.stderr)


def require_trackers(names: Sequence[TrackerName]) -> None:
    """Raise `UserError` with all trackers that are not installed, before a run begins."""
    missing = [name for name in names if find_spec(name) is None]
    raise_all([f"--track {name}: is not installed; run pip install {name}, or leave it out" for name in missing])


@contextmanager
def tracked(watcher: Watcher, names: Sequence[TrackerName], out: Path, step: int, every: int) -> Iterator[Watcher]:
    """Open trackers beside a watcher for a run that goes on after `step`; close them at its end, however it ends."""
    if not names:
        yield watcher
        return
    for switch, off in REPORTS_OF_USE.items():  # before the programs are imported, which read them then
        os.environ.setdefault(switch, off)
    tracking = Tracking(watcher, every)
    for name in names:
        try:
            tracking.trackers[name] = TRACKERS[name](out / TRACKING, out.absolute().name, step)
        except Exception as error:  # of whatever kind
            tracking.close()
            raise UserError(one_line(f"--track {name}: {error}; leave it out")) from error
    try:
        yield tracking
    finally:
        tracking.close()
