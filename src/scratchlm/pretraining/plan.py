"""`scratchlm plan`: parameters, memory and time of a run before it begins, or the size of a published model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.table import Table

from scratchlm.base.device import DTYPES, choose_device, chosen_dtype, set_threads
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.result import Result
from scratchlm.data.batches import Tokens
from scratchlm.data.mixture import open_corpora
from scratchlm.model.config import DecoderConfig
from scratchlm.model.counting import TRAINING_BYTES
from scratchlm.model.decoder import Decoder, build_decoder, outline
from scratchlm.pretraining.compute_optimal import Size, best_of, random_tokens, sizes_within
from scratchlm.pretraining.config import PlanConfig
from scratchlm.pretraining.forecast import forecast
from scratchlm.pretraining.published_training import beside_reference
from scratchlm.pretraining.rank_plan import RankPlan, plan_of_rank
from scratchlm.pretraining.scaling_law import ExpectedLoss, fitted, loss_law
from scratchlm.training.config import SizeWarmupConfig, TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.probing import COMPILING, probe_seconds
from scratchlm.training.profiling import (
    Memory,
    estimate_memory,
    fitted_to_minutes,
    product_peak,
    require_training_memory,
)
from scratchlm.training.rates import STEPS, RateTest, rate_test
from scratchlm.training.stages import CorpusRead, corpora_read, measure_step, stages, training_batches
from scratchlm.weights.families.published import sizes_of_published

LONGEST_TEST, FEWEST_RATES = 60.0, 20
"""Seconds that a range test of the learning rate takes at most, where so few steps fit."""
PROBE = 10.0
"""Seconds in which steps are timed where the run has no budget of time."""
LARGEST_PROBE = 300_000_000
"""Parameters up to which a plan builds the model to time it."""
TOKENS_A_PARAMETER = 20
"""Tokens that train a parameter at the least cost for a loss (Hoffmann et al. 2022, arXiv 2203.15556)."""


@dataclass(frozen=True, repr=False)
class Plan(Result):
    """What a run would take."""

    recipe: str
    parameters: int
    embedding_parameters: int
    steps: int
    tokens: int
    """Tokens of the whole run, epochs counted each."""
    training_flops: float
    memory: Memory
    dtype: str
    dtype_reason: str
    """Why it was chosen."""
    step_seconds: float | None = None
    peak_flops: float | None = None
    uncompiled: bool = False
    """Whether the recipe compiles blocks, which a probe of seconds cannot: the run takes less time."""
    expected_loss: ExpectedLoss | None = None
    """Held-out loss on English prose; None for recipes that the law was not fitted to."""
    process_memory: int = 0
    """Most bytes that the run's process holds, Python and PyTorch among them."""
    sizes: list[Size] = field(default_factory=list)
    """The expected loss of each depth in the given minutes."""
    learning_rate: float | None = None
    """Of the recipe."""
    rates: RateTest | None = None
    """What a range test of the learning rate saw."""
    rank: RankPlan | None = None
    """What one of several ranks holds and sends."""
    corpora: list[CorpusRead] = field(default_factory=list)
    """How much of each corpus of a mixture is read."""

    @property
    def seconds(self) -> float | None:
        """Time of all steps, without evaluations."""
        return None if self.step_seconds is None else self.steps * self.step_seconds

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**dataclasses.asdict(self), "memory_total": self.memory.total, "seconds": self.seconds}

    def __rich__(self) -> RenderableType:
        table = Table(show_header=False, title=f"plan of {self.recipe}", title_justify="left")
        inside = self.parameters - self.embedding_parameters
        table.add_row("parameters", f"{self.parameters:,} ({inside:,} without embeddings)")
        table.add_row("tokens", f"{self.tokens:,} in {self.steps:,} steps of {self.tokens / self.steps:,.0f}")
        for corpus in self.corpora:
            table.add_row(f"corpus {corpus.name}", f"{corpus.tokens:,} tokens, read {corpus.epochs:.2f} times")
        table.add_row("training FLOPs", f"{self.training_flops:.3g}")
        table.add_row("scale", beside_reference(self.parameters, self.tokens, self.training_flops))
        memory = self.memory
        table.add_row(
            "memory",
            f"{memory.total / 1e6:,.0f} MB: weights {memory.weights / 1e6:,.0f}, gradients "
            f"{memory.gradients / 1e6:,.0f}, optimizer {memory.optimizer / 1e6:,.0f}, activations "
            f"{memory.activations / 1e6:,.0f} (estimated); {self.process_memory / 1e6:,.0f} with Python and PyTorch",
        )
        if self.rank is not None:
            held, sent = self.rank.total / 1e6, self.rank.sent / 1e6
            first = f", the first {(self.rank.total + self.rank.first) / 1e6:,.0f}" if self.rank.first else ""
            table.add_row(
                f"each of {self.rank.ranks} ranks", f"holds {held:,.0f} MB{first}; sends {sent:,.0f} MB a step"
            )
        table.add_row("dtype", f"{self.dtype} ({self.dtype_reason})")
        if self.step_seconds is None or self.seconds is None or self.peak_flops is None:
            table.add_row("time", "not probed")
        else:
            use = self.training_flops / self.seconds / self.peak_flops
            speed = self.tokens / self.seconds
            how = " without compiled blocks" if self.uncompiled else ""
            table.add_row("speed", f"{self.step_seconds * 1e3:,.0f} ms a step, {speed:,.0f} tokens/s{how}")
            table.add_row("use", f"{100 * use:.0f}% of the product peak of {self.peak_flops / 1e9:,.0f} GFLOP/s")
            table.add_row("time", _duration(self.seconds))
        if self.rates is not None:
            rates = f"the loss falls fastest at {self.rates.steepest:.2g} and is lowest at {self.rates.lowest:.2g}"
            table.add_row("learning rate", f"{self.learning_rate:g} in this recipe; rising over some steps, {rates}")
        table.add_row("expected loss", self.expected())
        return Group(table, _sizes_table(self.sizes)) if self.sizes else table

    def expected(self) -> str:
        """Say what loss is expected, and how sure that is."""
        if self.expected_loss is None:
            return "not known: measured for the recipes default and speedrun alone"
        return f"bits a byte on unseen English prose: {self.expected_loss}"


