"""What a step takes on this machine, measured within a given time.

A step of a large model on a slow machine may take longer than the whole probe. So pieces of a batch come first, from a
few tokens of one row on; each is taken only where its expected time is left, and a step that does not fit is scaled up.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from scratchlm.base.device import autocast
from scratchlm.base.statistics import spread
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.decoder import Decoder
from scratchlm.training.compiling import compiled_blocks
from scratchlm.training.config import MuonConfig, TrainingConfig
from scratchlm.training.loop import BatchSource, Loop, RuntimeConfig
from scratchlm.training.loss import Loss, next_token_loss
from scratchlm.training.optimizer import matrices_of
from scratchlm.training.profiling import product_peak

Clock = Callable[[], float]

PROBE = 2.0
"""Seconds of a probe where no budget says otherwise."""
MOST_STEPS = 300
"""Whole steps that are timed at most."""
PROBE_SHARE = 0.05
"""Fraction of a budget that its probes take at most."""
COMPILING = 30.0
"""Seconds that a probe of compiled blocks needs: compiling them takes most of it."""
SHORT = 32
"""Tokens of the smallest piece that is timed."""
LOW_USE, HIGH_USE = 0.1, 0.5
"""What training uses of a machine's product speed at least and at most, as a guess before anything is timed."""


def probe_seconds(minutes: float | None, compiled: bool = False) -> float:
    """Return how long a probe may take of a budget; a probe of compiled blocks takes all that it is given."""
    if minutes is None:
        return COMPILING if compiled else PROBE
    allowed = PROBE_SHARE * 60.0 * minutes
    return allowed if compiled and allowed >= COMPILING else min(PROBE, allowed)


def step_time(
    decoder: Decoder,
    batches: BatchSource,
    config: TrainingConfig,
    runtime: RuntimeConfig,
    *,
    budget: float = PROBE,
    loss: Loss = next_token_loss,
    clock: Clock = time.perf_counter,
    peak: float | None = None,
) -> float:
    """Return the seconds of one optimizer step, measured for at most about `budget` seconds on a copy of the model.

    Where whole steps fit, their median is returned, without the first, which allocates memory and picks kernels. Where
    they do not, the time of the largest piece of a batch that fits is scaled up. Blocks are compiled only where
    `config.compile` asks for it and the budget has the time; then two steps are taken even where the first, in which
    they are compiled, has used it up. A run finds them compiled on disk. The model is left as it was. `peak` is the
    machine's matrix-product speed in FLOP/s, measured where it is not given: it says which piece to begin with.
    """
    peak = peak or product_peak(runtime.device, runtime.dtype, 256, budget / 10)
    shared = {id(weight): weight for weight in decoder.parameters() if not weight.requires_grad}
    trial = copy.deepcopy(decoder, shared)
    wanted = config.compile and budget >= COMPILING
    with compiled_blocks(trial) if wanted else contextlib.nullcontext(False) as compiled:
        loop = Loop(trial, batches, config, loss, runtime)  # the first optimizer of a process takes torch a second
        probe = _Probe(loop, clock() + budget, clock, peak)
        if not compiled and not probe.pieces_promise_steps():
            return probe.scaled_up()
        seconds = probe.steps(least=2 if compiled else 1)
        return spread(seconds[1:] or seconds).median


