"""The only training loop. Pretraining and every fine-tuning hand it a model, batches, a loss and hooks.

The maths reads no clock and no global random state: dropout is seeded by the step, batches by their own state, and a
checkpoint holds the rest, so a run that was killed goes on bit for bit as if it had not been (on a CPU, with an equal
number of threads).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from scratchlm.base.device import autocast
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.files import write_json
from scratchlm.base.reading import whole
from scratchlm.base.runlog import RunLog
from scratchlm.data.batches import Batch, State
from scratchlm.model.network import TokenNetwork
from scratchlm.training.averaging import SUFFIX, TailAverage
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.compiling import compiled_blocks, uncompiled
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loss import Loss, next_token_loss
from scratchlm.training.optimizer import Optimizers
from scratchlm.training.schedule import rate_at
from scratchlm.training.signals import StopRequest

BatchSource = Callable[[Mapping[str, int] | None], Iterator[tuple[Batch, State]]]
"""Called with the state of the last batch taken (or None), yields the following batches without end."""


Pace = Callable[[int], int]
"""Asked at each step how many the whole run is to have: for a run that must keep a time, which no run can keep exactly
and repeat exactly too."""


@runtime_checkable
class Hook(Protocol):
    """Something to do every few steps: evaluate, sample, watch. May read the model, never change it."""

    name: str
    """Kind of the log record that its answer becomes."""
    every: int
    """Steps between two calls; 0: only after the last step."""

    def __call__(self, step: int, decoder: Any) -> Mapping[str, Any]:
        """Look at the loop's network after `step` steps and return what to log; `timing` in it stands apart."""

    def state(self) -> dict[str, Any]:
        """Return what the hook must remember across a resume, as JSON values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""


@runtime_checkable
class Watcher(Protocol):
    """Shows progress; sees every step and decides what to draw."""

    def step(self, record: StepRecord) -> None:
        """Take note of a finished step."""

    def note(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Take note of what a hook answered."""


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did."""

    step: int
    steps: int
    """Steps of the whole run."""
    loss: float
    """Mean loss over the step's targets, in nats."""
    rate: float
    """Share of the peak learning rate."""
    gradient_norm: float
    tokens: int
    seconds: float
    skipped: bool = False


