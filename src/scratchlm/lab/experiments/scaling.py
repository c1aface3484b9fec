"""`experiment scaling`: loss against parameters, tokens and compute; laws fitted to small runs predict a larger one.

Each model size is trained on each number of tokens in its own run, with a full learning rate schedule. Two laws are
fitted: one in which parameters and tokens interact (`JointLaw`), and one with separate terms, which
`scratchlm plan` uses (Hoffmann et al. 2022, arXiv 2203.15556). The larger run is trained after both fits and has no
part in them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import standard_error
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.config import ScalingConfig
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Curves, Outcome, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.model.decoder import build_decoder
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.runs.scaling_law import LossLaw, Measured, fit_law
from scratchlm.training.optimizer import matrix_weights

BYTES_A_TOKEN = 5
"""Bytes of books prepared for each token of the longest run, so that no run repeats its text."""
WITHIN = 0.02
"""Relative error up to which a law counts as predicting the larger run."""
SEPARATE = ("floor", "a", "alpha", "b", "beta")
"""Coefficients of the law with separate terms."""
Found = Mapping[tuple[int, int], dict[str, Any]]
ALPHAS = np.arange(0.01, 0.6, 0.005)
BETAS = np.arange(0.02, 0.4, 0.0025)
"""Exponents of the grid search."""


@dataclass(frozen=True)
class JointLaw:
    """A scaling law in which parameters and tokens interact: the gain from more of one depends on the other.

        bits per byte = ((n / N)^(alpha / beta) + d / D) ^ beta

    with N matrix weights and D tokens (Kaplan et al. 2020, arXiv 2001.08361, equation 1.5). It has four coefficients
    and no irreducible loss. The law of `scratchlm plan`, floor + a / N^alpha + b / D^beta (Hoffmann et al. 2022), has
    five; in it the gain from more parameters does not depend on the tokens.
    """

    n: float
    """Weights that reach a loss of one bit per byte with unlimited text."""
    alpha: float
    d: float
    """Tokens that reach it with unlimited weights."""
    beta: float

    def bits(self, weights: float, tokens: float) -> float:
        """Return the predicted held-out bits per byte of a run with `weights` matrix weights on `tokens` tokens."""
        by_size = self.alpha / self.beta * math.log(self.n / weights)
        return math.exp(self.beta * float(np.logaddexp(by_size, math.log(self.d / tokens))))


def fit_joint(runs: Sequence[Measured]) -> JointLaw:
    """Fit the law to runs of one recipe by least squares of relative errors.

    For each pair of exponents, bits^(1 / beta) = n^(alpha / beta) N^(-alpha / beta) + d / D is linear in the other two
    coefficients. Raises `ValueError` for fewer than four runs, and if no exponents give positive coefficients.
    """
    if len(runs) < 4:
        raise ValueError(f"{len(runs)} runs are too few for a law of four coefficients")
    bits = np.array([run.bits_per_byte for run in runs])
    weights, tokens = (np.array([run[at] for run in runs], np.float64) for at in (0, 1))
    best: tuple[float, JointLaw] | None = None
    for beta in BETAS:
        for alpha in ALPHAS:
            power = alpha / beta
            columns = np.stack([(weights / weights.max()) ** -power, tokens.max() / tokens], 1)  # near one: no overflow
            of_size, of_text = np.linalg.lstsq(columns / bits[:, None] ** (1 / beta), np.ones(len(bits)), rcond=None)[0]
            if min(of_size, of_text) <= 0:
                continue
            missed = float(np.square(beta * np.log(columns @ (of_size, of_text)) - np.log(bits)).sum())
            if best is None or missed < best[0]:
                n, d = float(weights.max() * of_size ** (1 / power)), float(tokens.max() * of_text)
                best = missed, JointLaw(n, round(float(alpha), 4), d, round(float(beta), 4))
    if best is None:
        raise ValueError("no exponents fit with positive coefficients")
    return best[1]


def run(config: ScalingConfig, steps: Steps, outcome: Outcome) -> None:
    """Train each size on each number of tokens, fit both laws, and only then train the larger run."""
    longest = max(config.larger_tokens, *config.tokens)
    text = book_text(config.books, BYTES_A_TOKEN * longest, config.vocabulary_size, steps)
    if len(text.train) < longest:
        short = f"the books have {len(text.train)} tokens, and no run may repeat its text"
        raise UserError(f"--tokens, --larger-tokens {longest}: {short}; give fewer")
    cells = itertools.product(config.depths, config.tokens)
    found = {(d, n): steps.once(f"depth-{d}-tokens-{n}", _train, d, n, text, config) for d, n in cells}
    scale = 1 / math.log(2) / text.held_out_bytes
    runs = [_measured(each, scale) for each in found.values()]
    joint = steps.once("joint law", lambda: vars(fitted(fit_joint, runs)))
    separate = steps.once("separate law", lambda: vars(fitted(fit_law, runs)))
    larger = steps.once("larger", _train, config.larger_depth, config.larger_tokens, text, config)
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
    step = config.batch_size * training.sequence_length
    training = replace(training, batch_size=config.batch_size, steps=max(1, round(tokens / step)))
    fit_windows(decoder, ArrayTokens(text.train), training, config.seed)
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
    for title, x, place in (("Loss by training tokens", "tokens", "tokens"), ("Loss by compute", "FLOPs", "flops")):
        lines = {}
        for depth in config.depths:
            places = [found[depth, tokens][place] for tokens in config.tokens]
            heights = [outcome.values[f"bits.{depth}.{tokens}"].value for tokens in config.tokens]
            lines[f"{depth} layers"] = (places, heights)
        outcome.curves.append(Curves(title, x, "bits per byte", lines, logarithmic=True))
    few, many = config.tokens[0], config.tokens[-1]
    small, large = config.depths[0], config.depths[-1]
    nats = {cell: np.array(each["block_nats"]) for cell, each in found.items()}

    def grows(key: str, gaps: np.ndarray) -> bool:
        """Add a gain in bits per byte from the losses of blocks; return whether it is above zero."""
        return outcome.gain(key, paired(scale * len(gaps) * gaps, found[small, few]["block_book"]))

    with_little, with_much = (nats[small, tokens] - nats[large, tokens] for tokens in (few, many))
    more = grows("parameters-help.gain", with_much)
    outcome.claim("parameters-help", "More parameters lower the loss on the same text", more)
    more = grows("tokens-help.gain", nats[large, few] - nats[large, many])
    outcome.claim("tokens-help", "More text lowers the loss of the same model", more)
    grows("parameters-on-little.gain", with_little)
    more = grows("gain_of_size_with_text", with_much - with_little)
    outcome.claim("size-pays-with-text", "The gain of a larger model grows with the training text", more)


def report_laws(
    outcome: Outcome, joint: JointLaw, separate: LossLaw, runs: Sequence[Measured], larger: Mapping[str, Any],
    scale: float,
) -> None:  # fmt: skip
    """Compare the predictions of both laws with the larger run, and with the best fitted run as a baseline."""
    laws: dict[str, Callable[[float, float], float]] = {
        "joint": joint.bits,
        "separate": lambda weights, tokens: separate.bits("default", int(weights), tokens),
    }
    seen, last = _measured(larger, scale), min(run.bits_per_byte for run in runs)
    bits = seen.bits_per_byte
    nats = np.array(larger["block_nats"])
    half = 1.96 * standard_error(scale * len(nats) * nats, larger["block_book"])
    outcome.values |= {
        "larger.measured": Value(bits, bits - half, bits + half) if math.isfinite(half) else Value(bits),
        "larger.best_before": Value(last),
        "larger.compute_ratio": Value(larger["compute_ratio"]),
    }
    figures = {"joint": vars(joint), "separate": {key: getattr(separate, key) for key in SEPARATE}}
    rows = []
    for name, law in laws.items():
        predicted, worst = law(seen.weights, seen.tokens), max(abs(law(n, d) / b - 1) for n, d, b in runs)
        error = predicted / bits - 1
        outcome.values |= {f"{name}.{key}": Value(figure) for key, figure in figures[name].items()}
        measured = {f"{name}.foretold": predicted, f"{name}.error": error, f"{name}.worst": worst}
        outcome.values |= {key: Value(value) for key, value in measured.items()}
        rows.append([f"{name} law", f"{predicted:.3f}", f"{error:+.1%}", f"{worst:.1%}"])
    rows.append(["best fitted run (baseline)", f"{last:.3f}", f"{last / bits - 1:+.1%}", ""])
    rows.append(["measured", outcome.values["larger.measured"].shown(), "", ""])
    title = f"The larger run: {seen.weights:,} weights, {seen.tokens:,} tokens"
    header = ["", "bits per byte", "error", "largest error on the fitted runs"]
    outcome.tables.append(Table(title, header, rows))
    forms = {"joint": "((n / N)^(alpha / beta) + d / D)^beta", "separate": "floor + a / N^alpha + b / D^beta"}
    rows = []
    for name, form in forms.items():
        rows.append([name, form, ", ".join(f"{key} {figure:.4g}" for key, figure in figures[name].items())])
    title = "The laws: bits per byte from N matrix weights and D tokens"
    outcome.tables.append(Table(title, ["law", "form", "coefficients"], rows))
    joint_off, separate_off = (abs(outcome.values[f"{name}.error"].value) for name in laws)
    says = f"The joint law predicts the larger run within {WITHIN:.0%}"
    outcome.claim("law-foretells", says, joint_off <= WITHIN)
    outcome.claim("separate-law-foretells", "so does the law with separate terms", separate_off <= WITHIN)
    says = "The joint law has a smaller error than the separate one"
    outcome.claim("joint-is-nearer", says, joint_off < separate_off)
    outcome.claim("law-beats-no-law", "and a smaller one than the best fitted run", joint_off < abs(last / bits - 1))
