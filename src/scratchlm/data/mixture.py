"""Several corpora read as one: each batch has rows of all of them, as many of each as its weight says.

Which corpus a row is of depends on the rows before it alone, and each corpus has an order of its own, so a run goes on
exactly where it was in each. A corpus that runs out begins again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from scratchlm.base.errors import UserError, raise_all
from scratchlm.data.batches import Batch, State, Tokens, WindowBatches
from scratchlm.data.prepared import data_hash, open_data
from scratchlm.data.shards import ShardSet
from scratchlm.tokens.base import Tokenizer

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Corpus:
    """One of the corpora: its name, and its training text."""

    name: str
    tokens: ShardSet


class Mixture(ShardSet):
    """The training text of several corpora, one after the other, and how much of each is read."""

    def __init__(self, corpora: Sequence[Corpus], weights: Weights, later: tuple[int, Weights] | None = None) -> None:
        """`later` are the weights after so many steps."""
        super().__init__([shard for corpus in corpora for shard in corpus.tokens.shards])
        self.corpora = list(corpora)
        self.begins = np.cumsum([0, *(len(corpus.tokens) for corpus in corpora)])
        """Where each corpus begins in the whole."""
        self.weights, self.later = _fractions(weights), None if later is None else (later[0], _fractions(later[1]))

    def weights_at(self, step: int) -> Weights:
        """Return which fraction of the rows of a step, counted from 0, each corpus has."""
        return self.weights if self.later is None or step < self.later[0] else self.later[1]

    @property
    def last_weights(self) -> Weights:
        """The fractions with which a run ends."""
        return self.weights if self.later is None else self.later[1]

    def epochs(self, rows_of_step: Sequence[tuple[int, int]]) -> list[float]:
        """Return how often each corpus is read by a run; `rows_of_step` are rows and tokens of a row of each step."""
        read = np.zeros(len(self.corpora))
        for step, (rows, length) in enumerate(rows_of_step):
            read += np.array(self.weights_at(step)) * rows * length
        return [float(tokens / len(corpus.tokens)) for tokens, corpus in zip(read, self.corpora, strict=True)]


def _fractions(weights: Sequence[float]) -> Weights:
    return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class MixedBatches:
    """Batches of windows, each row of one corpus. Calling with a state continues after it."""

    tokens: Mixture
    rows: int
    length: int
    seed: int
    offsets: bool = True
    first_step: int = 0
    """Steps of the run before these batches; one that is taken anew, after a return to a checkpoint, counts again."""

    def __post_init__(self) -> None:
        """Refuse a corpus shorter than one window."""
        self._windows()

    def _windows(self) -> list[WindowBatches]:
        """Return the windows of each corpus, one by one."""
        batches = []
        for corpus in self.tokens.corpora:
            try:
                batches.append(WindowBatches(corpus.tokens, 1, self.length, self.seed, self.offsets))
            except UserError as error:
                raise UserError(f"{corpus.name}: {error}") from error
        return batches

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches forever, each with the state that resumes at the next one."""
        numbers, state = range(len(self.tokens.corpora)), dict(state or {})
        places = [{key: state.get(f"{key}.{number}", 0) for key in ("epoch", "index")} for number in numbers]
        counts = [state.get(f"rows.{number}", 0) for number in numbers]
        step = state.get("step", self.first_step)
        streams = [windows(place) for windows, place in zip(self._windows(), places, strict=True)]
        while True:
            if self.tokens.later is not None and step == self.tokens.later[0]:
                counts = [0 for _ in numbers]  # what was read by other weights is no debt
            weights, rows = self.tokens.weights_at(step), []
            for _ in range(self.rows):
                # The corpus that is the most behind its share, so that after n rows each has about n times its weight.
                number = max(numbers, key=lambda each: weights[each] * (sum(counts) + 1) - counts[each])
                counts[number] += 1
                row, places[number] = next(streams[number])
                assert row.starts is not None
                rows.append(replace(row, starts=row.starts + int(self.tokens.begins[number])))
            step += 1
            read = {f"{key}.{number}": value for number in numbers for key, value in places[number].items()}
            yield _joined(rows), read | {f"rows.{number}": counts[number] for number in numbers} | {"step": step}


def _joined(rows: Sequence[Batch]) -> Batch:
    """Return rows as one batch."""
    ids, targets = torch.cat([row.ids for row in rows]), torch.cat([row.targets for row in rows])
    return Batch(ids, targets, starts=torch.cat([row.starts for row in rows if row.starts is not None]))