@dataclass
class _Probe:
    """A copy of a run whose pieces are timed until `end` on `clock`."""

    loop: Loop
    end: float
    clock: Clock
    peak: float
    timed: list[tuple[int, float]] = field(default_factory=list)
    """Tokens of each piece and the seconds of its forward and backward pass."""

    def __post_init__(self) -> None:
        self.stream = self.loop.batches(None)
        self.batch: Batch = next(self.stream)[0]
        self.loop.decoder.train()

    @property
    def left(self) -> float:
        return self.end - self.clock()

    def pieces_promise_steps(self) -> bool:
        """Time growing pieces; return whether two whole steps are expected to fit what is left."""
        pieces = pieces_of(self.batch, self.loop.config.micro_batch_size)
        few = [piece for piece in pieces if self._by_flops(piece.ids.numel(), LOW_USE) < self.left / 4]
        for piece in pieces[max(len(few) - 1, 0) :]:
            tokens = piece.ids.numel()
            if self.timed and 2 * self._expected(tokens) > self.left:
                return False
            seconds = [self._pass(piece)]
            if seconds[0] < self.left or seconds[0] > 4 * self._by_flops(tokens, LOW_USE):  # else it was no warm-up
                seconds.append(self._pass(piece))
            while len(seconds) < 4 and seconds[-1] < self.left / 8:
                seconds.append(self._pass(piece))
            if len(seconds) == 1 and self.timed:  # it was the warm-up, and shows less than the piece before
                seconds.append(self._expected(tokens))
            self.timed.append((tokens, min(seconds)))
        return 2 * self.scaled_up() < self.left

    def steps(self, least: int) -> list[float]:
        """Return the seconds of whole steps, of which at least `least` are taken, whatever the time."""
        seconds: list[float] = []
        while len(seconds) < least or (self.left > seconds[-1] and len(seconds) < MOST_STEPS):
            began = self.clock()  # the making of the batch counts too
            batch, _ = next(self.stream)
            self.loop.train_step(batch.to(self.loop.runtime.device))
            seconds.append(self.clock() - began)
        return seconds

    def scaled_up(self) -> float:
        """Return the seconds of a whole step, judged by the pieces."""
        tokens, seconds = self.timed[-1]
        speed = self.loop.decoder.flops_per_token(self.batch.ids.size(1)) * tokens / max(seconds, 1e-9)
        return self._expected(self.batch.ids.numel()) + _optimizer_flops(self.loop) / speed

    def _expected(self, tokens: int) -> float:
        """Return the seconds of a pass over some tokens.

        What a pass takes whatever its size is known where two pieces were timed; every token counts at least as the
        machine's best use says.
        """
        size, seconds = self.timed[-1]
        rate = seconds / size
        if len(self.timed) > 1:
            before, less = self.timed[-2]
            rate = min(max((seconds - less) / (size - before), self._by_flops(1, HIGH_USE)), rate)
        return seconds + rate * (tokens - size)

    def _by_flops(self, tokens: int, use: float) -> float:
        """Return the seconds of a pass that uses this part of the machine's product speed."""
        return self.loop.decoder.flops_per_token(self.batch.ids.size(-1)) * tokens / (use * self.peak)

    def _pass(self, piece: Batch) -> float:
        """Return the seconds of a forward and backward pass."""
        loop, began = self.loop, self.clock()
        with autocast(loop.runtime.device, loop.runtime.dtype):
            summed = loop.loss(loop.decoder, piece.to(loop.runtime.device))
        (summed / max(piece.target_count, 1)).backward()  # type: ignore[no-untyped-call]
        loop.optimizers.zero_grad()
        if loop.runtime.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - began


def pieces_of(batch: Batch, micro_rows: int | None) -> list[Batch]:
    """Return pieces of a batch that grow: some tokens of a row, a row, four rows and so on up to a micro-batch."""
    most = min(len(batch.split(1)), micro_rows or len(batch.ids))
    rows, pieces = 1, []
    plain = type(batch) is Batch and bool((batch.targets != IGNORED).all())
    if plain and batch.ids.size(1) >= 2 * SHORT:  # rows whose loss falls on some places alone cannot be cut
        documents = None if batch.documents is None else batch.documents[:1, :SHORT]
        pieces.append(Batch(batch.ids[:1, :SHORT], batch.targets[:1, :SHORT], documents))
    while rows <= most:
        pieces.append(batch.split(rows)[0])
        rows = rows * 4 if rows == most or rows * 4 <= most else most
    return pieces


def _optimizer_flops(loop: Loop) -> float:
    """Return about how many FLOPs the optimizer's step is worth: few a weight, and the products of Muon."""
    decoder, optimizer = loop.decoder, loop.config.optimizer
    flops = 20.0 * sum(weight.numel() for weight in decoder.parameters() if weight.requires_grad)
    if isinstance(optimizer, MuonConfig):
        for short, long in (sorted(matrix.shape) for matrix in matrices_of(decoder)):
            flops += optimizer.steps * (4.0 * short * short * long + 2.0 * short**3)
    return flops
