"""Train a whole run: iterate over the loop's steps and log, evaluate, save and stop between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from scratchlm.base.errors import Interrupted
from scratchlm.base.reading import intact
from scratchlm.base.runfolder import (
    LOG_FILE,
    SKIPPED,
    Evaluation,
    OutOfMemory,
    Record,
    Revision,
    Rollback,
    RunLog,
    Timing,
    Train,
)
from scratchlm.base.signals import StopRequest
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.compiling import uncompiled
from scratchlm.training.loop import Loop, OnStep, StepRecord
from scratchlm.training.spikes import DivergenceError

Pace = Callable[[int], int]
"""Called before each step with the steps done, returns the steps of the whole run: for a run that must end in time, or
may end early. What it changes is a `Revision` of the log. `profiling.Repeated` repeats one that reads a clock."""


@runtime_checkable
class Hook(Protocol):
    """Something to do every few steps: evaluate, sample, watch. May read the model, never change it."""

    name: str
    """Name under which a checkpoint keeps the hook's state."""
    every: int
    """Steps between two calls; 0: only after the last step."""

    def __call__(self, step: int, decoder: Any) -> Record | None:
        """Look at the loop's network after `step` steps and return what to log, if anything."""

    def state(self) -> dict[str, Any]:
        """Return what the hook must remember across a resume, as JSON values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""


@runtime_checkable
class Watcher(Protocol):
    """Shows progress: sees every step and decides what to draw."""

    def step(self, record: StepRecord) -> None:
        """Take note of a finished step."""

    def note(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Take note of what a hook answered."""


def fit(
    loop: Loop,
    *,
    folder: Path | None = None,
    checkpoints: Checkpoints | None = None,
    hooks: Sequence[Hook] = (),
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
    pace: Pace | None = None,
    resume: bool = False,
) -> None:
    """Train the loop's decoder in place for `loop.config.steps` steps.

    With a `folder`, `metrics.jsonl` is written there; with `checkpoints`, `resume` continues the run. A `pace`
    may change the number of steps; what is left of the schedule is spread over the steps that are left (`StepPlan`).
    Where `loop.on_step` returns True, the run ends after that step as after a planned last one: evaluated and saved.
    Raises `Interrupted` after saving when `stop` was requested; what `loop.on_step` raises, with the log and the latest
    checkpoint as they are then, so that the run can be resumed; `DivergenceError` where the loss stays too high and no
    return to a checkpoint helps.

    A program that only trains takes a third off a step's time on a CPU by calling `base.memory.keep_freed_memory`
    first, as the commands do; `fit` leaves the process's memory settings alone.
    """
    first = loop.ranks.is_first
    log = None if folder is None or not first else RunLog(folder / LOG_FILE)
    loop.skipped, loop.returns = None if folder is None else folder / SKIPPED, True
    run = _Run(loop, log, checkpoints, hooks, watcher if first else None)
    stop = stop or StopRequest()
    if resume:
        run.resume()
    while True:
        try:
            run.train(stop, pace)
            return
        except DivergenceError as reason:
            run.roll_back(reason)


def _ends(on_step: OnStep, record: StepRecord) -> bool:
    return on_step(record) is True


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


