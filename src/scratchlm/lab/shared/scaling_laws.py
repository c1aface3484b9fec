"""Scaling laws of two papers and the baselines beside them, all fitted alike to the same runs.

A form gives the log of the loss from log parameters N and log tokens D. Every form is fitted by one loss function, a
Huber loss of log residuals as Hoffmann et al. 2022 (arXiv 2203.15556, section 3.3) use it, and by one optimiser from
many random starts. There is no grid, so no coefficient can lie at the edge of one. Intervals come from refits to
resampled runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DELTA = 1e-3
"""Log residual beyond which the Huber loss is linear, as in Hoffmann et al. 2022."""
STARTS, ROUNDS, RESAMPLES = 64, 300, 400
ENDED, SLIGHT = 1e6, 1e-9
"""A fit ends where steps this damped do not help, or where a step gains less than this fraction."""
CENTRE = {"parameters": 1e5, "tokens": 2e5, "flops": 1e11}
"""Where the logs are zero: near the runs, so that coefficients are about one in size and little correlated."""
FAINT = 0.01
"""A term that is nowhere more than this fraction of its sum is unused: the fit lies at the edge of the form."""


class Run(NamedTuple):
    """A finished or planned run; of a planned one the bits per byte are NaN."""

    parameters: int
    tokens: int
    flops: float
    bits: float


class Points(NamedTuple):
    """Centred logs of runs, each of shape (n,)."""

    size: Array
    text: Array
    compute: Array


def points(runs: Sequence[Run]) -> Points:
    """Return the centred logs of parameters, tokens and FLOPs."""
    columns = np.array([run[:3] for run in runs], np.float64).reshape(-1, 3)
    return Points(*np.log(columns / np.array(list(CENTRE.values()))).T)


Terms = Callable[[Array, Points], dict[str, Array]]
"""Logs of the terms of a sum, each (M, n), by the coefficient that scales it, from coefficients (M, p)."""


@dataclass(frozen=True)
class Form:
    """A form of the loss, with where its starts are drawn from."""

    key: str
    name: str
    equation: str
    log_bits: Callable[[Array, Points], Array]
    """Log bits per byte, (M, n), from coefficients (M, p) and n points."""
    ranges: Sequence[tuple[float, float]]
    """Lowest and highest start of each of the p coefficients."""
    named: Callable[[Array], dict[str, float]]
    """The coefficients of the equation from those that are fitted, (p,)."""
    terms: Terms | None = None
    """The terms of a sum, which may come out unused."""


LEVEL, RATE = (-1.0, 1.0), (math.log(0.03), 0.0)
"""Starts of log losses, and of log exponents."""


def _kaplan(at: Array, runs: Points) -> Array:
    bits: Array = np.exp(_columns(at)[3]) * _sum(_kaplan_terms(at, runs))
    return bits


def _kaplan_terms(at: Array, runs: Points) -> dict[str, Array]:
    size, alpha, text, beta = _columns(at)
    alpha, beta = np.exp(alpha), np.exp(beta)
    return {"Nc": (size - alpha * runs.size) / beta, "Dc": (text - beta * runs.text) / beta}


def _kaplan_named(at: Array) -> dict[str, float]:
    alpha, beta = math.exp(at[1]), math.exp(at[3])
    n, d = math.log(CENTRE["parameters"]) + at[0] / alpha, math.log(CENTRE["tokens"]) + at[2] / beta
    return {"Nc": _exp(n), "alphaN": alpha, "Dc": _exp(d), "alphaD": beta}


def _hoffmann_terms(at: Array, runs: Points) -> dict[str, Array]:
    size, alpha, text, beta = _columns(at)[:4]
    floor = {"E": _columns(at)[4] + np.zeros_like(runs.size)} if at.shape[1] > 4 else {}
    return {"A": size - np.exp(alpha) * runs.size, "B": text - np.exp(beta) * runs.text, **floor}


def _hoffmann(at: Array, runs: Points) -> Array:
    return _sum(_hoffmann_terms(at, runs))


def _sum(terms: Mapping[str, Array]) -> Array:
    """Return the log of the sum of terms that are given as logs."""
    total: Array = np.logaddexp.reduce(list(terms.values()))
    return total


def _hoffmann_named(at: Array) -> dict[str, float]:
    alpha, beta = math.exp(at[1]), math.exp(at[3])
    a, b = at[0] + alpha * math.log(CENTRE["parameters"]), at[2] + beta * math.log(CENTRE["tokens"])
    floor = {"E": _exp(at[4])} if len(at) > 4 else {}
    return {**floor, "A": _exp(a), "alpha": alpha, "B": _exp(b), "beta": beta}


def _surface(at: Array, runs: Points) -> Array:
    level, size, text, both = _columns(at)
    return level + size * runs.size + text * runs.text + both * runs.size * runs.text


def _line(at: Array, runs: Points) -> Array:
    level, slope = _columns(at)
    return level + slope * runs.compute


def _columns(at: Array) -> Array:
    return at.T[:, :, None]


def _exp(log: float) -> float:
    return math.exp(min(log, 700.0))


KAPLAN = Form(
    "kaplan", "Kaplan et al. 2020", "((Nc / N)^(alphaN / alphaD) + Dc / D)^alphaD",
    _kaplan, (LEVEL, RATE, LEVEL, RATE), _kaplan_named, _kaplan_terms,
)  # fmt: skip
HOFFMANN = Form(
    "hoffmann", "Hoffmann et al. 2022", "E + A / N^alpha + B / D^beta",
    _hoffmann, (LEVEL, RATE, LEVEL, RATE, LEVEL), _hoffmann_named, _hoffmann_terms,
)  # fmt: skip
WITHOUT_FLOOR = Form(
    "without-floor", "Hoffmann et al. without E", "A / N^alpha + B / D^beta",
    _hoffmann, (LEVEL, RATE, LEVEL, RATE), _hoffmann_named, _hoffmann_terms,
)  # fmt: skip
SURFACE = Form(
    "surface", "log-linear surface (no theory)", "exp(a + b log N + c log D + d log N log D)",
    _surface, ((0.0, 1.0), (-0.3, 0.0), (-0.3, 0.0), (-0.1, 0.1)), lambda at: dict(zip("abcd", at, strict=True)),
)  # fmt: skip
LINE = Form(
    "line", "straight line in log compute", "exp(a + b log C)",
    _line, ((0.0, 1.0), (-0.3, 0.0)), lambda at: dict(zip("ab", at, strict=True)),
)  # fmt: skip
LAWS = (KAPLAN, HOFFMANN)
"""The two laws that are compared."""
FORMS = (*LAWS, WITHOUT_FLOOR, SURFACE)
"""Forms that are fitted to all runs; the line is fitted to the best runs of each compute alone."""


@dataclass(frozen=True)
class Fitted:
    """A form with its coefficients."""

    form: Form
    at: Array
    """The fitted coefficients, (p,)."""
    agree: float
    """Fraction of the starts that ended at this optimum: the loss function within a ten-thousandth."""

    def bits(self, runs: Sequence[Run]) -> Array:
        """Return the bits per byte of runs, (n,)."""
        predicted: Array = np.exp(self.form.log_bits(self.at[None], points(runs))[0])
        return predicted

    def unused(self, runs: Sequence[Run]) -> list[str]:
        """Return coefficients whose terms are nowhere more than a hundredth of the sum: the runs do not need them."""
        if self.form.terms is None:
            return []
        terms = self.form.terms(self.at[None], points(runs))
        total = _sum(terms)
        return [name for name, term in terms.items() if float(np.exp(term - total).max()) < FAINT]


def minimise(
    form: Form, runs: Sequence[Run], counts: Array, starts: Array, delta: float = DELTA
) -> tuple[Array, Array]:  # fmt: skip
    """Minimise the Huber loss of several problems at once; return their coefficients (M, p) and losses (M,).

    `counts` (M, n) says how often each run counts in each problem, `starts` (M, p) where each begins. Damped
    Gauss-Newton steps (Levenberg-Marquardt); residuals beyond `delta` are weighted down, which makes squares a bound of
    the Huber loss that touches it at the present residuals.
    """
    place, logs = points(runs), np.log([run.bits for run in runs])

    def residuals(at: Array) -> Array:
        return np.nan_to_num(form.log_bits(at, place) - logs, nan=1e3, posinf=1e3, neginf=-1e3)

    with np.errstate(all="ignore"):
        at, damping = starts.astype(np.float64), np.full(len(starts), 1e-2)
        off = residuals(at)
        value = _huber(off, counts, delta)
        going = np.arange(len(at))
        for _ in range(ROUNDS):
            here, off_here = at[going], off[going]
            step = _step(residuals, here, off_here, _pull(off_here, counts[going], delta), damping[going])
            there = here - step
            off_there = residuals(there)
            value_there = _huber(off_there, counts[going], delta)
            better = value_there < value[going]
            taken = going[better]
            gained = value[taken] - value_there[better]
            at[taken], off[taken], value[taken] = there[better], off_there[better], value_there[better]
            damping[going] = np.clip(np.where(better, damping[going] / 3, damping[going] * 3), 1e-9, 1e9)
            ended = damping[going] >= ENDED
            ended[better] = gained <= SLIGHT * value[taken]
            going = going[~ended]
            if not len(going):
                break
    return at, value


def _pull(off: Array, counts: Array, delta: float) -> Array:
    """Return the weight of each squared residual that gives it the Huber loss's slope, (M, n)."""
    pulls: Array = counts * np.minimum(1, delta / np.maximum(np.abs(off), 1e-300))
    return pulls


