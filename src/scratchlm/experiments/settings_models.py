"""What the experiments that look at one kind of model can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from scratchlm.experiments.settings import ExperimentConfig, StorySettings, too_small
from scratchlm.recipes.dial import MAX_DEPTH


@dataclass(frozen=True)
class ObjectiveConfig(ExperimentConfig):
    """One model before, during and after training; and bytes, characters, sub-words and words by the byte."""

    megabytes: float = 4.0
    """Millions of bytes of the beginnings of books, some of which are held out."""
    steps: int = 300
    """Training steps on each kind of token."""
    vocabulary_size: int = 4096
    """Sub-words, and words, at most."""
    depth: int = 4
    """Layers of the model."""
    sample_tokens: int = 40
    """Tokens of each sample."""

    def _problems(self) -> list[str]:
        least = {"megabytes": 0.05, "steps": 1, "vocabulary_size": 256, "depth": 1, "sample_tokens": 1}
        return super()._problems() + too_small(self, least)


@dataclass(frozen=True)
class ContextConfig(ExperimentConfig):
    """What the tokens before the predicted one are worth: more or fewer of them, in disorder, without attention."""

    vocabulary_size: int = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: int = 900
    """Steps in which the model reads books."""
    targets: int = 1024
    """Held-out tokens that are predicted under each condition."""
    copies: int = 16
    """Rows of random tokens that are repeated."""
    copy_steps: int = 400
    """Training steps of a model of two layers that learns to copy."""

    def _problems(self) -> list[str]:
        least = {"vocabulary_size": 256, "pretraining_steps": 1, "targets": 8, "copies": 2, "copy_steps": 1}
        return super()._problems() + too_small(self, least)


@dataclass(frozen=True)
class KnobsConfig(ExperimentConfig):
    """Parameters counted by part, one of them turned, parts frozen, all of them disturbed."""

    vocabulary_size: int = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: int = 600
    """Steps in which the model reads books."""
    frozen_steps: int = 100
    """Steps in which the free parts of a model learn."""
    targets: int = 16_384
    """Held-out tokens that are predicted under each condition."""

    def _problems(self) -> list[str]:
        least = {"vocabulary_size": 256, "pretraining_steps": 1, "frozen_steps": 1, "targets": 256}
        return super()._problems() + too_small(self, least)


@dataclass(frozen=True)
class ScalingConfig(ExperimentConfig):
    """Loss against parameters, tokens and compute, and how well a law of small runs foretells a larger one."""

    depths: tuple[int, ...] = (1, 2, 3)
    """Layers of the models that the law is fitted to, the fewest first; give the flag again for another."""
    tokens: tuple[int, ...] = (400_000, 800_000, 1_600_000)
    """Tokens that each of them reads, the fewest first."""
    larger_depth: int = 5
    """Layers of the run that is foretold."""
    larger_tokens: int = 1_800_000
    """Tokens that it reads."""
    vocabulary_size: int = 2048
    """Tokens of the tokenizer that all share."""
    batch_rows: int = 8
    """Rows of a step, of 256 tokens each."""

    def _problems(self) -> list[str]:
        least = {"larger_depth": 1, "larger_tokens": 4096, "vocabulary_size": 256, "batch_rows": 1}
        problems = super()._problems() + too_small(self, least)
        for name, low in (("depths", 1), ("tokens", 4096)):
            given = getattr(self, name)
            shown = f"--{name} {', '.join(map(str, given))}"
            if len(given) < 2 or list(given) != sorted(set(given)):
                problems.append(f"{shown}: give at least two, each once, the smallest first")
            elif given[0] < low:
                problems.append(f"{shown}: must be at least {low} each")
        if max(*self.depths, self.larger_depth) > MAX_DEPTH:
            problems.append(f"--depths, --larger-depth: must be at most {MAX_DEPTH}")
        larger, least_of = (self.larger_depth, self.larger_tokens), (max(self.depths), max(self.tokens))
        if larger[0] < least_of[0] or larger[1] < least_of[1] or larger == least_of:
            problems.append(
                f"--larger-depth {larger[0]}, --larger-tokens {larger[1]}: must be beyond the runs of the fit, "
                f"{least_of[0]} and {least_of[1]}"
            )
        return problems


@dataclass(frozen=True)
class FeaturesConfig(ExperimentConfig):
    """What can be read from each layer of a model that no one told it: simple and compound, by linear probes."""

    vocabulary_size: int = 4096
    """Tokens of the tokenizer."""
    pretraining_steps: int = 600
    """Steps in which the model reads books."""
    windows: int = 320
    """Windows of text that probes learn from; half as many of other books are read for the test."""
    tokens: int = 6000
    """Tokens of each mark that a probe learns from, at most."""

    def _problems(self) -> list[str]:
        least = {"vocabulary_size": 256, "pretraining_steps": 1, "windows": 8, "tokens": 20}
        return super()._problems() + too_small(self, least)


@dataclass(frozen=True)
class TasksConfig(StorySettings):
    """One model answers, finds spam, rewrites and translates, beside a narrow rival for each and a model for each."""

    messages: int = 2000
    """Labelled messages that are learned from, at most."""
    pairs: int = 3000
    """Pairs of English and German sentences that are learned from, at most."""
    tested: int = 250
    """Cases of each task that are tested, at most."""

    def _problems(self) -> list[str]:
        return super()._problems() + too_small(
            self, {"messages": 20, "pairs": 100, "tested": 10, "vocabulary_size": 1024}
        )


@dataclass(frozen=True)
class LimitsConfig(StorySettings):
    """Where a model is fluent and wrong: other wordings, negations, premises that are false, sentences it remembers."""

    tested: int = 200
    """Questions of each kind, at most."""
    sampled: int = 200
    """Sentences that the model writes and that are traced to what it read."""

    def _problems(self) -> list[str]:
        return super()._problems() + too_small(self, {"tested": 10, "sampled": 10})
