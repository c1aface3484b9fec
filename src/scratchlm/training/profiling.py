"""Before a run: how many steps fit a budget of time, how much memory they need, how fast the machine multiplies."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from scratchlm.base.errors import UserError
from scratchlm.base.memory import require_memory
from scratchlm.base.statistics import spread
from scratchlm.model.decoder import Decoder
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loss import held_rows
from scratchlm.training.optimizer import matrix_weights

SECONDS_A_MINUTE = 57.0
"""Of each minute a twentieth is kept for evaluations, samples and checkpoints."""
LOOKS, LOOKS_SHARE, LAST_SHARE = 10, 0.03, 0.05
"""Most evaluations of a run with a time budget, the fraction of its time for all of them, and for the last one."""
FORWARD_SPEED = 3.0
"""How many times more tokens a forward pass reads in the time of a training step."""


def steps_within(seconds: float, step: float) -> int:
    """Return how many steps of `step` seconds fit a budget of `seconds`, at least one."""
    return max(1, int(seconds / step))


def fitted_to_minutes(config: TrainingConfig, minutes: float, step: float, spent: float) -> TrainingConfig:
    """Return the config with as many steps of `step` seconds as fit, and evaluations that take hundredths of the time.

    `spent` seconds are gone already. Everything becomes plain numbers, so a resumed run reads no clock. Raises
    `UserError` where not one step fits.
    """
    seconds = 60.0 * minutes
    left = (SECONDS_A_MINUTE / 60.0 - LAST_SHARE) * seconds - spent
    if left < step:
        least = (step + spent) / (SECONDS_A_MINUTE - 60.0 * LAST_SHARE)
        raise UserError(
            f"--minutes {minutes:g}: a step takes about {step:.2g} s on this machine, so not one fits; give --minutes "
            f"{math.ceil(10.0 * least) / 10.0:g} or more, a smaller --depth or a lower training.batch_size"
        )
    steps = steps_within(left, step)
    forward = FORWARD_SPEED * config.batch_size * config.sequence_length / step
    every = max(config.evaluate_every, -(-steps // LOOKS)) if config.evaluate_every else 0
    save = config.checkpoint_every
    if every and save and config.keep_best:  # which needs steps that are scored and saved
        save = min(save, every)
        every = max(1, round(every / save)) * save
    looks = 1 + steps // every if every else 1
    least_tokens = 4 * config.sequence_length
    on_the_way = max(least_tokens, int(LOOKS_SHARE * seconds * forward / looks))
    return replace(
        config,
        steps=steps,
        evaluate_every=every,
        checkpoint_every=save,
        sample_every=max(config.sample_every, -(-steps // LOOKS)) if config.sample_every else 0,
        evaluation_tokens=min(config.evaluation_tokens, on_the_way),
        last_evaluation_tokens=max(least_tokens, int(LAST_SHARE * seconds * forward)),
    )


class Deadline:
    """A `Pace` that ends a run after about `seconds`, whatever else the machine is asked to do meanwhile.

    The steps still to come are taken to last as long as the latest ones did, on average.
    """

    def __init__(self, seconds: float, step: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._step = step
        self.steps = 0
        """Steps of the run as they were last planned; after it, those that it took."""
        self._seen: deque[tuple[int, float]] = deque(maxlen=32)

    def __call__(self, step: int) -> int:
        """Return how many steps the whole run is to have, as it looks after `step` of them."""
        now = self._clock()
        self._seen.append((step, now))
        first, then = self._seen[0]
        if step > first:
            self._step = (now - then) / (step - first)
        measured = step > first or now >= self._end  # else a second step, whatever the probe says
        self.steps = step + max(0 if measured else 2, int(max(self._end - now, 0.0) / self._step))
        return self.steps


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
    state += numbers if config.tail_average or config.ema_decay else 0
    rows = min(config.micro_batch_size or config.batch_size, config.batch_size)
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
    of = f"{decoder.parameter_count():,} parameters on {config.batch_size} rows of {config.sequence_length}"
    remedy = "lower model.width, model.layers or the vocabulary, or training.micro_batch_size and sequence_length"
    require_memory(estimate_memory(decoder, config, dtype).total, f"training of {of}", remedy)


def product_peak(device: torch.device, dtype: torch.dtype, size: int = 1024, budget: float = 0.5) -> float:
    """Measure the machine's matrix-product speed in FLOP/s.

    The median of five products of `size` cubed after one that is not counted, or of fewer once `budget` seconds are
    over: where bf16 is emulated, one takes a second. Those of a GPU are larger, since it ends small ones before it is
    asked for them.
    """
    size = max(size, 8192) if device.type == "cuda" else size
    a = torch.randn(size, size, device=device, dtype=dtype)
    seconds: list[float] = []
    while len(seconds) < 6 and sum(seconds) < budget:
        started = time.perf_counter()
        (a @ a)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / spread(seconds[1:] or seconds).median
