"""Configuration of the training loop. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Count, Decay, Fraction, Length, Positive, Range, Rows, out_of_range

ShardingName = Literal["none", "full", "hybrid"]
"""Whether ranks hold a whole model each, a part each, or a whole one together on each machine."""
TrackerName = Literal["tensorboard", "trackio", "mlflow", "wandb"]
"""Programs that show the curves of many runs."""


@dataclass(frozen=True)
class AdamWConfig:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101) for every parameter."""

    type: ClassVar[str] = "adamw"
    learning_rate: Annotated[float, Range(over=0, most=1e38)] = 1e-3
    """Peak step size."""
    beta1: Decay = 0.9
    """Memory of the gradient's mean."""
    beta2: Decay = 0.95
    """Memory of the gradient's square."""
    eps: Positive = 1e-8
    """Added to the root of the square."""
    weight_decay: Annotated[float, Range(0, 1000)] = 0.1
    """Fraction of a matrix, times the learning rate, that each step takes away; vectors are left alone."""
    implementation: Literal["fused", "plain"] = "fused"
    """fused: torch's; plain: the same steps written out. Equal, and tested so."""

    def times(self, factor: float) -> AdamWConfig:
        """Return the same with the learning rate multiplied by a factor."""
        return replace(self, learning_rate=factor * self.learning_rate)


@dataclass(frozen=True)
class MuonConfig:
    """Muon (Jordan 2024) for the matrices inside blocks, AdamW for embeddings, head and vectors."""

    type: ClassVar[str] = "muon"
    learning_rate: Annotated[float, Range(over=0, most=1e38)] = 0.02
    """Peak step size of the matrices: each step has about this root-mean-square singular value."""
    momentum: Decay = 0.95
    """Memory of the gradient's mean (Nesterov)."""
    steps: Annotated[int, Range(1, 100)] = 5
    """Newton-Schulz steps that bring the singular values near 1."""
    weight_decay: Annotated[float, Range(0, 1000)] = 0.0
    """Fraction of a matrix, times the learning rate, that each step takes away."""
    cautious: bool = False
    """Whether only numbers that the step brings nearer to zero decay (Chen et al. 2025, arXiv 2510.12402)."""
    adam: AdamWConfig = field(default_factory=lambda: AdamWConfig(learning_rate=3e-3, weight_decay=0.0))
    """For all other parameters."""

    def times(self, factor: float) -> MuonConfig:
        """Return the same with the learning rates of both optimizers multiplied by a factor."""
        return replace(self, learning_rate=factor * self.learning_rate, adam=self.adam.times(factor))


@dataclass(frozen=True)
class NoSizeWarmupConfig:
    """All steps have the same rows and length."""

    type: ClassVar[str] = "none"


@dataclass(frozen=True)
class SizeWarmupConfig:
    """Sequence and batch warm-up: the first steps have shorter rows, fewer rows, or both."""

    type: ClassVar[str] = "stage"
    fraction: Fraction = 0.3
    """Fraction of all steps."""
    batch_size: Rows = 32
    """Rows of one optimizer step of this stage."""
    sequence_length: Length = 64
    """Tokens in a row of this stage."""


