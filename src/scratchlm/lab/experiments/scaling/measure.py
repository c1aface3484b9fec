"""`experiment scaling`: loss against parameters, tokens and compute; a law fitted to small runs foretells a larger one.

Each size reads each amount of text in a run of its own, with its rate brought down to zero at its end. Two laws are
fitted: one in which size and text limit each other (`jointlaw`), and one in which each has a share of its own, which
`scratchlm plan` states (Hoffmann et al. 2022, arXiv 2203.15556). The larger run is trained after both were fitted and
takes no part in them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.scaling.config import ScalingConfig
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.joint_law import JointLaw, fit_joint
from scratchlm.lab.shared.small_model import BOOKS
from scratchlm.model.decoder import build_decoder
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.runs.scaling_law import LossLaw, Measured, fit_law
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.optimizer import matrix_weights

BYTES_A_TOKEN = 5
"""Bytes of books that are prepared for each token of the longest run, so that none reads its text twice."""
WITHIN = 0.02
"""How near a law must come to the larger run."""
SEPARATE = ("floor", "a", "alpha", "b", "beta")
"""Figures of the law of separate shares."""
Found = Mapping[tuple[int, int], dict[str, Any]]


def files(config: ScalingConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    return {"books": config.data_file(BOOKS)}


def run(config: ScalingConfig, steps: Steps, outcome: Outcome) -> None:
    """Train each size on each amount, fit, foretell, and only then train the larger run."""
    size = BYTES_A_TOKEN * max(config.larger_tokens, *config.tokens)
    text = book_text(config.data_file(BOOKS), size, config.vocabulary_size, steps)
    longest = max(config.larger_tokens, *config.tokens)
    if len(text.train) < longest:
        raise UserError(
            f"--tokens, --larger-tokens {longest}: the books have {len(text.train)} tokens, and none is to be read "
            "twice; give fewer"
        )
    found = {
        (depth, tokens): steps.once(f"depth-{depth}-tokens-{tokens}", partial(_train, depth, tokens, text, config))
        for depth in config.depths
        for tokens in config.tokens
    }
    scale = 1 / math.log(2) / text.held_out_bytes
    runs = [_measured(each, scale) for each in found.values()]
    joint = steps.once("joint law", lambda: vars(fitted(fit_joint, runs)))
    separate = steps.once("separate law", lambda: vars(fitted(fit_law, runs)))
    larger = steps.once("larger", partial(_train, config.larger_depth, config.larger_tokens, text, config))
    larger["compute_ratio"] = larger["flops"] / max(each["flops"] for each in found.values())
    tell_runs(outcome, config, found, scale)
    tell_laws(outcome, JointLaw(**joint), LossLaw(**separate), runs, larger, scale)
    outcome.values["held_out_bytes"] = Value(text.held_out_bytes)
    outcome.notes += [
        f"one seed a run; {len(set(larger['block_book']))} books are held out, and errors are those of books",
        "N counts the weights of the matrices inside blocks, not the table of token vectors; the law is in bits a byte",
        "a rate that is best for one size need not be for another: all take what the dial gives them",
    ]


def _train(depth: int, tokens: int, text: BookText, config: ScalingConfig) -> dict[str, Any]:
    """Train one size on one amount of text; return what held-out text costs it."""
    shape, training = at_depth(depth)
    decoder = build_decoder(replace(shape, vocabulary_size=text.tokenizer.vocabulary_size), config.seed)
    training = replace(training, batch_size=config.batch_size)
    step = training.batch_size * training.sequence_length
    training = replace(training, steps=max(1, round(tokens / step)))
    batches = WindowBatches(ArrayTokens(text.train), training.batch_size, training.sequence_length, config.seed)
    fit(Loop(decoder, batches, training, runtime=RuntimeConfig(seed=config.seed)))
    return {
        **text.blocks(token_nats(decoder, text.tokenizer, ArrayTokens(text.held_out))),
        "weights": matrix_weights(decoder),
        "parameters": decoder.parameter_count(),
        "tokens": training.steps * step,
        "flops": training.steps * step * decoder.flops_per_token(training.sequence_length),
    }


def _measured(found: Mapping[str, Any], scale: float) -> Measured:
    return Measured(found["weights"], found["tokens"], scale * float(np.sum(found["block_nats"])))


L = TypeVar("L")


def fitted(fit: Callable[[Sequence[Measured]], L], runs: Sequence[Measured]) -> L:
    """Fit a law. Raises `UserError` where the runs are too few or too alike for it."""
    try:
        return fit(runs)
    except ValueError as error:
        raise UserError(f"--depths, --tokens: {error}; give more of them, further apart") from None


def tell_runs(outcome: Outcome, config: ScalingConfig, found: Found, scale: float) -> None:
    """Tell the runs that the law is fitted to."""
    rows = []
    for (depth, tokens), each in found.items():
        bits = _measured(each, scale).bits_per_byte
        outcome.values[f"bits.{depth}.{tokens}"] = Value(bits)
        rows.append([str(depth), f"{each['weights']:,}", f"{each['tokens']:,}", f"{each['flops']:.2g}", f"{bits:.3f}"])
    header = ["layers", "weights of matrices", "tokens", "operations", "bits per byte"]
    outcome.tables.append(Table("The runs that the law is fitted to", header, rows))
    for title, x, place in (
        ("Loss by tokens read", "tokens", "tokens"),
        ("Loss by compute", "operations", "flops"),
    ):
        lines = {
            f"{depth} layers": (
                [found[depth, tokens][place] for tokens in config.tokens],
                [outcome.values[f"bits.{depth}.{tokens}"].value for tokens in config.tokens],
            )
            for depth in config.depths
        }
        outcome.curves.append(Curves(title, x, "bits per byte", lines, logarithmic=True))
    few, many = config.tokens[0], config.tokens[-1]
    small, large = config.depths[0], config.depths[-1]
    for key, says, one, other in (
        ("parameters-help", "More parameters do better on the same text", (small, many), (large, many)),
        ("tokens-help", "More text does better in the same model", (large, few), (large, many)),
        ("parameters-on-little", "", (small, few), (large, few)),
    ):
        gap, books = np.subtract(found[one]["block_nats"], found[other]["block_nats"]), found[one]["block_book"]
        by_block = scale * len(gap) * gap
        compared = comparison_of(float(by_block.mean()), standard_error(by_block, books))
        outcome.values[f"{key}.gain"] = Value(compared.difference, *compared.interval)
        if says:
            outcome.claims[key] = Claim(says, compared.interval.low > 0)
    nats = {cell: np.array(found[cell]["block_nats"]) for cell in itertools.product((small, large), (few, many))}
    more = (nats[small, many] - nats[large, many]) - (nats[small, few] - nats[large, few])
    by_block = scale * len(more) * more
    grown = comparison_of(float(by_block.mean()), standard_error(by_block, found[small, few]["block_book"]))
    outcome.values["gain_of_size_with_text"] = Value(grown.difference, *grown.interval)
    says = "What a larger model gains grows with the text it reads"
    outcome.claims["size-pays-with-text"] = Claim(says, grown.interval.low > 0)


def tell_laws(
    outcome: Outcome,
    joint: JointLaw,
    separate: LossLaw,
    runs: Sequence[Measured],
    larger: Mapping[str, Any],
    scale: float,
) -> None:
    """Compare what the laws say with the run that they never saw, and with what one would say without a law."""
    laws: dict[str, Callable[[float, float], float]] = {
        "joint": joint.bits,
        "separate": lambda weights, tokens: separate.bits("default", int(weights), tokens),
    }
    seen = _measured(larger, scale)
    last = min(run.bits_per_byte for run in runs)
    blocks = scale * len(larger["block_nats"]) * np.array(larger["block_nats"])
    half = 1.96 * standard_error(blocks, larger["block_book"])
    measured = Value(seen.bits_per_byte, seen.bits_per_byte - half, seen.bits_per_byte + half)
    outcome.values |= {
        "larger.measured": measured if math.isfinite(half) else Value(seen.bits_per_byte),
        "larger.best_before": Value(last),
        "larger.compute_ratio": Value(larger["compute_ratio"]),
    }
    figures = {"joint": vars(joint), "separate": {key: getattr(separate, key) for key in SEPARATE}}
    rows = []
    for name, bits in laws.items():
        told, worst = bits(seen.weights, seen.tokens), max(abs(bits(n, d) / b - 1) for n, d, b in runs)
        error = told / seen.bits_per_byte - 1
        outcome.values |= {f"{name}.{key}": Value(figure) for key, figure in figures[name].items()}
        outcome.values |= {
            f"{name}.foretold": Value(told),
            f"{name}.error": Value(error),
            f"{name}.worst": Value(worst),
        }
        rows.append([f"the {name} law", f"{told:.3f}", f"{error:+.1%}", f"{worst:.1%}"])
    rows += [
        ["the best of the runs before", f"{last:.3f}", f"{last / seen.bits_per_byte - 1:+.1%}", ""],
        ["measured", outcome.values["larger.measured"].shown(), "", ""],
    ]
    title = f"The larger run: {seen.weights:,} weights, {seen.tokens:,} tokens"
    header = ["", "bits per byte", "off by", "worst miss of its own runs"]
    outcome.tables.append(Table(title, header, rows))
    forms = [
        [name, form, ", ".join(f"{key} {figure:.4g}" for key, figure in figures[name].items())]
        for name, form in (
            ("joint", "((n / N)^(alpha / beta) + d / D)^beta"),
            ("separate", "floor + a / N^alpha + b / D^beta"),
        )
    ]
    title = "The laws: bits per byte by N weights of matrices and D tokens"
    outcome.tables.append(Table(title, ["law", "form", "figures"], forms))
    _claim_laws(outcome, laws)


def _claim_laws(outcome: Outcome, laws: Iterable[str]) -> None:
    last, seen = (outcome.values[f"larger.{key}"].value for key in ("best_before", "measured"))
    misses = {name: abs(outcome.values[f"{name}.error"].value) for name in laws}
    outcome.claims |= {
        "law-foretells": Claim(
            f"The joint law foretells the larger run within {WITHIN:.0%}", misses["joint"] <= WITHIN
        ),
        "separate-law-foretells": Claim(
            "so does the law in which size and text have shares of their own", misses["separate"] <= WITHIN
        ),
        "joint-is-nearer": Claim("The joint law comes nearer than it", misses["joint"] < misses["separate"]),
        "law-beats-no-law": Claim(
            "and nearer than the best of the runs before", misses["joint"] < abs(last / seen - 1)
        ),
    }