def _step(residuals: Callable[[Array], Array], at: Array, off: Array, pull: Array, damping: Array) -> Array:
    """Return the damped Gauss-Newton step of each problem, (M, p), from forward differences."""
    little = 1e-6
    slopes = np.stack([(residuals(at + move) - off) / little for move in little * np.eye(at.shape[1])], -1)
    weighted = slopes * pull[..., None]
    normal = np.einsum("mni,mnj->mij", weighted, slopes)
    gradient = np.einsum("mni,mn->mi", weighted, off)
    ridge = damping[:, None] * np.einsum("mii->mi", normal) + 1e-12
    step: Array = np.linalg.solve(normal + ridge[..., None] * np.eye(at.shape[1]), gradient[..., None])[..., 0]
    return np.clip(step, -1, 1)


def _huber(off: Array, counts: Array, delta: float) -> Array:
    size = np.abs(off)
    each = np.where(size <= delta, off**2 / 2, delta * (size - delta / 2)) if math.isfinite(delta) else off**2 / 2
    sums: Array = (counts * each).sum(1)
    return sums


def fit(
    form: Form, runs: Sequence[Run], delta: float = DELTA, seed: int = 0, counts: Array | None = None
) -> Fitted:  # fmt: skip
    """Fit a form to runs from many random starts. Raises `ValueError` for fewer runs than coefficients."""
    used = len(runs) if counts is None else int((counts > 0).sum())
    if used < len(form.ranges):
        raise ValueError(f"{used} runs are too few for {len(form.ranges)} coefficients of {form.name}")
    low, high = np.array(form.ranges).T
    starts = np.random.default_rng(seed).uniform(low, high, (STARTS, len(low)))
    every = np.broadcast_to(np.ones(len(runs)) if counts is None else counts, (STARTS, len(runs)))
    at, value = minimise(form, runs, every, starts, delta)
    best = int(value.argmin())
    return Fitted(form, at[best], float((value <= value[best] * (1 + 1e-4) + 1e-15).mean()))


