"""What loss a run on English prose is expected to reach, before it begins.

bits a byte = floor + a / N^alpha + b / (e r D)^beta, the form of Hoffmann et al. 2022 (arXiv 2203.15556): N weights of
the matrices inside blocks, D tokens read, e how much more a token teaches the recipe `speedrun` than `default`, and r
what a token is worth in a step of B tokens beside a step of the recipe's usual B0: (1 + B0/Bc) / (1 + B/Bc), the trade
of steps for tokens of McCandlish et al. 2018 (arXiv 1812.06162) with its critical batch Bc held fixed. The figures in
`loss_law.json` are fitted by `bench/learning` to short whole runs on nine million words of books, with a vocabulary of
4,096.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeGuard, get_args

import numpy as np

from scratchlm.base.config import from_dict
from scratchlm.base.files import read_json

LAW_FILE = "loss_law.json"
MOST_PASSES = 4
"""Times that a text may be read and still teach nearly what as much new text would."""
REPEATED = 15.4
"""Passes over a text after which another teaches 1/e of what new text would (both: Muennighoff et al. 2023, arXiv
2305.16264, for much larger models and texts)."""
EXPONENTS = np.arange(0.05, 0.81, 0.025)
"""Exponents that are tried."""
Fitted = Literal["default", "speedrun"]
"""Recipes that the law was fitted to."""
USUAL_STEP: dict[Fitted, int] = {"default": 16 * 256, "speedrun": 8 * 256}
"""Tokens of a step of each up to depth 8."""


@dataclass(frozen=True)
class LossLaw:
    """The fitted figures, how far they are off, and from where to where they were fitted."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    speedrun: float = 1.0
    critical: float = math.inf
    """Tokens of a step from which on larger steps hardly learn more, so that their further tokens are lost."""
    error: float = 0.0
    """Largest error in bits a byte of a run that was left out of the fit."""
    fewest_weights: int = 0
    most_weights: int = 0
    fewest_tokens: int = 0
    most_tokens: int = 0
    smallest_step: int = 0
    largest_step: int = 0

    def bits(self, recipe: Fitted, weights: int, tokens: float, tokens_a_step: int | None = None) -> float:
        """Return the expected held-out bits a byte of a run with these numbers of matrix weights and tokens.

        Steps are the recipe's usual ones unless their tokens are given.
        """
        usual = USUAL_STEP[recipe]
        of_a_token = (1 + usual / self.critical) / (1 + (tokens_a_step or usual) / self.critical)
        worth = tokens * of_a_token * (self.speedrun if recipe == "speedrun" else 1.0)
        return self.floor + self.a * weights**-self.alpha + self.b * worth**-self.beta

    def covers(self, weights: int, tokens: int, tokens_a_step: int) -> bool:
        """Return whether runs about as small and as large were measured: within half as much again."""
        bounds = (
            (weights, self.fewest_weights, self.most_weights),
            (tokens, self.fewest_tokens, self.most_tokens),
            (tokens_a_step, self.smallest_step, self.largest_step),
        )
        return all(fewest / 1.5 <= size <= 1.5 * most for size, fewest, most in bounds)


@dataclass(frozen=True)
class ExpectedLoss:
    """The loss that the law expects of a run, on unseen English prose."""

    bits_per_byte: float
    error: float
    """Largest error in bits a byte of measured runs that were left out of the fit."""
    measured: bool
    """Whether runs as small and as large as this one were measured; else the figure is an extrapolation."""

    def __str__(self) -> str:
        low, high = self.bits_per_byte - self.error, self.bits_per_byte + self.error
        beyond = "" if self.measured else ", beyond the runs measured"
        return f"{self.bits_per_byte:.2f} ({low:.2f} to {high:.2f}){beyond}"


def worth_of(tokens: float, text: int | None) -> float:
    """Return how many tokens of new text the tokens read are worth, where a text of `text` tokens is read repeatedly.

    The law was fitted to text that is read once. Small models overfit small texts more than this says.
    """
    if text is None or tokens <= text:
        return tokens
    again = tokens / text - 1.0
    return text * (1.0 + REPEATED * (1.0 - math.exp(-again / REPEATED)))


class MeasuredRun(NamedTuple):
    """A finished run: its matrix weights, the tokens it read, and the held-out bits a byte where it ended."""

    weights: int
    tokens: int
    bits_per_byte: float


def fit_law(runs: Sequence[MeasuredRun]) -> LossLaw:
    """Fit the law to runs of one recipe by least squares: search the exponents, solve for the rest.

    Raises `ValueError` where no exponents fit with positive figures.
    """
    bits = np.array([run.bits_per_byte for run in runs])
    best: tuple[float, LossLaw] | None = None
    for alpha in EXPONENTS:
        for beta in EXPONENTS:
            columns = np.array([(1.0, run.weights**-alpha, run.tokens**-beta) for run in runs])
            (floor, a, b), *_ = np.linalg.lstsq(columns, bits, rcond=None)
            squares = float(np.square(columns @ (floor, a, b) - bits).sum())
            if min(floor, a, b) > 0 and (best is None or squares < best[0]):
                floor, a, alpha, b, beta = (round(float(x), 4) for x in (floor, a, alpha, b, beta))
                best = squares, LossLaw(floor, a, alpha, b, beta)
    if best is None:
        raise ValueError("no exponents fit with positive figures: too few runs")
    return best[1]


def fitted(recipe: str) -> TypeGuard[Fitted]:
    """Return whether the law was fitted to runs of this recipe."""
    return recipe in get_args(Fitted)


def expected_loss(recipe: str, weights: int, tokens: int, tokens_a_step: int) -> ExpectedLoss | None:
    """Return what the law expects of a run; None for a recipe that it was not fitted to."""
    if not fitted(recipe):
        return None
    law, run = loss_law(), (weights, tokens, tokens_a_step)
    return ExpectedLoss(law.bits(recipe, *run), law.error, law.covers(*run))


def loss_law() -> LossLaw:
    """Read the law that the package carries."""
    return from_dict(LossLaw, read_json(Path(__file__).parent / LAW_FILE), LAW_FILE, None)