@dataclass(frozen=True, repr=False)
class Published(Result):
    """A published shape in figures."""

    model: str
    parameters: int
    active: int
    parts: dict[str, int]
    weight_bytes: dict[str, int]
    training_bytes: int
    cache_bytes_per_token: int
    context: int
    tokens: float
    training_flops: float

    def __rich__(self) -> Table:
        table = Table(show_header=False, title=f"plan of {self.model}", title_justify="left")
        passed = "" if self.active == self.parameters else f", of which a token passes {self.active:,}"
        table.add_row("parameters", f"{self.parameters:,}{passed}")
        table.add_row("by part", ", ".join(f"{name} {count:,}" for name, count in self.parts.items()))
        weights = ", ".join(f"{size / 1e9:,.2f} in {name}" for name, size in self.weight_bytes.items())
        table.add_row("weights, GB", weights)
        table.add_row("training, GB", f"{self.training_bytes / 1e9:,.1f} and activations (Adam, fp32)")
        gigabytes = self.cache_bytes_per_token * self.context / 1e9
        table.add_row(
            "cache",
            f"{self.cache_bytes_per_token:,} bytes a token in bf16; {gigabytes:,.2f} GB at {self.context:,} tokens",
        )
        table.add_row("training FLOPs", f"{self.training_flops:.3g} for {self.tokens:.3g} tokens")
        table.add_row("scale", beside_reference(self.parameters, self.tokens, self.training_flops))
        return table


def plan(config: PlanConfig) -> Plan | Published:
    """Count what a recipe needs; with `probe`, time a few steps on random ids on this machine.

    With `minutes`, plan as many steps as fit, and compare depths where the scaling law knows the recipe. Where the
    recipe is a published model, count that. Raises `UserError` for a name that is neither.
    """
    raise_all(config.idle())
    return plan_published(config) if config.published else plan_recipe(config)


@dataclass(frozen=True)
class _Probed:
    """What some steps on this machine showed."""

    step: float | None = None
    peak: float | None = None
    rates: RateTest | None = None


