"""What the experiments that look at one kind of model can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Range, Vocabulary
from scratchlm.experiments.settings import ExperimentConfig, StorySettings
from scratchlm.recipes.dial import MAX_DEPTH


@dataclass(frozen=True)
class ObjectiveConfig(ExperimentConfig):
    """One model before, during and after training; and bytes, characters, sub-words and words by the byte."""

    megabytes: Annotated[float, Range(0.05, 10**6)] = 4.0
    """Millions of bytes of the beginnings of books, some of which are held out."""
    steps: Count = 300
    """Training steps on each kind of token."""
    vocabulary_size: Vocabulary = 4096
    """Sub-words, and words, at most."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 4
    """Layers of the model."""
    sample_tokens: Count = 40
    """Tokens of each sample."""


@dataclass(frozen=True)
class ContextConfig(ExperimentConfig):
    """What the tokens before the predicted one are worth: more or fewer of them, in disorder, without attention."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 900
    """Steps in which the model reads books."""
    targets: Annotated[int, Range(8, 10**9)] = 1024
    """Held-out tokens that are predicted under each condition."""
    copies: Annotated[int, Range(2, 10**6)] = 16
    """Rows of random tokens that are repeated."""
    copy_steps: Count = 400
    """Training steps of a model of two layers that learns to copy."""


@dataclass(frozen=True)
class KnobsConfig(ExperimentConfig):
    """Parameters counted by part, one of them turned, parts frozen, all of them disturbed."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 600
    """Steps in which the model reads books."""
    frozen_steps: Count = 100
    """Steps in which the free parts of a model learn."""
    targets: Annotated[int, Range(256, 10**9)] = 16_384
    """Held-out tokens that are predicted under each condition."""


@dataclass(frozen=True)
class ScalingConfig(ExperimentConfig):
    """Loss against parameters, tokens and compute, and how well a law of small runs foretells a larger one."""

    depths: Annotated[tuple[int, ...], Range(1, MAX_DEPTH)] = (1, 2, 3)
    """Layers of the models that the law is fitted to, the fewest first; give the flag again for another."""
    tokens: Annotated[tuple[int, ...], Range(4096)] = (400_000, 800_000, 1_600_000)
    """Tokens that each of them reads, the fewest first."""
    larger_depth: Annotated[int, Range(1, MAX_DEPTH)] = 5
    """Layers of the run that is foretold."""
    larger_tokens: Annotated[int, Range(4096)] = 1_800_000
    """Tokens that it reads."""
    vocabulary_size: Vocabulary = 2048
    """Tokens of the tokenizer that all share."""
    batch_rows: Annotated[int, Range(1, 65_536)] = 8
    """Rows of a step, of 256 tokens each."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        for name in ("depths", "tokens"):
            given = getattr(self, name)
            if len(given) < 2 or list(given) != sorted(set(given)):
                shown = f"--{name} {', '.join(map(str, given))}"
                problems.append(f"{shown}: give at least two, each once, the smallest first")
        larger = (self.larger_depth, self.larger_tokens)
        least_of = (max(self.depths, default=1), max(self.tokens, default=1))
        if larger[0] < least_of[0] or larger[1] < least_of[1] or larger == least_of:
            problems.append(
                f"--larger-depth {larger[0]}, --larger-tokens {larger[1]}: must be beyond the runs of the fit, "
                f"{least_of[0]} and {least_of[1]}"
            )
        return problems


@dataclass(frozen=True)
class FeaturesConfig(ExperimentConfig):
    """What can be read from each layer of a model that no one told it: simple and compound, by linear probes."""

    vocabulary_size: Vocabulary = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: Count = 600
    """Steps in which the model reads books."""
    windows: Annotated[int, Range(8, 10**9)] = 320
    """Windows of text that probes learn from; half as many of other books are read for the test."""
    tokens: Annotated[int, Range(20, 10**9)] = 6000
    """Tokens of each mark that a probe learns from, at most."""


@dataclass(frozen=True)
class TasksConfig(StorySettings):
    """One model answers, finds spam, rewrites and translates, beside a narrow rival for each and a model for each."""

    messages: Annotated[int, Range(20, 10**9)] = 2000
    """Labelled messages that are learned from, at most."""
    vocabulary_size: Annotated[int, Range(1024, 1 << 20)] = 2048
    """Tokens of its tokenizer."""
    pairs: Annotated[int, Range(100, 10**9)] = 3000
    """Pairs of English and German sentences that are learned from, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 250
    """Cases of each task that are tested, at most."""


@dataclass(frozen=True)
class LimitsConfig(StorySettings):
    """Where a model is fluent and wrong: other wordings, negations, premises that are false, sentences it remembers."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions of each kind, at most."""
    sampled: Annotated[int, Range(10, 10**9)] = 200
    """Sentences that the model writes and that are traced to what it read."""