def refit(fitted: Fitted, runs: Sequence[Run], counts: Array, seed: int = 0) -> Array:
    """Fit to M other weightings of the runs (M, n), each from the fitted coefficients and a place near them."""
    nearby = np.random.default_rng(seed).normal(0, 0.3, (1, len(fitted.at)))
    starts = np.concatenate([fitted.at[None], fitted.at + nearby])
    tiled = np.repeat(counts, len(starts), 0)
    at, value = minimise(fitted.form, runs, tiled, np.tile(starts, (len(counts), 1)))
    best = value.reshape(len(counts), len(starts)).argmin(1)
    best_fits: Array = at.reshape(len(counts), len(starts), -1)[np.arange(len(counts)), best]
    return best_fits


def left_out(fitted: Fitted, runs: Sequence[Run]) -> Array:
    """Return the log of predicted over measured bits of each run, predicted by a fit to all others, (n,)."""
    at = refit(fitted, runs, 1 - np.eye(len(runs)))
    predicted = np.diag(fitted.form.log_bits(at, points(runs)))
    return np.asarray(predicted - np.log([run.bits for run in runs]))


class Resampled(NamedTuple):
    """What refits to resampled runs say."""

    at: Array
    """Coefficients of each refit, (R, p)."""
    logs: Array
    """Predicted log bits of a new run by each refit, (R,)."""
    errors: Array
    """The log of measured over predicted bits of one run that each refit was not given, (R,)."""

    def interval(self) -> tuple[float, float]:
        """Return the 95% prediction interval of the new run, in bits: refits and errors on unseen runs together."""
        low, high = np.quantile(np.exp(self.logs + self.errors), [0.025, 0.975])
        return float(low), float(high)