def plan_recipe(config: PlanConfig) -> Plan:
    """Count, and time, what a recipe's values need."""
    set_threads(config.threads)
    device = choose_device(config.device)
    choice = chosen_dtype(config.dtype, device)
    dtype = DTYPES[choice.dtype]
    runtime = RuntimeConfig(device, dtype)
    training, model = config.training, config.model
    ids: Tokens = random_tokens(model, training)
    if config.data or config.mix or config.mix_after:
        data = open_corpora(config.data, config.mix, config.mix_after, training.steps)
        ids, model = data.train, dataclasses.replace(model, vocabulary_size=data.tokenizer.vocabulary_size)
    decoder = outline(model)
    budget = _probe_budget(config)
    probed = _Probed()
    if config.probe and decoder.parameter_count() <= LARGEST_PROBE:
        probed = _probe(config, model, ids, runtime, budget)
    sizes: list[Size] = []
    if config.minutes is not None:
        if probed.step is None:
            raise UserError(
                f"--minutes {config.minutes:g}: {decoder.parameter_count():,} parameters are over the "
                f"{LARGEST_PROBE:,} that a plan probes; leave it out, or choose a smaller model"
            )
        training = fitted_to_minutes(training, config.minutes, probed.step, probe_seconds(config.minutes))
        if fitted(config.recipe):
            text = len(ids) if config.data else None
            sizes = sizes_within(
                config.recipe, config.minutes, vocabulary_size=model.vocabulary_size, runtime=runtime, budget=budget,
                text=text,
            )  # fmt: skip
    parts = stages(ids, training, 0)
    tokens = sum(part.tokens for part in parts)
    expected = forecast(config.recipe, decoder, training, dtype, tokens, probed.step)
    return Plan(
        config.recipe,
        decoder.parameter_count(),
        embedding_parameters=decoder.embedding.weight.numel() * (1 if config.model.tied else 2),
        steps=training.steps,
        tokens=tokens,
        training_flops=sum(decoder.flops_per_token(part.batches.length) * part.tokens for part in parts),
        memory=estimate_memory(decoder, training, dtype),
        dtype=choice.dtype,
        dtype_reason=choice.reason,
        step_seconds=probed.step,
        peak_flops=probed.peak,
        uncompiled=training.compile and budget < COMPILING,
        expected_loss=expected.loss,
        process_memory=expected.memory,
        sizes=sizes,
        learning_rate=training.optimizer.learning_rate,
        rates=probed.rates,
        rank=None if config.ranks == 1 else _of_rank(config, decoder, training, dtype),
        corpora=corpora_read(ids, training, 0),
    )


def _probe_budget(config: PlanConfig) -> float:
    """Return the seconds of a probe: half of a time's share, where the other half is for the sizes."""
    if config.minutes is not None:
        return probe_seconds(config.minutes) / 2
    if not config.training.compile:
        return PROBE
    stages_before = int(isinstance(config.training.size_warmup, SizeWarmupConfig))
    return COMPILING * (1 + stages_before / 2)  # as `measure_step` divides it


def _probe(config: PlanConfig, model: DecoderConfig, ids: Tokens, runtime: RuntimeConfig, budget: float) -> _Probed:
    """Time a step, and try learning rates where there is data to try them on."""
    training = config.training
    if runtime.device.type == "cpu":
        require_training_memory(outline(model), training, DTYPES["bf16"])
    decoder = build_decoder(model)
    step = measure_step(decoder, ids, training, runtime, budget)
    peak = product_peak(runtime.device, runtime.dtype)
    if not config.data:
        return _Probed(step, peak)
    steps = max(FEWEST_RATES, min(STEPS, int(LONGEST_TEST / step)))
    return _Probed(step, peak, rate_test(decoder, training_batches(ids, training, 0), training, runtime, steps))


def _of_rank(config: PlanConfig, decoder: Decoder, training: TrainingConfig, dtype: torch.dtype) -> RankPlan:
    return plan_of_rank(decoder, training, dtype, config.ranks, config.sharding, config.ranks_per_machine)


def _sizes_table(sizes: list[Size]) -> Table:
    error = loss_law().error
    title = f"depths in this time, their expected losses off by up to {error:.2f}: near ones may trade places"
    table = Table(title=title, title_justify="left")
    for column in ("--depth", "parameters", "tokens/s", "tokens", "expected loss"):
        table.add_column(column, justify="right")
    best = best_of(sizes)
    for size in sizes:
        remarks = " (lowest)" * (size is best) + " (beyond the runs measured)" * (not size.measured)
        speed = f"{size.tokens_per_second:,.0f}" + " (not timed)" * (not size.probed)
        cells = (f"{size.depth}", f"{size.parameters:,}", speed, f"{size.tokens:,}")
        expected = f"{size.expected_bits_per_byte:.3f}{remarks}"
        table.add_row(*cells, expected, style="bold" if size is best else None)
    return table


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def plan_published(config: PlanConfig) -> Published:
    """Count a shape by name or a config.json."""
    sizes = sizes_of_published(config.recipe)
    tokens = config.tokens or TOKENS_A_PARAMETER * sizes.active
    return Published(
        model=config.recipe,
        parameters=sizes.parameters,
        active=sizes.active,
        parts=sizes.parts,
        weight_bytes=sizes.weight_bytes(),
        training_bytes=TRAINING_BYTES * sizes.parameters,
        cache_bytes_per_token=2 * sizes.cache_numbers,
        context=sizes.context,
        tokens=tokens,
        training_flops=tokens * sizes.flops_per_token,
    )
