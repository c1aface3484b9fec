"""A run's batches in stages: sequence and batch warm-up, then the sizes of the configuration.

Short sequences first (Li et al. 2021, arXiv 2108.06084) and few rows first (McCandlish et al. 2018, arXiv 1812.06162):
early in training neither far context nor an exact gradient is worth its price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from scratchlm.data.batches import Batch, State, Tokens, WindowBatches
from scratchlm.data.masking import HiddenTokens
from scratchlm.data.mixture import MixedBatches, Mixture, windows
from scratchlm.model.decoder import Decoder
from scratchlm.training.config import SizeWarmupConfig, TrainingConfig
from scratchlm.training.loop import BatchSource, RuntimeConfig
from scratchlm.training.probing import PROBE, step_time


@dataclass(frozen=True)
class TrainingStage:
    """Some of a run's steps, and their batches."""

    steps: int
    batches: WindowBatches | MixedBatches

    @property
    def tokens(self) -> int:
        """Tokens that the stage reads, epochs counted each."""
        return self.steps * self.batches.rows * self.batches.length


def stages(tokens: Tokens, config: TrainingConfig, seed: int) -> list[TrainingStage]:
    """Return the stages of a run in order. Raises `UserError` where the tokens do not fill a window."""
    warmup, sizes = config.size_warmup, (config.batch_size, config.sequence_length)
    if not isinstance(warmup, SizeWarmupConfig):
        return [TrainingStage(config.steps, windows(tokens, *sizes, seed, config.offsets))]
    early = int(warmup.fraction * config.steps)
    first = windows(tokens, warmup.batch_size, warmup.sequence_length, seed, config.offsets)
    main = windows(tokens, *sizes, seed, config.offsets, first_step=early)
    return [TrainingStage(early, first), TrainingStage(config.steps - early, main)]


def training_batches(tokens: Tokens, config: TrainingConfig, seed: int, mask: int = 0) -> BatchSource:
    """Return the batches of a whole run on one long row of tokens; `mask` is the id of what is hidden, if anything."""
    first, *rest = stages(tokens, config, seed)
    return _masked(Staged(first.batches, first.steps, rest[0].batches) if rest else first.batches, config, seed, mask)


def _masked(batches: BatchSource, config: TrainingConfig, seed: int, mask: int) -> BatchSource:
    """Hide tokens where the configuration says so."""
    if not config.masked_fraction:
        return batches
    return HiddenTokens(batches, config.masked_fraction, config.hidden_fraction, mask, seed)


@dataclass(frozen=True)
class CorpusRead:
    """How much of a corpus a run reads."""

    name: str
    tokens: int
    """Tokens that the corpus has."""
    epochs: float
    """How often the run reads it; over 1, it repeats."""


def corpora_read(tokens: Tokens, config: TrainingConfig, seed: int) -> list[CorpusRead]:
    """Return how much of each corpus of a mixture is read; nothing of a single corpus."""
    if not isinstance(tokens, Mixture):
        return []
    sizes = [(s.batches.rows, s.batches.length) for s in stages(tokens, config, seed) for _ in range(s.steps)]
    pairs = zip(tokens.corpora, tokens.epochs(sizes), strict=True)
    return [CorpusRead(corpus.name, len(corpus.tokens), round(epochs, 3)) for corpus, epochs in pairs]


def measure_step(
    decoder: Decoder, tokens: Tokens, config: TrainingConfig, runtime: RuntimeConfig, budget: float = PROBE
) -> float:
    """Return the seconds of a step, the mean over all stages, by `step_time`.

    The probes take at most about `budget` seconds together.
    """
    every = stages(tokens, config, runtime.seed)
    each = budget / len(every)
    timed = [step_time(decoder, _masked(s.batches, config, 0, 0), config, runtime, budget=each) for s in every]
    return sum(stage.steps * seconds for stage, seconds in zip(every, timed, strict=True)) / config.steps


@dataclass(frozen=True)
class Staged:
    """`first` for its number of batches, then `main` from its own beginning."""

    first: BatchSource
    steps: int
    main: BatchSource

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        inner = {key: value for key, value in (state or {}).items() if key != "taken"} or None
        taken = 0 if state is None else state["taken"]
        first = islice(self.first(inner), self.steps - taken) if taken < self.steps else ()
        main = self.main(inner if taken > self.steps else None)
        for count, (batch, following) in enumerate(chain(first, main), taken + 1):
            yield batch, {**following, "taken": count}
