"""A scaling law in which parameters and tokens interact: the gain from more of one depends on the other.

    bits per byte = ((n / N)^(alpha / beta) + d / D) ^ beta

with N matrix weights and D tokens (Kaplan et al. 2020, arXiv 2001.08361, equation 1.5). It has four coefficients and
no irreducible loss. The law of `scratchlm plan`, floor + a / N^alpha + b / D^beta (Hoffmann et al. 2022), has five; in
it the gain from more parameters does not depend on the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchlm.runs.scaling_law import Measured

ALPHAS = np.arange(0.01, 0.6, 0.005)
BETAS = np.arange(0.02, 0.4, 0.0025)
"""Exponents of the grid search."""


@dataclass(frozen=True)
class JointLaw:
    """The law with its coefficients."""

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
