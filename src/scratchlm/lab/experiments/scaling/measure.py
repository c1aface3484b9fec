"""`experiment scaling`: loss against parameters, tokens and compute; laws fitted to small runs predict a larger one.

Each model size is trained on each number of tokens in its own run, with a full learning rate schedule. Two laws are
fitted: one in which parameters and tokens interact (`shared/joint_law.py`), and one with separate terms, which
`scratchlm plan` uses (Hoffmann et al. 2022, arXiv 2203.15556). The larger run is trained after both fits and has no
part in them.
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
"""Bytes of books prepared for each token of the longest run, so that no run repeats its text."""
WITHIN = 0.02
"""Relative error up to which a law counts as predicting the larger run."""
SEPARATE = ("floor", "a", "alpha", "b", "beta")
"""Coefficients of the law with separate terms."""
Found = Mapping[tuple[int, int], dict[str, Any]]


def files(config: ScalingConfig) -> dict[str, Path]:
    """Return the input files."""
    return {"books": config.data_file(BOOKS)}


def run(config: ScalingConfig, steps: Steps, outcome: Outcome) -> None:
    """Train each size on each number of tokens, fit both laws, and only then train the larger run."""
    size = BYTES_A_TOKEN * max(config.larger_tokens, *config.tokens)
    text = book_text(config.data_file(BOOKS), size, config.vocabulary_size, steps)
    longest = max(config.larger_tokens, *config.tokens)
    if len(text.train) < longest:
        raise UserError(
            f"--tokens, --larger-tokens {longest}: the books have {len(text.train)} tokens, and no run may "
            "repeat its text; give fewer"
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
    report_runs(outcome, config, found, scale)
    report_laws(outcome, JointLaw(**joint), LossLaw(**separate), runs, larger, scale)
    outcome.values["held_out_bytes"] = Value(text.held_out_bytes)
    outcome.notes += [
        f"one seed a run; {len(set(larger['block_book']))} books are held out, and errors are clustered by book",
        "N counts the matrix weights inside blocks, without the embedding; the law is in bits per byte",
        "the best learning rate may differ between sizes: all take that of the depth scaling rule",
    ]


def _train(depth: int, tokens: int, text: BookText, config: ScalingConfig) -> dict[str, Any]:
    """Train one size on one number of tokens; return its held-out loss, size and compute."""
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
    """Fit a law. Raises `UserError` if the runs are too few or too similar."""
    try:
        return fit(runs)
    except ValueError as error:
        raise UserError(f"--depths, --tokens: {error}; give more of them, further apart") from None


def report_runs(outcome: Outcome, config: ScalingConfig, found: Found, scale: float) -> None:
    """Report the runs that the laws are fitted to, and add the claims about them."""
    rows = []
    for (depth, tokens), each in found.items():
        bits = _measured(each, scale).bits_per_byte
        outcome.values[f"bits.{depth}.{tokens}"] = Value(bits)
        rows.append([str(depth), f"{each['weights']:,}", f"{each['tokens']:,}", f"{each['flops']:.2g}", f"{bits:.3f}"])
    header = ["layers", "matrix weights", "tokens", "FLOPs", "bits per byte"]
    outcome.tables.append(Table("Runs that the laws are fitted to", header, rows))
    for title, x, place in (
        ("Loss by training tokens", "tokens", "tokens"),
        ("Loss by compute", "FLOPs", "flops"),
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
        ("parameters-help", "More parameters lower the loss on the same text", (small, many), (large, many)),
        ("tokens-help", "More text lowers the loss of the same model", (large, few), (large, many)),
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
    says = "The gain of a larger model grows with the training text"
    outcome.claims["size-pays-with-text"] = Claim(says, grown.interval.low > 0)


def report_laws(
    outcome: Outcome,
    joint: JointLaw,
    separate: LossLaw,
    runs: Sequence[Measured],
    larger: Mapping[str, Any],
    scale: float,
) -> None:
    """Compare the predictions of both laws with the larger run, and with the best fitted run as a baseline."""
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
        predicted, worst = bits(seen.weights, seen.tokens), max(abs(bits(n, d) / b - 1) for n, d, b in runs)
        error = predicted / seen.bits_per_byte - 1
        outcome.values |= {f"{name}.{key}": Value(figure) for key, figure in figures[name].items()}
        outcome.values |= {
            f"{name}.foretold": Value(predicted),
            f"{name}.error": Value(error),
            f"{name}.worst": Value(worst),
        }
        rows.append([f"{name} law", f"{predicted:.3f}", f"{error:+.1%}", f"{worst:.1%}"])
    rows += [
        ["best fitted run (baseline)", f"{last:.3f}", f"{last / seen.bits_per_byte - 1:+.1%}", ""],
        ["measured", outcome.values["larger.measured"].shown(), "", ""],
    ]
    title = f"The larger run: {seen.weights:,} weights, {seen.tokens:,} tokens"
    header = ["", "bits per byte", "error", "largest error on the fitted runs"]
    outcome.tables.append(Table(title, header, rows))
    forms = [
        [name, form, ", ".join(f"{key} {figure:.4g}" for key, figure in figures[name].items())]
        for name, form in (
            ("joint", "((n / N)^(alpha / beta) + d / D)^beta"),
            ("separate", "floor + a / N^alpha + b / D^beta"),
        )
    ]
    title = "The laws: bits per byte from N matrix weights and D tokens"
    outcome.tables.append(Table(title, ["law", "form", "coefficients"], forms))
    _claim_laws(outcome, laws)


def _claim_laws(outcome: Outcome, laws: Iterable[str]) -> None:
    last, seen = (outcome.values[f"larger.{key}"].value for key in ("best_before", "measured"))
    misses = {name: abs(outcome.values[f"{name}.error"].value) for name in laws}
    outcome.claims |= {
        "law-foretells": Claim(f"The joint law predicts the larger run within {WITHIN:.0%}", misses["joint"] <= WITHIN),
        "separate-law-foretells": Claim("so does the law with separate terms", misses["separate"] <= WITHIN),
        "joint-is-nearer": Claim(
            "The joint law has a smaller error than the separate one", misses["joint"] < misses["separate"]
        ),
        "law-beats-no-law": Claim("and a smaller one than the best fitted run", misses["joint"] < abs(last / seen - 1)),
    }
