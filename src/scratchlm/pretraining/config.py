"""The settings of `pretrain` and `plan`. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from scratchlm.base.config import UNSTORED, flatten, from_dict, nested, to_dict
from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Fraction, Minutes, Range, Seed, Threads, out_of_range
from scratchlm.config.settings import Folder, FoldersUnlessResumed, FolderUnlessResumed, Hidden, Positional
from scratchlm.model.config import DecoderConfig
from scratchlm.pretraining.depth_scaling import guarded, is_published, load_recipe
from scratchlm.training.config import ShardingName, TrackerName, TrainingConfig
from scratchlm.weights.config import published_shapes

OF_THE_RECIPE: Any = None
"""Default of a part that a config takes from its recipe when it is made."""


def _of_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given of a recipe's name and depth; what is no number is reported with the other settings."""
    depth = given.get("depth")
    return {"recipe": str(given.get("recipe", "default")), "depth": depth if isinstance(depth, int) else None}


def _set(config: Any, **values: Any) -> None:
    """Set fields of a frozen config while it is made."""
    for name, value in values.items():
        object.__setattr__(config, name, value)


@dataclass(frozen=True)
class PretrainConfig:
    """Train a model from random weights on prepared data, or continue one."""

    common: ClassVar[tuple[str, ...]] = (
        "data", "out", "minutes", "depth", "init", "resume", "seed", "threads", "dtype", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    recipe: Positional[str] = "default"
    """Named recipe (tiny, default, speedrun, books, characters, characters-quick, gpt2, further) or a TOML file; its
    values are the defaults of all flags below."""
    data: FoldersUnlessResumed = ()
    """Folder that `scratchlm prepare` wrote; give the flag again to mix several."""
    out: FolderUnlessResumed = None
    """Folder of the run to write."""
    mix: str = ""
    """With several --data: weights, as in 3,1, of how many tokens of each are read. Without, each is read equally
    often."""
    mix_after: str = ""
    """Other weights after a step, as in 900=1,3: those of an annealing phase."""
    minutes: Minutes | None = None
    """Time for training and its evaluations; a short probe turns it into a number of steps, which then follows the
    clock. Without --depth, the recipes default and speedrun take the depth that should learn most in this time."""
    depth: int | None = None
    """Layers, from which width, heads, learning rate, batch and length follow (depth scaling)."""
    init: Folder | None = None
    """Model folder to continue from, instead of random weights; `further` is the recipe for an imported model."""
    teacher: Folder | None = None
    """Model, or a folder of several (an ensemble), to learn the probabilities of beside the text (distillation)."""
    distillation: Fraction = 0.5
    """With --teacher: how much of the gradient comes from its probabilities, the rest from the text."""
    resume: Folder | None = None
    """Run folder to continue exactly where its latest checkpoint stands; its recipe holds, other flags are refused,
    except those that say where its data and model were moved, and a smaller --training.micro-batch-size."""
    allow_changes: bool = False
    """With --resume: go on although the recipe file, an input or the number of threads has changed; it is recorded."""
    seed: Seed = 0
    """Seed of weights, order of the data and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of matrix products; auto takes what is faster by the processor's features, as `doctor` says."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    force: bool = False
    """Replace a run that is in the folder already."""
    sharding: ShardingName = "none"
    """With torchrun: what a rank holds; none: all weights, full: a part of them, hybrid: the ranks of each machine hold
    all of them together."""
    track: tuple[TrackerName, ...] = ()
    """Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow, wandb (offline)."""
    json: bool = False
    """Print the result as JSON."""
    sweep: tuple[str, ...] = ()
    """Train every combination of values, as in KEY=A,B,C, the best third of them longer, and so on to one that takes
    all steps; give the flag again for another key."""
    sweep_processes: Annotated[int | None, Range(1, 4096)] = None
    """Trials at a time, which share the threads; as many as there are threads if not given, fewer where memory is
    short."""
    sweep_on: Literal["here", "ray"] = "here"
    """Where trials are trained: ray takes the machines of a cluster, and --threads for each trial."""
    model: DecoderConfig = OF_THE_RECIPE
    """A decoder-only transformer: embedding, blocks, final norm, head. One that is given replaces the recipe's. It is
    filled when the config is made: to change recipe or depth of one, give `dataclasses.replace` model=None too."""
    training: TrainingConfig = OF_THE_RECIPE
    """How `fit` trains: sizes, optimizer, schedule, and how often it looks up. One that is given replaces the
    recipe's."""
    origins: Hidden[Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False, metadata=UNSTORED)
    """Where each given value came from, by dotted name."""

    @classmethod
    def base_for(cls, given: Mapping[str, Any]) -> PretrainConfig:
        """Return the config whose values hold where nothing is given: those of a recipe at a depth."""
        return cls(**_of_recipe(given))

    def __post_init__(self) -> None:
        """Take what is open from the recipe and check ranges; every problem is reported at once.

        Raises `UserError` for a recipe that is unknown too.
        """
        if self.model is None or self.training is None:
            recipe = load_recipe(self.recipe, self.depth)
            _set(self, model=self.model or recipe.model, training=self.training or guarded(recipe))
        idle = self.allow_changes and self.resume is None
        problems = ["--allow-changes: has no part without --resume; leave it out"] if idle else []
        if not self.sweep and (self.sweep_processes is not None or self.sweep_on != "here"):
            problems.append("--sweep-processes and --sweep-on: have no part without --sweep; leave them out")
        if self.sharding != "none" and self.minutes is not None:
            problems.append("--minutes: steps are timed with a whole model; beside --sharding give --training.steps")
        if self.mix_after and self.minutes is not None:
            problems.append(
                "--mix-after: names a step, and --minutes decides how many there are; give --training.steps instead"
            )
        if self.teacher is None and self.resume is None and self.distillation != PretrainConfig.distillation:
            problems.append(f"--distillation {self.distillation:g}: has no part without --teacher; give that too")
        if self.teacher is not None and self.minutes is not None:
            problems.append("--minutes: steps are timed without a teacher; beside --teacher give --training.steps")
        if self.sweep and self.minutes is not None:
            problems.append("--minutes: trials are compared after equal steps; give --training.steps instead")
        raise_all(problems + out_of_range(self))

    def missing(self) -> list[str]:
        """Return a line for each argument that a run cannot do without."""
        if self.resume is not None:
            return []
        needed = {"data": "name the folder that prepare wrote", "out": "name the folder to write"}
        return [f"--{name}: is missing; {what}" for name, what in needed.items() if not getattr(self, name)]


def changed(config: PretrainConfig, values: Mapping[str, Any]) -> PretrainConfig:
    """Return a config with other values, by their dotted names.

    Another depth brings the sizes that follow from it; what was said beside the recipe still holds.
    """
    recipe = PretrainConfig(config.recipe, depth=config.depth)
    usual = dict(flatten({"model": to_dict(recipe.model), "training": to_dict(recipe.training)}))
    now = dict(flatten({"model": to_dict(config.model), "training": to_dict(config.training)}))
    said = {name: value for name, value in now.items() if usual.get(name) != value}
    depth = values.get("depth", config.depth)
    base = PretrainConfig(config.recipe, depth=depth) if type(depth) is int else recipe
    based = dataclasses.replace(config, model=base.model, training=base.training)
    return from_dict(PretrainConfig, nested("--sweep", {**said, **values}), "", based)


@dataclass(frozen=True)
class PlanConfig:
    """Forecast parameters, memory and time of a run before it begins, from a short probe on this machine.

    Of a published model, count parameters, memory, cache and training FLOPs; not a weight is allocated.
    """

    common: ClassVar[tuple[str, ...]] = (
        "depth", "minutes", "data", "probe", "tokens", "threads", "dtype", "json",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    recipe: Positional[str] = "default"
    """Named recipe or a TOML file; or a published model, by name, such as llama-3.1-405b, or its config.json."""
    depth: int | None = None
    """Layers, from which the other sizes follow (depth scaling)."""
    minutes: Minutes | None = None
    """Time to train for: reports how many steps fit, and which loss each depth is expected to reach."""
    data: tuple[Folder, ...] = ()
    """Folder that `scratchlm prepare` wrote, to try learning rates on; give the flag again to mix several. Without,
    steps are timed on random ids."""
    mix: str = ""
    """With several --data: weights, as in 3,1, of how many tokens of each are read. Without, each is read equally
    often."""
    mix_after: str = ""
    """Other weights after a step, as in 900=1,3: those of an annealing phase."""
    probe: bool = True
    """Whether to time a few steps; without, only what can be counted is reported."""
    ranks: Annotated[int, Range(1, 100_000)] = 1
    """Processes that train together; reports what each of them holds and sends."""
    ranks_per_machine: Annotated[int, Range(1, 64)] = 8
    """Of these, with --sharding hybrid."""
    sharding: ShardingName = "none"
    """What a rank holds; none: all weights, full: a part of them, hybrid: the ranks of each machine hold all of them
    together."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of matrix products."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print the plan as JSON."""
    tokens: Annotated[float | None, Range(over=0, most=1e18)] = None
    """Of a published model: tokens of training to count FLOPs for; 20 a parameter that a token passes if not given."""
    model: DecoderConfig = OF_THE_RECIPE
    """Shape to plan for; a published model has its own. One that is given replaces the recipe's."""
    training: TrainingConfig = OF_THE_RECIPE
    """Training to plan for. One that is given replaces the recipe's."""

    @classmethod
    def base_for(cls, given: Mapping[str, Any]) -> PlanConfig:
        """Return the config whose values hold where nothing is given: those of a recipe at a depth."""
        named = _of_recipe(given)
        return cls(named["recipe"]) if is_published(named["recipe"]) else cls(**named)

    @property
    def published(self) -> bool:
        """Whether a published model is counted, which has neither `model` nor `training`."""
        return is_published(self.recipe)

    def idle(self, given: Collection[str] = ()) -> list[str]:
        """Return a line for each setting that was given and has no effect on this plan."""
        if not self.published:
            idle = self.tokens is not None or "tokens" in given
            return ["--tokens: has no part in the plan of a recipe; leave it out"] * idle
        usual = vars(PlanConfig(self.recipe))
        parts = {name.partition(".")[0] for name in given if "." in name}
        names = [name for name, value in vars(self).items() if value != usual[name] or name in given]
        names = [name for name in names if name not in parts] + [name for name in given if "." in name]
        others = [name.replace("_", "-") for name in names if name not in ("recipe", "tokens", "json")]
        return [f"--{name}: has no part in the plan of a published model; leave it out" for name in others]

    def __post_init__(self) -> None:
        """Take what is open from the recipe and check ranges; every problem is reported at once.

        Raises `UserError` for a recipe that is unknown too.
        """
        if not self.published and (self.model is None or self.training is None):
            recipe = load_recipe(self.recipe, self.depth, tuple(published_shapes()))
            _set(self, model=self.model or recipe.model, training=self.training or recipe.training)
        raise_all(out_of_range(self) + ([] if self.published else self._excluded()))

    def _excluded(self) -> list[str]:
        """Return a line for each setting of a recipe's plan that does not go with another."""
        problems = []
        if self.ranks == 1 and self.sharding != "none":
            problems.append(f"--sharding {self.sharding}: has no part with one rank; give --ranks too, or leave it out")
        if self.sharding == "hybrid" and self.ranks % self.ranks_per_machine:
            problem = f"{self.ranks} ranks are not divisible by the {self.ranks_per_machine} of --ranks-per-machine"
            problems.append(f"--sharding hybrid: {problem}; change one of them")
        if self.mix_after and self.minutes is not None:
            problems.append(
                "--mix-after: names a step, and --minutes decides how many there are; give --training.steps instead"
            )
        if self.data and not self.probe:
            problems.append("--data: learning rates are tried by training; leave out --no-probe")
        if self.minutes is not None and not self.probe:
            problems.append(f"--minutes {self.minutes:g}: steps are counted by a probe; leave out --no-probe")
        return problems
