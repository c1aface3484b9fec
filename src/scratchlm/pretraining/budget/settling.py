"""What a pretraining leaves to the machine and to its minutes, settled before the first step and recorded.

The number format follows from the processor's features, so the same command computes the same numbers on it. Depth and
steps follow from a clock only where `minutes` ask for a time instead of an amount of work.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.device import DTYPES, DtypeChoice, choose_device, chosen_dtype
from scratchlm.base.terminal import say
from scratchlm.data.batches import Tokens
from scratchlm.model.decoder import Decoder
from scratchlm.pretraining.compute_optimal import Size, best_of, sizes_within
from scratchlm.pretraining.config import PretrainConfig, changed
from scratchlm.pretraining.depth_scaling import guarded, load_recipe
from scratchlm.pretraining.scaling_law import MOST_PASSES, Fitted, fitted
from scratchlm.runs.run import device_name
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.probing import COMPILING, probe_seconds
from scratchlm.training.profiling import fitted_to_minutes
from scratchlm.training.ranks import Ranks
from scratchlm.training.stages import measure_step


@dataclass(frozen=True)
class Settled:
    """The settings that a new run computes with, and what is recorded of how they came about."""

    config: PretrainConfig
    stored: PretrainConfig
    """What recipe.toml holds: `auto` where the number format was left open."""
    dtype: DtypeChoice
    marks: dict[str, str]
    """Where each value of `stored` came from."""
    step: float | None = None
    """Seconds of a step, where steps were timed."""
    spent: float = 0.0
    """Seconds of the budget that probes took."""


def settle(
    asked_for: PretrainConfig, shaped: PretrainConfig, decoder: Decoder, tokens: Tokens, ranks: Ranks
) -> Settled:
    """Turn what is left open into plain values.

    `given` is what the user gave, `shaped` the same with its depth, threads and device. All ranks time a step of their
    rows at once, as they will compute it, and then the sum of their gradients.
    """
    device = choose_device(shaped.device)
    choice = ranks.from_first(lambda: chosen_dtype(shaped.dtype, device))
    config = dataclasses.replace(shaped, dtype=choice.dtype, model=decoder.config)
    if asked_for.dtype == "auto":
        tell(ranks, f"number format: {choice}")
    seconds, spent = None, 0.0
    if config.sharding == "none" and (
        asked_for.dtype == "auto" or config.minutes is not None
    ):  # else no rank has it whole
        config, seconds, spent = _timed(config, decoder, tokens, ranks)
    stored = dataclasses.replace(config, dtype=asked_for.dtype)
    return Settled(config, stored, choice, marks_of(asked_for, stored), seconds, spent)


def _timed(
    config: PretrainConfig, decoder: Decoder, tokens: Tokens, ranks: Ranks
) -> tuple[PretrainConfig, float, float]:
    """Time a step, for the steps of the run where it has a budget, and for its forecast."""
    training, started = config.training, time.perf_counter()
    runtime = RuntimeConfig(torch.device(config.device), DTYPES[config.dtype], config.seed)
    budget = probe_seconds(config.minutes, training.compile)
    if config.minutes is not None and training.compile and budget < COMPILING:
        tell(ranks, f"--minutes {config.minutes:g}: too short to compile blocks in, so they are not")
        training = dataclasses.replace(training, compile=False)
    own = dataclasses.replace(training, batch_size=-(-training.batch_size // ranks.size))
    measured = measure_step(decoder, tokens, own, runtime, budget)
    seconds = ranks.most(measured) + ranks.seconds_of_sum(decoder.parameter_count(), decoder.device)
    spent = ranks.most(time.perf_counter() - started)  # a compilation is in it, which the run then finds done
    if config.minutes is not None:
        training = fitted_to_minutes(training, config.minutes, seconds, spent)
        tell(
            ranks,
            f"{config.minutes:g} min: about {training.steps:,} steps of "
            f"{training.batch_size * training.sequence_length:,} tokens, {seconds:.2g} s each, a number that follows "
            f"the clock; held-out text is scored on up to {training.evaluation_tokens:,} tokens on the way and "
            f"up to {training.last_evaluation_tokens:,} at the end",
        )
    return dataclasses.replace(config, training=training), seconds, spent


def tell(ranks: Ranks, line: str) -> None:
    """Print a line on the first rank's stderr."""
    if ranks.is_first:
        say(line)


def marks_of(asked_for: PretrainConfig, stored: PretrainConfig) -> dict[str, str]:
    """Return where each stored value came from: default, recipe, flag, budget, data or machine.

    The values of the recipe are those at the depth that the run has.
    """
    recipe = load_recipe(stored.recipe, stored.depth)
    described = dict(flatten(to_dict(PretrainConfig(model=recipe.model, training=guarded(recipe)))))
    said = dict(flatten(to_dict(asked_for)))
    marks = {}
    for name, value in flatten(to_dict(stored)):
        settled = said.get(name) != value
        if not settled and name in asked_for.origins:
            marks[name] = asked_for.origins[name]
        elif described.get(name) == value:
            marks[name] = "recipe" if name in recipe.described else "default"
        elif settled and name == "model.vocabulary_size":
            marks[name] = "data"
        elif settled and name in ("device", "threads"):
            marks[name] = "machine"
        else:
            marks[name] = "budget" if settled and asked_for.minutes is not None else "flag"
    return marks


def at_best_depth(config: PretrainConfig, vocabulary_size: int, tokens: Tokens, ranks: Ranks) -> PretrainConfig:
    """Return a run with a budget of time, and no depth given, at the depth that is expected to learn most in it.

    That is the one that `plan` names, from a short probe of some depths. One line says why. Nothing changes where the
    shape was chosen in any other way: by a depth, by `init`, by settings of the model.
    """
    name, minutes = config.recipe, config.minutes
    if minutes is None or config.depth is not None or config.init is not None or not fitted(name):
        return config
    if config.model != PretrainConfig(name).model:
        return config
    recipe: Fitted = name
    device = choose_device(config.device)
    runtime = RuntimeConfig(device, DTYPES[chosen_dtype(config.dtype, device).dtype], config.seed)

    usual = config.model.layers

    def sizes() -> list[Size]:
        return sizes_within(
            recipe, minutes * ranks.size, vocabulary_size=vocabulary_size, runtime=runtime,
            budget=probe_seconds(minutes) / 2, text=len(tokens), deepest=usual,
        )  # fmt: skip

    candidates = ranks.from_first(sizes)
    best = best_of(candidates)
    tell(ranks, _choice(best, next(size for size in candidates if size.depth == usual), len(tokens), minutes))
    return dataclasses.replace(changed(config, {"depth": best.depth}), depth=best.depth)


def _choice(best: Size, usual: Size, text: int, minutes: float) -> str:
    """Say which depth a run takes, and why."""
    reached = f"expected to reach {best.expected_bits_per_byte:.2f} bits per byte of English prose in {minutes:g} min"
    beside = f"depth {usual.depth}, the recipe's, {usual.expected_bits_per_byte:.2f}"
    others = "the recipe's, the lowest of all" if best is usual else beside
    passes = best.tokens / max(text, 1)
    again = f"; it reads the text {passes:.0f} times, so both are guesses" if passes > MOST_PASSES else ""
    return f"depth {best.depth}: {reached}; {others}{again}; --depth sets another"


def machine_settings(config: PretrainConfig, threads: int) -> PretrainConfig:
    """Return a new run's settings with the threads and the device that it has here."""
    return dataclasses.replace(config, threads=threads, device=device_name(choose_device(config.device)))