def windows(
    tokens: Tokens, rows: int, length: int, seed: int, offsets: bool = True, first_step: int = 0
) -> WindowBatches | MixedBatches:
    """Return the batches of windows of one corpus, or of several."""
    if isinstance(tokens, Mixture):
        return MixedBatches(tokens, rows, length, seed, offsets, first_step)
    return WindowBatches(tokens, rows, length, seed, offsets)


def mixture_problems(corpora: int, mix: str, mix_after: str, steps: int) -> list[str]:
    """Return a line for everything that is wrong with `--mix` and `--mix-after`, of so many corpora and steps."""
    problems = []
    if corpora < 2:
        flags = {"--mix": mix, "--mix-after": mix_after}
        return [f"{flag} {value}: needs several corpora; give --data again" for flag, value in flags.items() if value]
    if mix:
        problems += _weight_problems("--mix", mix, mix, corpora)
    if mix_after:
        step, equals, weights = mix_after.partition("=")
        if not equals or not step.isascii() or not step.isdecimal() or int(step) < 1:
            problems.append(f"--mix-after {mix_after}: give a step and weights, as in 900=1,3")
        else:
            problems += _weight_problems("--mix-after", mix_after, weights, corpora)
            if int(step) >= steps:
                problems.append(f"--mix-after {mix_after}: the run has {steps} steps; name an earlier one")
    return problems


def _weight_problems(flag: str, value: str, weights: str, corpora: int) -> list[str]:
    try:
        numbers = _parsed_weights(weights)
    except ValueError:
        return [f"{flag} {value}: weights are numbers with commas between them, as in 3,1"]
    if len(numbers) != corpora:
        return [f"{flag} {value}: is {len(numbers)} of the {corpora} weights that there must be, one for each --data"]
    if not all(0 < number < 1e9 for number in numbers):
        return [f"{flag} {value}: every weight must be over 0 and under a billion; leave out the --data of another"]
    return []


def _parsed_weights(text: str) -> Weights:
    """Return weights as they are given: 3,1. Raises `ValueError` where they are no numbers."""
    return tuple(float(number) for number in text.split(","))


def mixed(corpora: Sequence[Corpus], mix: str, mix_after: str) -> Mixture:
    """Return the mixture of corpora by settings that `mixture_problems` found right; without weights by their sizes."""
    weights = _parsed_weights(mix) if mix else tuple(float(len(corpus.tokens)) for corpus in corpora)
    step, _, later = mix_after.partition("=")
    return Mixture(corpora, weights, (int(step), _parsed_weights(later)) if mix_after else None)


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote of one corpus, or of several."""

    tokenizer: Tokenizer
    train: ShardSet
    held_out: dict[str, ShardSet]
    """The held-out text of each corpus by its name."""
    digest: str
    """A hash of all ids."""

    @property
    def weights(self) -> Weights:
        """How much the loss on each held-out text counts in that of all: as the corpus does at the end of the run."""
        return self.train.last_weights if isinstance(self.train, Mixture) else (1.0,)


def open_corpora(folders: Sequence[Path], mix: str, mix_after: str, steps: int) -> Prepared:
    """Open one prepared folder, or the mixture of several for a run of `steps` steps, with every id verified.

    Raises `UserError` as `open_data` does, for corpora of different tokenizers, for one that is
    named twice, and for wrong weights.
    """
    twice = [folder for number, folder in enumerate(folders) if folder in folders[:number]]
    problems = [f"--data {folder}: is named twice; name it once, with a larger weight in --mix" for folder in twice]
    raise_all(problems + mixture_problems(len(folders), mix, mix_after, steps))
    opened = [open_data(folder) for folder in folders]
    tokenizer, train, held_out = opened[0]
    digests = [data_hash(learned, other) for _, learned, other in opened]
    short = [folder.name for folder in folders]
    names = [folder.name if short.count(folder.name) == 1 else str(folder) for folder in folders]
    if len(folders) == 1:
        return Prepared(tokenizer, train, {names[0]: held_out}, digests[0])
    raise_all(
        [
            f"--data {folder}: its tokenizer ({other.fingerprint[:12]}) is not that of --data {folders[0]} "
            f"({tokenizer.fingerprint[:12]}); prepare it with --tokenizer {folders[0]}"
            for folder, (other, _, _) in zip(folders, opened, strict=True)
            if other.fingerprint != tokenizer.fingerprint
        ]
    )
    corpora = [Corpus(name, learned) for name, (_, learned, _) in zip(names, opened, strict=True)]
    others = {name: other for name, (_, _, other) in zip(names, opened, strict=True)}
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Prepared(tokenizer, mixed(corpora, mix, mix_after), others, digest)
