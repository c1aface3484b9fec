"""Before a run: what a step costs on this machine, which dtype is faster, how many steps fit a budget."""

from __future__ import annotations

import contextlib
import copy
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from scratchlm.base.device import DTYPES, DtypeName
from scratchlm.base.memory import require_memory
from scratchlm.base.statistics import spread
from scratchlm.model.decoder import Decoder
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import BatchSource, Loop, Setting
from scratchlm.training.loss import Loss, held_rows, next_token_loss
from scratchlm.training.optimizer import matrix_weights


def step_seconds(
    decoder: Decoder,
    batches: BatchSource,
    config: TrainingConfig,
    setting: Setting,
    *,
    budget: float = 2.0,
    loss: Loss = next_token_loss,
) -> float:
    """Return the median seconds of one optimizer step, measured for about `budget` seconds on a copy of what it trains.

    The first step, which allocates memory and picks kernels, is not counted. The model is left as it was.
    """
    seconds: list[float] = []
    started = time.perf_counter()
    watcher = _Stopwatch(seconds, lambda: time.perf_counter() - started > budget and len(seconds) > 3)
    trial = replace(config, steps=1_000_000, checkpoint_every=0, evaluate_every=0, sample_every=0)
    shared = {id(weight): weight for weight in decoder.parameters() if not weight.requires_grad}
    loop = Loop(copy.deepcopy(decoder, shared), batches, trial, loss, setting, watcher=watcher)
    with contextlib.suppress(_Enough):
        loop.run()
    return spread(seconds[1:]).median


class _Enough(Exception):  # noqa: N818 - control flow, not an error
    pass


class _Stopwatch:
    def __init__(self, seconds: list[float], enough: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._enough = enough
        self._last = time.perf_counter()

    def step(self, record: object) -> None:
        now = time.perf_counter()
        self._seconds.append(now - self._last)  # from step to step: the batch's making counts too
        self._last = now
        if self._enough():
            raise _Enough

    def note(self, kind: str, step: int, values: object) -> None:
        raise AssertionError("a probe has no hooks")


def choose_dtype(
    name: DtypeName,
    decoder: Decoder,
    batches: BatchSource,
    config: TrainingConfig,
    setting: Setting,
    loss: Loss = next_token_loss,
) -> tuple[torch.dtype, float]:
    """Return the dtype to train in and the seconds of one step in it.

    `auto` times fp32 and bf16 and keeps the faster: bf16 doubles the speed of processors that have it and is many times
    slower on others. On a GPU without bf16 it is fp16 with a scaled loss.
    """
    names: list[DtypeName] = [name] if name != "auto" else ["fp32", "bf16"]
    if name == "auto" and setting.device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        names = ["fp32", "fp16"]
    timed = {
        each: step_seconds(
            decoder, batches, config, replace(setting, dtype=DTYPES[each]), budget=2.0 / len(names), loss=loss
        )
        for each in names
    }
    best = min(timed, key=timed.__getitem__)
    return DTYPES[best], timed[best]


SECONDS_A_MINUTE = 57.0
"""Of each minute a twentieth is kept for evaluations, samples and checkpoints."""


def steps_within(seconds: float, step: float) -> int:
    """Return how many steps of `step` seconds fit a budget of `seconds`, at least one."""
    return max(1, int(seconds / step))


class Deadline:
    """A `Pace` that ends a run after about `seconds`, whatever else the machine is asked to do meanwhile.

    The steps still to come are taken to last as long as the latest ones did, on average.
    """

    def __init__(self, seconds: float, step: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._step = step
        self._seen: deque[tuple[int, float]] = deque(maxlen=32)

    def __call__(self, step: int) -> int:
        """Return how many steps the whole run is to have, as it looks after `step` of them."""
        now = self._clock()
        self._seen.append((step, now))
        first, then = self._seen[0]
        if step > first:
            self._step = (now - then) / (step - first)
        return step + int(max(self._end - now, 0.0) / self._step)


@dataclass(frozen=True)
class Memory:
    """Bytes that a training run holds."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate_memory(decoder: Decoder, config: TrainingConfig, dtype: torch.dtype) -> Memory:
    """Estimate training memory in bytes: fp32 weights, gradients, optimizer state, one micro-batch's activations.

    Activations count what each block keeps for the way back (about 16 widths and 3 hidden widths a token, in `dtype`
    for products and fp32 for the stream), the logits held at once, and the gradients that the head hands back. Takes a
    model without memory too.
    """
    model, numbers = decoder.config, decoder.parameter_count()
    inside = matrix_weights(decoder)
    state = numbers * 2 if config.optimizer.type == "adamw" else inside + 2 * (numbers - inside)
    rows = min(config.micro_batch_rows or config.batch_rows, config.batch_rows)
    tokens = rows * config.sequence_length
    size = 4 if dtype == torch.float32 else 2
    block = tokens * (8 * model.width * 4 + 8 * model.width * size + 3 * model.feed_forward.hidden * size)
    if dtype == torch.bfloat16:  # the shares that blocked attention keeps: about half of each square
        block += rows * model.attention.heads * config.sequence_length**2 * size // 2
    held = min(tokens, held_rows(model.vocabulary_size, dtype)) * model.vocabulary_size * size
    head = held + (4 + size) * decoder.head_weight.numel() + 4 * tokens * model.width
    return Memory(4 * numbers, 4 * numbers, 4 * state, model.layers * block + head)


def require_training_memory(decoder: Decoder, config: TrainingConfig, dtype: torch.dtype) -> None:
    """Refuse a training that cannot fit into memory; takes a model without memory. Raises `UserError`."""
    what = (
        f"training of {decoder.parameter_count():,} parameters on {config.batch_rows} rows of {config.sequence_length}"
    )
    remedy = "lower model.width, model.layers or the vocabulary, or training.micro_batch_rows and sequence_length"
    require_memory(estimate_memory(decoder, config, dtype).total, what, remedy)


def product_peak(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Measure the machine's matrix-product speed in FLOP/s (median of five products of `size` cubed)."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        (a @ a)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / spread(seconds[1:]).median