@dataclass
class _Run:
    """What surrounds a loop: its log, checkpoints, hooks and progress."""

    loop: Loop
    log: RunLog | None
    checkpoints: Checkpoints | None
    hooks: Sequence[Hook]
    watcher: Watcher | None

    def resume(self) -> None:
        """Restore the latest checkpoint and cut the log to it; without one, as after an early kill, begin again."""
        lines, ranks = 0, self.loop.ranks
        if self.checkpoints is not None and (restored := ranks.from_first(self.checkpoints.restore)) is not None:
            tensors, state = restored
            self.loop.place.spread()
            with intact(self.checkpoints.folder, "checkpoint"):
                self.loop.restore(tensors, state)
                for hook in self.hooks:
                    hook.restore(state.hooks.get(hook.name, {}))
            lines = state.log_lines
        if self.log is not None:
            self.log.cut_to(lines)

    def train(self, stop: StopRequest, pace: Pace | None) -> None:
        """Take the steps that are left. Raises `Interrupted` and `DivergenceError`."""
        loop = self.loop
        self.call_hooks()  # of the step that a checkpoint was written after, be it the last: the log was cut to it
        self.follow(pace)
        for record in loop.steps():
            self.write(record)
            if loop.on_step is not None and loop.ranks.from_first(partial(_ends, loop.on_step, record)):
                loop.end()
            stopping = loop.ranks.any(stop.requested)
            if loop.step == loop.config.steps or stopping or _due(loop.step, loop.config.checkpoint_every):
                self.save()
            if stopping and loop.step < loop.config.steps:
                saved = "everything is saved" if self.checkpoints else "nothing is saved"
                raise Interrupted(f"stopped after step {loop.step} of {loop.config.steps}; {saved}")
            self.call_hooks()
            self.follow(pace)

    def roll_back(self, reason: DivergenceError) -> None:
        """Return to the last good checkpoint, and go on with the batches that come next.

        Raises `reason` where that was done often enough, and without a checkpoint where numbers are not finite.
        """
        loop, checkpoints = self.loop, self.checkpoints
        kept = (
            None if checkpoints is None else loop.ranks.from_first(lambda: checkpoints.last_good(loop.watch.good_step))
        )
        if reason.finite and (checkpoints is None or kept is None):
            loop.bad_steps = 0
            loop.watch.forget()  # another kind of text, perhaps
            return
        if checkpoints is None or kept is None or loop.rollbacks >= loop.config.spikes.max_rollbacks:
            done = f" after {loop.rollbacks} returns to a checkpoint" if loop.rollbacks else ""
            remedy = "lower training.optimizer.learning_rate, or use --dtype fp32"
            raise DivergenceError(f"{reason}{done}; {remedy}", reason.finite) from reason
        batches, rollbacks, left = loop.batch_state, loop.rollbacks + 1, loop.step
        loop.ranks.from_first(lambda: checkpoints.drop_after(kept))
        self.resume()
        loop.batch_state, loop.rollbacks, loop.bad_steps = batches, rollbacks, 0
        loop.watch.forget()
        record = Rollback(step=loop.step, from_step=left, reason=str(reason))
        if self.log is not None:
            self.log.write(record)
        if self.watcher is not None:
            self.watcher.note(record.kind, loop.step, record.values())

    def follow(self, pace: Pace | None) -> None:
        """Give the run the number of steps that the pace says, at least one more while any is left."""
        loop = self.loop
        if pace is not None and loop.step < loop.config.steps:
            steps = max(loop.ranks.from_first(lambda: pace(loop.step)), loop.step + 1)
            if steps != loop.config.steps:
                loop.revise(steps)
                if self.log is not None:
                    self.log.write(Revision(step=loop.step, steps=steps))

    def write(self, record: StepRecord) -> None:
        """Show a step, and log it when a line is due."""
        if self.watcher is not None:
            self.watcher.step(record)
        if self.log is not None and record.smaller_micro_batch is not None:
            self.log.write(OutOfMemory(step=record.step, micro_batch_size=record.smaller_micro_batch))
        due = _due(record.step, self.loop.config.log_every) or record.step == 1 or record.skipped or record.left_out
        if self.log is not None and due:
            line = Train(
                step=record.step,
                loss=record.loss if math.isfinite(record.loss) else repr(record.loss),
                lr=record.lr,
                gradient_norm=record.gradient_norm if math.isfinite(record.gradient_norm) else None,
                tokens=record.tokens,
                skipped=record.skipped,
                left_out=record.left_out or None,
                timing=Timing(record.seconds, time.time()),
            )
            self.log.write(line)

    def save(self) -> None:
        """Write a checkpoint; the log is forced to disk first, so that it is never behind."""
        if self.checkpoints is None:
            return
        loop = self.loop
        loop.place.require_equal()
        loop.place.collect()
        tensors = loop.tensors()
        if not loop.ranks.is_first:
            return
        if self.log is not None:
            self.log.sync()
        state = {
            "batches": loop.batch_state,
            "bad_steps": loop.bad_steps,
            "rollbacks": loop.rollbacks,
            "spikes": loop.watch.state(),
            "steps": loop.config.steps,
            "planned": loop.plan.first,
            "revisions": loop.plan.revisions,
            "scaler": loop.scaler.state_dict(),
            "micro_batch_size": loop.micro_batches.size,
            "best": None if self.checkpoints.best is None else asdict(self.checkpoints.best),
            "hooks": {hook.name: hook.state() for hook in self.hooks},
            "log_lines": 0 if self.log is None else self.log.lines(),
        }
        self.checkpoints.save(loop.step, tensors, state)

    def call_hooks(self) -> None:
        """Call the hooks that are due, on the first rank, and log what they answer."""
        loop = self.loop
        due = [each for each in self.hooks if _due(loop.step, each.every) or loop.step == loop.config.steps]
        if due:
            loop.place.collect()
        for hook in due if loop.ranks.is_first else ():
            loop.whole.eval()
            with torch.no_grad(), uncompiled(loop.config.compile):
                record = hook(loop.step, loop.whole)
            if isinstance(record, Evaluation) and record.loss is not None and self.checkpoints is not None:
                self.checkpoints.compare(loop.step, record.loss, record.tokens)
            if record is not None and self.log is not None:
                self.log.write(record)
            if record is not None and self.watcher is not None:
                self.watcher.note(hook.name, loop.step, record.values())
