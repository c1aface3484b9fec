"""The only training loop, as an iterator: each step that it yields is one optimizer step.

    loop = Loop(decoder, batches, config)
    for record in loop.steps():
        print(record.step, record.loss)

Between two steps the caller may evaluate, save, stop, or `revise` the number of steps; `fit` does all of these. The
maths reads no clock and no global random state: dropout is seeded by the step and batches follow their own state, so a
run that was killed continues bit for bit (on a CPU, with an equal number of threads).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchlm.base.device import autocast
from scratchlm.base.files import write_json
from scratchlm.data.batches import Batch, State
from scratchlm.model.network import SequenceModel
from scratchlm.training.averaging import SUFFIX, WeightAverage
from scratchlm.training.checkpoints import TrainingState
from scratchlm.training.compiling import compiled_blocks, uncompiled
from scratchlm.training.config import ScheduleConfig, TrainingConfig
from scratchlm.training.loss import Loss, judges_rows, next_token_loss, token_losses
from scratchlm.training.microbatches import MicroBatches
from scratchlm.training.optimizer import BuildOptimizer, Optimizers
from scratchlm.training.ranks import ALONE, Placement, Ranks
from scratchlm.training.schedule import StepPlan, lr_factor
from scratchlm.training.spikes import DivergenceError, SpikeWatch

BatchSource = Callable[[Mapping[str, int] | None], Iterator[tuple[Batch, State]]]
"""Called with the state of the last batch taken (or None), yields the following batches without end."""


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did."""

    step: int
    steps: int
    """Steps of the whole run."""
    loss: float
    """Mean loss over the step's targets, in nats."""
    lr: float
    """Learning rate: of Muon where it trains the matrices, else of AdamW."""
    gradient_norm: float
    tokens: int
    seconds: float
    problem: str | None = None
    """Why the step was skipped."""
    smaller_micro_batch: int | None = None
    """Rows of a forward pass from this step on, where memory was too small for more."""
    left_out: int = 0
    """Rows that were far worse than those of earlier steps, and had no part in it."""

    @property
    def skipped(self) -> bool:
        """Whether the weights were left as they were."""
        return self.problem is not None


OnStep = Callable[[StepRecord], object]
"""Called by `fit` with the record of each step, on the first rank; where it returns True, that step is the last."""


