"""What a pretraining run looks at on its way: held-out text and samples. Each owns its randomness."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from scratchlm.base import runfolder
from scratchlm.base.files import write_text
from scratchlm.base.runfolder import Evaluation, Timing
from scratchlm.data.batches import ArrayTokens, Tokens
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.generation.language_model import assemble
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import Tokenizer


class Stateless:
    """A hook whose answer depends on the step and the model alone."""

    def state(self) -> dict[str, Any]:
        """Return nothing to remember."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""


class HeldOut(Stateless):
    """Scores held-out text: its beginning during the run, after the last step all of it, or `last_limit` tokens."""

    name = "evaluation"

    def __init__(
        self,
        tokenizer: Tokenizer,
        tokens: Tokens,
        *,
        every: int,
        last_step: int,
        limit: int,
        length: int,
        dtype: torch.dtype,
        last_limit: int | None = None,
    ) -> None:
        self.every = every
        self._tokenizer, self._tokens, self._dtype = tokenizer, tokens, dtype
        self._last_step, self._limit, self._length = last_step, limit, length
        self._last_limit = len(tokens) if last_limit is None else last_limit

    def __call__(self, step: int, decoder: Decoder) -> Evaluation:
        """Return loss and bits per byte."""
        started = time.perf_counter()
        whole = len(self._tokens)
        count = min(self._last_limit if step == self._last_step else self._limit, whole)
        tokens = self._tokens if count == whole else ArrayTokens(self._tokens.read(0, count))
        result = held_out_loss(decoder, self._tokenizer, tokens, length=self._length, dtype=self._dtype)
        return Evaluation(
            step=step, loss=result.loss, bits_per_byte=result.bits_per_byte, tokens=result.tokens,
            timing=Timing.since(started),
        )  # fmt: skip


class Sample(Stateless):
    """Writes a short text with the model as it is, into `samples/` and the log.

    With `seconds` a sample is cut after them. It then depends on the clock, so only runs that are never resumed may
    have it.
    """

    name = "sample"

    def __init__(
        self,
        tokenizer: Tokenizer,
        folder: Path,
        *,
        every: int,
        seed: int,
        max_tokens: int = 60,
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.every = every
        self._tokenizer, self._folder = tokenizer, folder
        self._config = SamplingConfig(max_tokens=max_tokens, seed=seed)
        self._seconds, self._clock = seconds, clock

    def __call__(self, step: int, decoder: Decoder) -> runfolder.Sample:
        """Return the text of the sample."""
        end = self._tokenizer.end_of_text
        start = [end if end is not None else 0]
        stop = frozenset() if end is None else frozenset({end})
        ids = self._in_time(stream_ids(Engine(decoder), start, self._config, stop))
        text = "".join(assemble(ids, self._tokenizer))
        write_text(self._folder / f"{step:08d}.txt", text + "\n")
        return runfolder.Sample(step=step, text=text)

    def _in_time(self, ids: Iterator[int]) -> Iterator[int]:
        """Yield ids until the time for a sample is over."""
        end = self._clock() + self._seconds
        for token in ids:
            yield token
            if self._clock() > end:
                return
