"""Configuration of the training loop. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from scratchlm.base.errors import raise_all


@dataclass(frozen=True)
class AdamWConfig:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101) for every parameter."""

    type: ClassVar[str] = "adamw"
    learning_rate: float = 1e-3
    """Peak step size."""
    beta1: float = 0.9
    """Memory of the gradient's mean."""
    beta2: float = 0.95
    """Memory of the gradient's square."""
    eps: float = 1e-8
    """Added to the root of the square."""
    weight_decay: float = 0.1
    """Share of a matrix, times the learning rate, that each step takes away; vectors are left alone."""
    implementation: Literal["fused", "plain"] = "fused"
    """fused: torch's; plain: the same steps written out. Equal, and tested so."""


@dataclass(frozen=True)
class MuonConfig:
    """Muon (Jordan 2024) for the matrices inside blocks, AdamW for embeddings, head and vectors."""

    type: ClassVar[str] = "muon"
    learning_rate: float = 0.02
    """Peak step size of the matrices: each step has about this root-mean-square singular value."""
    momentum: float = 0.95
    """Memory of the gradient's mean (Nesterov)."""
    steps: int = 5
    """Newton-Schulz steps that bring the singular values near 1."""
    weight_decay: float = 0.0
    """Share of a matrix, times the learning rate, that each step takes away."""
    cautious: bool = False
    """Whether only numbers that the step brings nearer to zero decay (Chen et al. 2025, arXiv 2510.12402)."""
    adam: AdamWConfig = field(default_factory=lambda: AdamWConfig(learning_rate=3e-3, weight_decay=0.0))
    """For all other parameters."""


@dataclass(frozen=True)
class NoOpeningConfig:
    """All steps have the same rows and length."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class OpeningConfig:
    """The first steps have sizes of their own: shorter rows, fewer rows, or both."""

    type: ClassVar[str] = "stage"
    share: float = 0.3
    """Share of all steps."""
    batch_rows: int = 32
    """Rows of one optimizer step of the opening."""
    sequence_length: int = 64
    """Tokens in a row of the opening."""


OpeningChoice = NoOpeningConfig | OpeningConfig
OptimizerConfig = MuonConfig | AdamWConfig


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over a run, as a share of its peak."""

    shape: Literal["linear", "cosine", "stable_decay"] = "stable_decay"
    """After warm-up: linear or cosine down from the peak, or the peak held, then a linear way down."""
    warmup_steps: int = 20
    """Steps over which the rate rises linearly from near zero."""
    decay_fraction: float = 0.6
    """Share of all steps, at the end, that stable_decay spends going down."""
    final_fraction: float = 0.0
    """Share of the peak that is left at the last step."""


@dataclass(frozen=True)
class TrainingConfig:
    """How `fit` trains: sizes, optimizer, schedule, and how often it looks up."""

    steps: int = 1000
    """Optimizer steps of the whole run; a time budget is turned into this number before the first step."""
    batch_rows: int = 16
    """Rows of one optimizer step."""
    micro_batch_rows: int | None = None
    """Rows of one forward pass; fewer need less memory and give the same gradient. None: all rows at once."""
    sequence_length: int = 256
    """Tokens in a row."""
    opening: OpeningChoice = field(default_factory=NoOpeningConfig)
    optimizer: OptimizerConfig = field(default_factory=MuonConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    decay_with_rate: bool = False
    """Whether weight decay falls to zero with the learning rate, beyond the rate's own factor."""
    tail_average: float = 0.0
    """Share of all steps, at the end, whose weights are averaged into the final ones; 0: the last step's alone.
    Not beside what may end a run early."""
    clip: float | None = 1.0
    """Largest norm of the whole gradient; a longer one is scaled down to it. None: never."""
    compile: bool = False
    """Whether blocks are compiled by torch.compile: some seconds before the first step, fewer for each after it. Needs
    a C++ compiler at run time; without one the run goes on uncompiled and says so."""
    log_every: int = 10
    """Steps between two lines of the log."""
    evaluate_every: int = 100
    """Steps between two evaluations on held-out text; 0: only at the end."""
    evaluation_tokens: int = 65_536
    """Held-out tokens of an evaluation during training; the one at the end takes all of them."""
    sample_every: int = 100
    """Steps between two samples; 0: none."""
    checkpoint_every: int = 200
    """Steps between two checkpoints; 0: only at the end."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    max_bad_steps: int = 5
    """Steps in a row with a loss or gradient that is not finite before the run stops."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        least_one = ["steps", "batch_rows", "sequence_length", "log_every", "keep_checkpoints", "max_bad_steps"]
        least_zero = ["evaluate_every", "sample_every", "checkpoint_every"]
        problems = [
            f"training.{n} is {getattr(self, n)}: must be at least 1" for n in least_one if getattr(self, n) < 1
        ]
        problems += [
            f"training.{n} is {getattr(self, n)}: must not be negative" for n in least_zero if getattr(self, n) < 0
        ]
        if self.micro_batch_rows is not None and self.micro_batch_rows < 1:
            problems.append(f"training.micro_batch_rows is {self.micro_batch_rows}: must be at least 1")
        if isinstance(self.opening, OpeningConfig):
            problems += [
                f"training.opening.{n} is {getattr(self.opening, n)}: must be at least 1"
                for n in ("batch_rows", "sequence_length")
                if getattr(self.opening, n) < 1
            ]
            if not 0.0 <= self.opening.share <= 1.0:
                problems.append(f"training.opening.share is {self.opening.share}: must be from 0 to 1")
        if not 0.0 <= self.tail_average <= 1.0:
            problems.append(f"training.tail_average is {self.tail_average}: must be from 0 to 1")
        if self.clip is not None and not self.clip > 0:
            problems.append(f"training.clip is {self.clip}: must be over 0, or left out to clip never")
        if not self.optimizer.learning_rate > 0:
            problems.append(f"training.optimizer.learning_rate is {self.optimizer.learning_rate}: must be over 0")
        if self.schedule.warmup_steps < 0:
            problems.append(f"training.schedule.warmup_steps is {self.schedule.warmup_steps}: must not be negative")
        raise_all(problems)