@dataclass(frozen=True)
class RuntimeConfig:
    """Where a loop computes, in which dtype, from which seed."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    seed: int = 0


@dataclass
class Loop:
    """One training run: model, batches, settings, loss, and the state that changes with each step."""

    decoder: SequenceModel
    batches: BatchSource
    config: TrainingConfig
    loss: Loss = next_token_loss
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    placement: Placement | None = None
    """Where weights and gradients lie, for several processes; batches and losses are those of all. None: here."""
    skipped: Path | None = None
    """Folder that keeps the batches of skipped steps."""
    describe: Callable[[Batch, Tensor], Mapping[str, Any]] | None = None
    """What to keep of a skipped batch beside its ids, as JSON values; called with the loss of each of its tokens."""
    step: int = 0
    bad_steps: int = 0
    """Steps in a row that were skipped."""
    returns: bool = False
    """Whether who iterates over the steps answers a `DivergenceError`; if not, only one of numbers that are not finite
    is raised."""
    rollbacks: int = 0
    lr_factor: Callable[[int | float, int, ScheduleConfig], float] = lr_factor
    """Of a step, the steps of the first plan and the schedule: the learning rate as a fraction of its peak."""
    build_optimizer: BuildOptimizer | None = None
    """Makes the optimizer, of groups of parameters with their weight decay; None: what `config` says."""
    batch_state: State | None = None
    on_step: OnStep | None = None
    """What `fit` calls after each step; who iterates over `steps` needs none."""

    def __post_init__(self) -> None:
        """Move the model to its device and build its optimizers."""
        self.place = self.placement or Placement(self.decoder, ALONE)
        self.decoder = self.place.decoder
        self.decoder.to(self.runtime.device)
        self.plan = StepPlan(self.config.steps)
        products = torch.bfloat16 if self.runtime.dtype == torch.bfloat16 else torch.float32
        self.optimizers = Optimizers(self.decoder, self.config.optimizer, products, self.ranks, self.build_optimizer)
        self.average = WeightAverage(self.decoder, self.config)
        self.watch = SpikeWatch(self.config.spikes, self.config.clip is not None)
        self.micro_batches = MicroBatches(self.config.micro_batch_size)
        fp16 = self.runtime.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.runtime.device.type, enabled=fp16)

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        return self.place.ranks

    @property
    def whole(self) -> SequenceModel:
        """The model to look at and to save, up to date on the first rank after `place.collect`."""
        return self.place.whole

    def steps(self) -> Iterator[StepRecord]:
        """Train until `config.steps`; yield the record of each step after it was taken.

        The loop's state is whole whenever a record is yielded. Raises `DivergenceError` after `config.max_bad_steps`
        skipped steps in a row, and where the loss has risen for many steps.
        """
        with compiled_blocks(self.decoder) if self.config.compile else contextlib.nullcontext():
            stream = self.batches(self.batch_state)
            while self.step < self.config.steps:
                if self.returns and (risen := self.watch.risen()) is not None:
                    raise DivergenceError(f"step {self.step}: {risen}")
                with self.ranks.step():
                    batch, self.batch_state = next(stream)
                    record = self.train_step(batch.to(self.runtime.device))
                self.step += 1
                self.average.update(self.step, self.plan)
                yield record

    def end(self) -> None:
        """Make the step that was just taken the last one; averaged weights take their place as after a planned end."""
        if self.step < self.config.steps:
            self.plan.end(self.step)
            self.config = replace(self.config, steps=self.step)
            self.average.put_in_place()

    def revise(self, steps: int) -> None:
        """Give the whole run `steps` steps from here on; what is left of its schedule is spread over them.

        Raises `ValueError` for no more steps than were taken.
        """
        self.plan.revise(self.step, steps)
        self.config = replace(self.config, steps=steps)

    def train_step(self, batch: Batch) -> StepRecord:
        """Take one optimizer step on a batch and return its record."""
        started = time.perf_counter()
        config, runtime = self.config, self.runtime
        # Dropout follows the step, not the past.
        torch.manual_seed(runtime.seed * 1_000_003 + self.step + self.ranks.rank * 2**40)
        factor = self.lr_factor(self.plan.place(self.step), self.plan.first, config.schedule)
        self.optimizers.scale_lr(factor, factor if config.decay_with_lr else 1.0)
        self.decoder.train()
        self.watch.begin(batch.ids.shape)
        count, before = batch.target_count, self.micro_batches.size
        compute = partial(self._gradients, count=max(count, 1))
        total = self.micro_batches.gradients(batch, self.place, compute, self.optimizers.zero_grad, self.step + 1)
        self.place.end()
        total = self.ranks.add(total)
        rows = self.watch.rows(self.ranks, len(batch.ids))
        bad = torch.zeros(0, dtype=torch.bool) if rows is None else self.watch.bad_rows(rows).cpu()
        if bad.any():
            count = self._leave_out(batch, bad, count)
        loss, norm = total.item() / max(count, 1), self._clip()
        problem = self.watch.problem(loss, norm, rows)
        if problem is None:
            self._update()
            self.watch.add(self.step + 1, loss, norm, None if rows is None else rows[~bad])
        else:
            self._skip(batch, problem)
        self.bad_steps = 0 if problem is None else self.bad_steps + 1
        seconds = time.perf_counter() - started
        lr, tokens = self.optimizers.lr, batch.ids.numel()
        smaller = None if self.micro_batches.size == before else self.micro_batches.size
        skipped = (problem, smaller, int(bad.sum()))
        return StepRecord(self.step + 1, config.steps, loss, lr, norm, tokens, seconds, *skipped)

    def _update(self) -> None:
        """Let the optimizers take their step."""
        if not self.scaler.is_enabled():
            self.optimizers.step()
            return
        for member in self.optimizers.members:
            self.scaler.step(member)
        self.scaler.update()
        self.optimizers.zero_grad()

    def _leave_out(self, batch: Batch, bad: Tensor, count: int) -> int:
        """Keep the bad rows of a batch for a look; make the gradient the mean over the others' targets; count these.

        `count` is how many targets it is the mean over. The rows' own part is out of it already, by the loss.
        """
        self._keep(batch.select(bad), self.watch.bad_rows_line(int(bad.sum()), len(bad)))
        left = batch.select(~bad).target_count
        gradients = [p.grad for p in self.decoder.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, max(count, 1) / max(left, 1))
        return left

    def _gradients(self, parts: Sequence[Batch], count: int) -> Tensor:
        """Compute the gradient of the mean loss over `count` targets; return the sum of the losses."""
        total = torch.zeros((), device=self.runtime.device)
        self.watch.begin_pass()
        loss: Any = self.loss
        if self.config.spikes.sigma > 0 and judges_rows(loss):
            loss = partial(loss, judge=self.watch.judge)
        for number, part in enumerate(parts, start=1):
            with autocast(self.runtime.device, self.runtime.dtype):
                part_loss = loss(self.decoder, part)
            if number == len(parts):
                self.place.complete()
            self.scaler.scale(part_loss / count).backward()
            total += part_loss.detach()
        return total

    def _clip(self) -> float:
        """Scale a too long gradient down; return its norm before."""
        for member in self.optimizers.members:
            if self.scaler.is_enabled() and any(g["params"] for g in member.param_groups):
                self.scaler.unscale_(member)
        return self.place.clip(float("inf") if self.config.clip is None else self.config.clip)

    def _skip(self, batch: Batch, problem: str) -> None:
        """Leave the weights as they are and keep the batch that was too bad for them for a look."""
        self.optimizers.zero_grad()
        if self.scaler.is_enabled():
            self.scaler.update(self.scaler.get_scale() * self.scaler.get_backoff_factor())
        self._keep(batch, problem)
        if self.bad_steps + 1 >= self.config.max_bad_steps:
            where = "" if self.skipped is None else f" (the batches are in {self.skipped.name}/)"
            finite = "not finite" not in problem
            reason = f"step {self.step + 1}: {problem}, {self.bad_steps + 1} steps in a row{where}"
            if self.returns or not finite:
                raise DivergenceError(reason, finite)
            self.watch.forget()

    def _keep(self, batch: Batch, problem: str) -> None:
        """Write what had no part in a step into the folder of such batches, if there is one."""
        if self.skipped is None or not (self.place.writes_together or self.ranks.is_first):
            return
        with uncompiled(self.config.compile):
            description = {} if self.describe is None else self.describe(batch, token_losses(self.decoder, batch))
        self.place.drop_gathered()
        if self.ranks.is_first:
            kept = {"problem": problem, **description, "ids": batch.ids.tolist()}
            write_json(self.skipped / f"{self.step + 1:08d}.json", kept)

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizers' and the average's state by name, all of it; `restore` takes it back.

        Where it lies in parts, all ranks call this together, and the first alone gets it.
        """
        return self.place.gathered({**self.optimizers.tensors(), **self.average.tensors()})

    def restore(self, tensors: Mapping[str, Tensor], state: TrainingState) -> None:
        """Continue from a checkpoint's state; the decoder's weights are restored by `Checkpoints`."""
        moved = {name: tensor.to(self.runtime.device) for name, tensor in tensors.items()}
        means = {name: tensor for name, tensor in moved.items() if name.endswith(SUFFIX)}
        self.optimizers.load_tensors({name: tensor for name, tensor in moved.items() if name not in means})
        self.average.load_tensors(means)
        self.step, self.bad_steps, self.batch_state = state.step, state.bad_steps, state.batches
        self.rollbacks = state.rollbacks
        sizes = [size for size in (state.micro_batch_size, self.config.micro_batch_size) if size is not None]
        self.micro_batches.size = min(sizes, default=None)  # it may have been halved, or lowered by who resumes
        self.watch.restore(state.spikes)
        self.plan = StepPlan(state.planned or state.steps or self.config.steps, state.revisions)
        self.config = replace(self.config, steps=self.plan.steps)
        if state.scaler:
            self.scaler.load_state_dict(state.scaler)