@dataclass(frozen=True)
class Setting:
    """Where and how exactly a loop computes."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    seed: int = 0


@dataclass
class Loop:
    """One training run: what `fit` was handed, and the state that changes from step to step."""

    decoder: TokenNetwork
    batches: BatchSource
    config: TrainingConfig
    loss: Loss = next_token_loss
    setting: Setting = field(default_factory=Setting)
    log: RunLog | None = None
    checkpoints: Checkpoints | None = None
    hooks: Sequence[Hook] = ()
    watcher: Watcher | None = None
    stop: StopRequest | None = None
    pace: Pace | None = None
    step: int = 0
    bad_steps: int = 0
    batch_state: State | None = None

    def __post_init__(self) -> None:
        """Move the model to its device and build its optimizers. Raises `UserError` for an average without an end."""
        if self.pace is not None and self.config.tail_average > 0:
            raise UserError(
                f"training.tail_average is {self.config.tail_average}: the last steps are averaged, and this run's "
                "number of steps may change as it goes; set it to 0, or train without a pace"
            )
        self.decoder.to(self.setting.device)
        products = torch.bfloat16 if self.setting.dtype == torch.bfloat16 else torch.float32
        self.optimizers = Optimizers(self.decoder, self.config.optimizer, products)
        self.average = TailAverage(self.decoder, self.config.tail_average)
        fp16 = self.setting.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.setting.device.type, enabled=fp16)

    def resume(self) -> bool:
        """Restore the latest checkpoint and cut the log to it; False where there is none."""
        restored = self.checkpoints.restore() if self.checkpoints else None
        if restored is None or self.checkpoints is None:
            return False
        tensors, state = restored
        moved = {name: tensor.to(self.setting.device) for name, tensor in tensors.items()}
        means = {name: tensor for name, tensor in moved.items() if name.endswith(SUFFIX)}
        self.optimizers.load_tensors({name: tensor for name, tensor in moved.items() if name not in means})
        self.average.load_tensors(means)
        self.step, self.bad_steps, self.batch_state = state.step, state.bad_steps, state.batches
        self.config = replace(self.config, steps=state.steps or self.config.steps)
        with whole(self.checkpoints.folder, "checkpoint"):
            if state.scaler:
                self.scaler.load_state_dict(state.scaler)
            for hook in self.hooks:
                hook.restore(state.hooks.get(hook.name, {}))
        if self.log is not None:
            self.log.cut_to(state.log_lines)
        return True

    def run(self) -> None:
        """Train until the last step. Raises `Interrupted` after saving when a stop was asked for."""
        with compiled_blocks(self.decoder) if self.config.compile else contextlib.nullcontext():
            self._run()

    def _run(self) -> None:
        stream = self.batches(self.batch_state)
        self._run_hooks()  # of the step that a checkpoint was written after, be it the last: the log was cut to it
        while self.step < self.config.steps:
            if self.pace is not None:
                self.config = replace(self.config, steps=max(self.pace(self.step), self.step + 1))
            batch, self.batch_state = next(stream)
            record = self.train_step(batch.to(self.setting.device))
            self.step += 1
            self.average.update(self.step, self.config.steps)
            self._write(record)
            stopping = self.stop is not None and self.stop.requested
            if self.step == self.config.steps or stopping or _due(self.step, self.config.checkpoint_every):
                self._save()
            if stopping and self.step < self.config.steps:
                saved = "everything is saved" if self.checkpoints else "nothing is saved"
                raise Interrupted(f"stopped after step {self.step} of {self.config.steps}; {saved}")
            self._run_hooks()

    def train_step(self, batch: Batch) -> StepRecord:
        """Take one optimizer step on a batch and return its record."""
        started = time.perf_counter()
        config, setting = self.config, self.setting
        torch.manual_seed(setting.seed * 1_000_003 + self.step)  # dropout follows the step, not the past
        rate = rate_at(self.step, config.steps, config.schedule)
        self.optimizers.set_rate(rate, rate if config.decay_with_rate else 1.0)
        self.decoder.train()
        count = batch.target_count
        total = torch.zeros((), device=setting.device)
        for part in batch.split(config.micro_batch_rows):
            with autocast(setting.device, setting.dtype):
                part_loss = self.loss(self.decoder, part)
            scaled: Tensor = self.scaler.scale(part_loss / max(count, 1))
            scaled.backward()  # type: ignore[no-untyped-call]
            total += part_loss.detach()
        loss, norm = total.item() / max(count, 1), self._clip()
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self._apply()
        else:
            self._skip(batch, loss, norm)
        self.bad_steps = 0 if finite else self.bad_steps + 1
        seconds = time.perf_counter() - started
        return StepRecord(self.step + 1, config.steps, loss, rate, norm, batch.ids.numel(), seconds, not finite)

    def _clip(self) -> float:
        """Scale a too long gradient down; return its norm before."""
        for member in self.optimizers.members:
            if self.scaler.is_enabled() and any(g["params"] for g in member.param_groups):
                self.scaler.unscale_(member)
        limit = float("inf") if self.config.clip is None else self.config.clip
        norm: Tensor = torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), limit)
        return norm.item()

    def _apply(self) -> None:
        if self.scaler.is_enabled():
            for member in self.optimizers.members:
                self.scaler.step(member)
            self.scaler.update()
            self.optimizers.zero_grad()
        else:
            self.optimizers.step()

    def _skip(self, batch: Batch, loss: float, norm: float) -> None:
        """Leave the weights as they are and keep the batch that broke them for a look."""
        self.optimizers.zero_grad()
        if self.scaler.is_enabled():
            self.scaler.update(self.scaler.get_scale() * self.scaler.get_backoff_factor())
        if self.log is not None:
            dump = self.log.path.parent / "nonfinite" / f"{self.step + 1:08d}.json"
            write_json(dump, {"loss": repr(loss), "gradient_norm": repr(norm), "ids": batch.ids.tolist()})
        if self.bad_steps + 1 >= self.config.max_bad_steps:
            raise UserError(
                f"step {self.step + 1}: loss {loss} and gradient norm {norm}, not finite {self.bad_steps + 1} steps "
                "in a row; lower training.optimizer.learning_rate or use --dtype fp32 (the batches are in "
                "nonfinite/)"
            )

    def _write(self, record: StepRecord) -> None:
        if self.watcher is not None:
            self.watcher.step(record)
        due = _due(record.step, self.config.log_every) or record.step == 1 or record.skipped
        if self.log is not None and due:
            self.log.write(
                "train",
                step=record.step,
                loss=record.loss if math.isfinite(record.loss) else repr(record.loss),
                rate=record.rate,
                gradient_norm=record.gradient_norm if math.isfinite(record.gradient_norm) else None,
                tokens=record.tokens,
                skipped=record.skipped,
                timing={"seconds": record.seconds, "clock": time.time()},
            )

    def _save(self) -> None:
        """Write a checkpoint; the log is forced to disk first, so that it is never behind."""
        if self.checkpoints is None:
            return
        if self.log is not None:
            self.log.sync()
        state = {
            "batches": self.batch_state,
            "bad_steps": self.bad_steps,
            "steps": self.config.steps,
            "scaler": self.scaler.state_dict(),
            "hooks": {hook.name: hook.state() for hook in self.hooks},
            "log_lines": 0 if self.log is None else self.log.lines(),
        }
        self.checkpoints.save(self.step, {**self.optimizers.tensors(), **self.average.tensors()}, state)

    def _run_hooks(self) -> None:
        for hook in self.hooks:
            if not (_due(self.step, hook.every) or self.step == self.config.steps):
                continue
            self.decoder.eval()
            with torch.no_grad(), uncompiled() if self.config.compile else contextlib.nullcontext():
                answer = dict(hook(self.step, self.decoder))
            timing = answer.pop("timing", None)
            if self.log is not None:
                self.log.write(hook.name, step=self.step, timing=timing, **answer)
            if self.watcher is not None:
                self.watcher.note(hook.name, self.step, answer)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def fit(
    decoder: TokenNetwork,
    batches: BatchSource,
    config: TrainingConfig,
    *,
    loss: Loss = next_token_loss,
    setting: Setting | None = None,
    folder: Path | None = None,
    checkpoints: Checkpoints | None = None,
    hooks: Sequence[Hook] = (),
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
    pace: Pace | None = None,
    resume: bool = False,
) -> None:
    """Train `decoder` in place for `config.steps` steps.

    `loss` returns a sum over a batch's targets; it is divided once by the whole batch's target count, so micro-batches
    never change the gradient. With a `folder`, `metrics.jsonl` is written there; with `checkpoints`, the run can be
    continued by `resume`. A `pace` may change the number of steps as the run goes, and the schedule with it; a tail
    average, whose steps must be known before, is a `UserError` beside it. Raises
    `Interrupted` after saving when `stop` was requested, `UserError` when too many steps in a row are not finite.

    A program whose process is there for training alone takes a third off a step's time on a CPU by calling
    `base.memory.keep_freed_memory` first, as the commands do; `fit` leaves the process's memory settings alone.
    """
    log = None if folder is None else RunLog(folder / "metrics.jsonl")
    loop = Loop(decoder, batches, config, loss, setting or Setting(), log, checkpoints, hooks, watcher, stop, pace)
    if resume and not loop.resume() and log is not None:
        log.cut_to(0)  # killed before the first checkpoint: begin again
    loop.run()