def resample(fitted: Fitted, runs: Sequence[Run], new: Run, seed: int = 0) -> Resampled:
    """Refit to runs drawn with replacement (bootstrap of cases); predict the new run and one of those not drawn.

    The same seed draws the same runs for every form, so that forms can be compared refit by refit.
    """
    draw, size = np.random.default_rng(seed), len(runs)
    counts, out = np.zeros((RESAMPLES, size)), np.zeros(RESAMPLES, np.intp)
    most = max(len(form.ranges) for form in FORMS)
    for at in range(RESAMPLES):
        # The distinct runs must determine every form; enough are drawn in nearly all cases.
        while (counts[at] > 0).sum() < min(most + 1, size - 1) or (counts[at] > 0).all():
            counts[at] = np.bincount(draw.integers(size, size=size), minlength=size)
        out[at] = draw.choice(np.flatnonzero(counts[at] == 0))
    fits = refit(fitted, runs, counts, seed)
    unseen = fitted.form.log_bits(fits, points(runs))[np.arange(RESAMPLES), out]
    errors = np.log([runs[int(at)].bits for at in out]) - unseen
    return Resampled(fits, fitted.form.log_bits(fits, points([new]))[:, 0], errors)


def best_runs(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that no run with as much or less compute beats, in the order of their compute."""
    chosen: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.flops, run.bits)):
        if not chosen or run.bits < chosen[-1].bits:
            chosen.append(run)
    return chosen


def coefficients(fitted: Fitted, resampled: Resampled) -> Mapping[str, tuple[float, float, float]]:
    """Return each coefficient of the equation with the ends of its 95% interval over refits."""
    drawn = [fitted.form.named(at) for at in resampled.at]
    ends = {key: np.quantile([each[key] for each in drawn], [0.025, 0.975]) for key in drawn[0]}
    return {
        key: (value, float(ends[key][0]), float(ends[key][1])) for key, value in fitted.form.named(fitted.at).items()
    }


def predict(runs: Sequence[Run], new: Run, everything: Sequence[int], seed: int = 0) -> dict[str, Any]:
    """Fit every form to the runs and predict a new one; return plain values, to be stored before the new run begins.

    `everything` are the parameters of each run and of the new one, embeddings included: the other way to count N.
    Raises `ValueError` for too few runs.
    """
    bits = np.array([run.bits for run in runs])
    predictions: dict[str, Any] = {"forms": {}, "squares": {}, "all-parameters": {}, "largest": {}}
    recounted = [run._replace(parameters=count) for run, count in zip([*runs, new], everything, strict=True)]
    for form in FORMS:
        fitted = fit(form, runs, seed=seed)
        at = predictions["forms"][form.key] = {
            "predicted": float(fitted.bits([new])[0]),
            "residuals": (fitted.bits(runs) / bits - 1).tolist(),
            "left_out": np.expm1(left_out(fitted, runs)).tolist(),
            "agree": fitted.agree,
            "unused": fitted.unused(runs),
        }
        if form in LAWS:
            drawn = resample(fitted, runs, new, seed)
            at |= {"interval": drawn.interval(), "logs": drawn.logs.tolist(), "named": coefficients(fitted, drawn)}
            predictions["squares"][form.key] = float(fit(form, runs, math.inf, seed).bits([new])[0])
            predictions["all-parameters"][form.key] = float(
                fit(form, recounted[:-1], seed=seed).bits(recounted[-1:])[0]
            )
            predictions["largest"][form.key] = predict_largest(form, runs, seed)
    front = best_runs(runs)
    predictions["line"] = float(fit(LINE, front, seed=seed).bits([new])[0]) if len(front) > 1 else float(bits.min())
    return {**predictions, "best": float(bits.min())}


def predict_largest(form: Form, runs: Sequence[Run], seed: int = 0) -> dict[str, Any] | None:
    """Predict the largest run from those with both fewer parameters and fewer tokens; None if they are too few.

    It is the real prediction one step down, and shows what the interval is worth.
    """
    most, longest = max(run.parameters for run in runs), max(run.tokens for run in runs)
    below = [run for run in runs if run.parameters < most and run.tokens < longest]
    (corner,) = (run for run in runs if run.parameters == most and run.tokens == longest)
    if len(below) <= len(HOFFMANN.ranges):
        return None
    fitted = fit(form, below, seed=seed)
    low, high = resample(fitted, below, corner, seed).interval()
    return {
        "predicted": float(fitted.bits([corner])[0]),
        "measured": corner.bits,
        "interval": (low, high),
        "ratio": corner.flops / max(run.flops for run in below),
    }