SizeWarmupChoice = NoSizeWarmupConfig | SizeWarmupConfig
OptimizerConfig = MuonConfig | AdamWConfig


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over a run, as a fraction of its peak."""

    shape: Literal["linear", "cosine", "stable_decay"] = "stable_decay"
    """After warm-up: linear or cosine down from the peak, or the peak held, then a linear way down."""
    warmup_steps: Amount = 20
    """Steps over which the rate rises linearly from near zero."""
    decay_fraction: Fraction = 0.6
    """Fraction of all steps, at the end, that stable_decay spends going down."""
    final_fraction: Fraction = 0.0
    """Fraction of the peak that is left at the last step."""


@dataclass(frozen=True)
class SpikeConfig:
    """What is done where the loss leaps: skip the batch, and return to a checkpoint where skipping does not help."""

    sigma: Annotated[float, Range(0, 1000)] = 0.0
    """A step whose loss is this many standard deviations above the mean of the last ones is skipped, and such a row
    left out; without `clip`, a step of such a gradient norm too. 0: only what is not finite. `pretrain` has 6."""
    window: Annotated[int, Range(2, 100_000)] = 128
    """Steps that mean and deviation are taken over; the first half of them are never skipped."""
    max_rollbacks: Amount = 3
    """Returns to an earlier checkpoint before the run ends with an error."""


@dataclass(frozen=True)
class TrainingConfig:
    """How `fit` trains: sizes, optimizer, schedule, and how often it evaluates, samples and saves."""

    steps: Count = 1000
    """Optimizer steps of the whole run; a time budget is turned into this number before the first step."""
    batch_size: Rows = 16
    """Rows of one optimizer step."""
    micro_batch_size: Annotated[int | None, Range(1)] = None
    """Rows of one forward pass; fewer need less memory and give the same gradient. None: all rows at once."""
    sequence_length: Length = 256
    """Tokens in a row."""
    size_warmup: SizeWarmupChoice = field(default_factory=NoSizeWarmupConfig)
    optimizer: OptimizerConfig = field(default_factory=MuonConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    decay_with_lr: bool = False
    """Whether weight decay falls to zero with the learning rate, beyond the rate's own factor."""
    tail_average: Fraction = 0.0
    """Fraction of all steps, at the end, whose weights are averaged into the final ones; 0: the last step's alone.
    Not beside what may end a run early."""
    offsets: bool = True
    """Whether each epoch divides the text into rows at other places."""
    ema_decay: Decay = 0.0
    """Memory of an exponential moving average of the weights, which takes their place at the end; 0: none."""
    masked_fraction: Fraction = 0.0
    """Fraction of the rows of each batch, at least one, that are read both ways and predict hidden tokens (GPT-BERT,
    arXiv 2410.24159); 0: none."""
    hidden_fraction: Annotated[float, Range(over=0, most=1)] = 0.15
    """Of these rows, the fraction of tokens that are hidden."""
    clip: Annotated[float | None, Range(over=0)] = 1.0
    """Largest norm of the whole gradient; a longer one is scaled down to it. None: never."""
    compile: bool = False
    """Whether blocks are compiled by torch.compile: some seconds before the first step, fewer for each after it. Needs
    a C++ compiler at run time; without one the run goes on uncompiled and says so."""
    log_every: Count = 10
    """Steps between two lines of the log."""
    evaluate_every: Amount = 100
    """Steps between two evaluations on held-out text; 0: only at the end."""
    evaluation_tokens: Annotated[int, Range(1, 10**12)] = 65_536
    """Held-out tokens of an evaluation during training."""
    last_evaluation_tokens: Annotated[int | None, Range(1, 10**12)] = None
    """Held-out tokens of the evaluation at the end; None: all of them. A time budget sets it."""
    sample_every: Amount = 100
    """Steps between two samples; 0: none."""
    checkpoint_every: Amount = 200
    """Steps between two checkpoints; 0: only at the end."""
    keep_checkpoints: Count = 2
    """Newest checkpoints that are kept."""
    keep_best: bool = True
    """Whether the best checkpoint is kept too: of those whose step is scored on held-out text, the one with the lowest
    loss. So `evaluate_every` and `checkpoint_every` should be equal, or one a multiple of the other."""
    spikes: SpikeConfig = field(default_factory=SpikeConfig)
    """What is done about a batch that is far worse than those before it."""
    max_bad_steps: Count = 5
    """Skipped steps in a row after which the run returns to an earlier checkpoint, or ends where there is none."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self, "training")
        if self.ema_decay and self.tail_average:
            problems.append("training.ema_decay: not beside training.tail_average, which averages too; choose one")
        lengths = [self.sequence_length, getattr(self.size_warmup, "sequence_length", self.sequence_length)]
        if self.masked_fraction and min(lengths) < 2:
            problems.append("training.masked_fraction: needs rows of 2 tokens at least; raise training.sequence_length")
        raise_all(problems)
