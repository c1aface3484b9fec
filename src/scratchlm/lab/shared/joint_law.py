"""A law of loss in which parameters and text limit each other: what more of one brings depends on the other.

    bits per byte = ((n / N)^(alpha / beta) + d / D) ^ beta

with N weights of matrices and D tokens (Kaplan et al. 2020, arXiv 2001.08361, equation 1.5). It has four figures and no
floor. The law that `scratchlm plan` states, floor + a / N^alpha + b / D^beta (Hoffmann et al. 2022), has five; in it
the gain of size is the same whatever the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchlm.runs.scaling_law import Measured

ALPHAS = np.arange(0.01, 0.6, 0.005)
BETAS = np.arange(0.02, 0.4, 0.0025)
"""Exponents that are tried."""


@dataclass(frozen=True)
class JointLaw:
    """The law with its figures."""

    n: float
    """Weights that would bring the loss to one bit a byte if text were without end."""
    alpha: float
    d: float
    """Tokens that would bring it there if weights were without end."""
    beta: float

    def bits(self, weights: float, tokens: float) -> float:
        """Return the expected held-out bits a byte of a run of so many matrix weights and tokens."""
        by_size = self.alpha / self.beta * math.log(self.n / weights)
        return math.exp(self.beta * float(np.logaddexp(by_size, math.log(self.d / tokens))))


def fit_joint(runs: Sequence[Measured]) -> JointLaw:
    """Fit the law to runs of one recipe by least squares of relative errors.

    For each pair of exponents, bits^(1 / beta) = n^(alpha / beta) N^(-alpha / beta) + d / D is linear in what is left.
    Raises `ValueError` for fewer than four runs, and where no exponents fit with positive figures.
    """
    if len(runs) < 4:
        raise ValueError(f"{len(runs)} runs are too few for a law of four figures")
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
        raise ValueError("no exponents fit with positive figures")
    return best[1]
