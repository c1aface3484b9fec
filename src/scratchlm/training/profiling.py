"""Before a run: how many steps fit a budget of time, how much memory they need, how fast the machine multiplies."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
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
WINDOW = 0.1
"""Fraction of a run's time, back from now, whose steps show what a step takes."""
LOOK_AGAIN, TOLERANCE = 0.05, 0.02
"""Fractions of what is left: how much goes by between two looks at the clock, and how far off a plan may be."""
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

    The steps still to come are taken to last as long as the latest ones did, with what was done between them, on
    average over the last tenth of the time. So a machine that slows down takes fewer steps, and one that was busy at
    first takes more. It looks each time a twentieth of the steps or of the time that were left has gone by.
    """

    def __init__(
        self,
        seconds: float,
        step: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        steps: int | None = None,
        after: float = 0.0,
    ) -> None:
        """Begin now; a step is expected to take `step` seconds, and `steps` of them are planned.

        `after` seconds, measured as `step` was, are kept for what follows the last step; more where steps are slower.
        """
        self._clock, self._seconds, self._after = clock, seconds, after
        self._began = self._looked = clock()
        self._expected = self._step = step
        self.steps = steps_within(max(seconds - after, 0.0), step) if steps is None else steps
        """Steps of the run as they were last planned; after it, those that it took."""
        self._looked_at = 0
        self._from: int | None = None
        self._seen: deque[tuple[int, float]] = deque()

    def __call__(self, step: int) -> int:
        """Return how many steps the whole run is to have, as it looks after `step` of them."""
        now = self._clock()
        self._note(step, now)
        left = self._began + self._seconds - now - self._after * max(1.0, self._step / self._expected)
        since, before = step - self._looked_at, self._looked
        steps_gone = since >= LOOK_AGAIN * (self.steps - self._looked_at)
        time_gone = now - before >= LOOK_AGAIN * (self._began + self._seconds - before)
        if left > 0 and len(self._seen) < 2:
            self.steps = max(self.steps, step + 2)  # steps that are timed, whatever was expected of them
        elif left <= 0 or steps_gone or time_gone:
            self._looked, self._looked_at = now, step
            planned = step + int(max(left, 0.0) / self._step)
            if left <= 0 or abs(planned - self.steps) > max(1.0, TOLERANCE * (self.steps - step)):
                self.steps = planned
        return self.steps

    def _note(self, step: int, now: float) -> None:
        """Take note of a step; the first, which allocates memory, is forgotten unless it took a tenth of the time."""
        window = WINDOW * self._seconds
        if self._from is None:
            self._from = step
        elif step == self._from + 1 and now - self._seen[0][1] < window:
            self._seen.clear()
        self._seen.append((step, now))
        while len(self._seen) > 2 and self._seen[1][1] < now - window:
            self._seen.popleft()
        (first, then), (last, latest) = self._seen[0], self._seen[-1]
        if last > first:
            self._step = max(latest - then, 1e-9) / (last - first)


class Repeated:
    """A `Pace` that repeats what earlier starts of a run decided, keeps what it decides, and so can itself be repeated.

    Up to the last step that was reached before, the steps of the whole run are those of the kept revisions, whatever
    the clock says now. So is it after a return to a checkpoint.
    """

    def __init__(
        self,
        pace: Callable[[int], int],
        planned: int,
        keep: Callable[[list[list[int]]], None],
        revisions: Sequence[Sequence[int]] = (),
        reached: int = -1,
    ) -> None:
        """Begin with `planned` steps and the revisions that were kept, of which `keep` gets the whole list anew."""
        self._pace, self._planned, self._keep, self._reached = pace, planned, keep, reached
        self._revisions = [[int(step), int(steps)] for step, steps in revisions]

    def __call__(self, step: int) -> int:
        """Return how many steps the whole run is to have after `step` of them."""
        wanted = max(self._pace(step), step + 1)
        current = next((steps for at, steps in reversed(self._revisions) if at <= step), self._planned)
        if step <= self._reached:
            return current
        self._reached = step
        if wanted != current:
            self._revisions.append([step, wanted])
            self._keep(self._revisions)
        return wanted


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
