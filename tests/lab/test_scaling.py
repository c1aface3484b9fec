"""Experiment scaling: laws are found again from runs that follow them, and claims follow the numbers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.outcomes import concluded, holding
from scratchlm.base.errors import UserError
from scratchlm.lab.experiments.config import ScalingConfig
from scratchlm.lab.experiments.scaling import measure as scaling
from scratchlm.lab.experiments.scaling.measure import FACTORS, fit_rates, planned, recipe, shape
from scratchlm.lab.experiments.scaling.report import SeedMeasurements, report
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared import scaling_laws as laws
from scratchlm.lab.shared.scaling_laws import HOFFMANN, KAPLAN, LINE, SURFACE, WITHOUT_FLOOR, Run
from scratchlm.model.decoder import build_decoder
from scratchlm.training.optimizer import matrix_weights

CONFIG = ScalingConfig(
    widths=(32, 64, 96, 128), tokens=(10_000, 20_000, 40_000, 80_000), larger_width=192, larger_tokens=160_000
)
GRID = list(itertools.product(CONFIG.widths, CONFIG.tokens))
NEW = (192, 160_000)
BOOKS = 8


def size_of(width: int) -> int:
    return 24 * width**2


def run_at(width: int, tokens: int, bits: float) -> Run:
    return Run(size_of(width), tokens, 6.0 * size_of(width) * tokens, bits)


def by_kaplan(width: int, tokens: int) -> float:
    return ((2e7 / size_of(width)) ** (0.12 / 0.1) + 9e8 / tokens) ** 0.1


def by_hoffmann(width: int, tokens: int) -> float:
    return 1.2 + 20 / size_of(width) ** 0.3 + 60 / tokens**0.4


def runs_by(law: Any) -> list[Run]:
    return [run_at(width, tokens, law(width, tokens)) for width, tokens in GRID]


def test_the_law_of_kaplan_is_found_again_from_its_own_runs() -> None:
    found = laws.fit(KAPLAN, runs_by(by_kaplan))
    assert found.form.named(found.at) == pytest.approx({"Nc": 2e7, "alphaN": 0.12, "Dc": 9e8, "alphaD": 0.1}, rel=1e-4)
    assert found.bits([run_at(*NEW, math.nan)])[0] == pytest.approx(by_kaplan(*NEW), rel=1e-6)
    assert found.agree > 0.5
    assert found.unused(runs_by(by_kaplan)) == []


def test_the_law_of_hoffmann_is_found_again_from_its_own_runs() -> None:
    found = laws.fit(HOFFMANN, runs_by(by_hoffmann))
    wanted = {"E": 1.2, "A": 20, "alpha": 0.3, "B": 60, "beta": 0.4}
    assert found.form.named(found.at) == pytest.approx(wanted, rel=1e-3)
    assert found.bits([run_at(*NEW, math.nan)])[0] == pytest.approx(by_hoffmann(*NEW), rel=1e-6)


def test_an_irreducible_loss_that_the_runs_do_not_show_is_reported_as_unused() -> None:
    runs = runs_by(lambda width, tokens: 20 / size_of(width) ** 0.3 + 60 / tokens**0.4)
    assert laws.fit(HOFFMANN, runs).unused(runs) == ["E"]
    assert laws.fit(WITHOUT_FLOOR, runs).unused(runs) == []


def test_one_wild_run_moves_the_fit_less_by_the_huber_loss_than_by_squares() -> None:
    runs = runs_by(by_kaplan)
    wild = [run._replace(bits=1.1 * run.bits) if at == 5 else run for at, run in enumerate(runs)]
    new = [run_at(*NEW, math.nan)]
    off = {delta: laws.fit(KAPLAN, wild, delta).bits(new)[0] / by_kaplan(*NEW) - 1 for delta in (laws.DELTA, math.inf)}
    assert abs(off[laws.DELTA]) < 1e-3 < abs(off[math.inf])


def test_a_law_that_cannot_express_the_runs_has_errors_on_those_left_out() -> None:
    runs = runs_by(by_kaplan)
    errors = {form.key: np.abs(laws.left_out(laws.fit(form, runs), runs)).mean() for form in (KAPLAN, HOFFMANN)}
    assert errors["kaplan"] < 1e-6
    assert errors["hoffmann"] > 1e-3


def test_a_prediction_interval_holds_the_truth_where_the_runs_are_noisy() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, len(GRID))
    runs = [run._replace(bits=run.bits * math.exp(off)) for run, off in zip(runs_by(by_kaplan), noise, strict=True)]
    drawn = laws.resample(laws.fit(KAPLAN, runs), runs, run_at(*NEW, math.nan))
    low, high = drawn.interval()
    assert low < by_kaplan(*NEW) < high
    assert 0.01 < (high - low) / by_kaplan(*NEW) < 0.3
    exact = laws.resample(laws.fit(KAPLAN, runs_by(by_kaplan)), runs_by(by_kaplan), run_at(*NEW, math.nan)).interval()
    assert exact == pytest.approx((by_kaplan(*NEW), by_kaplan(*NEW)), rel=1e-4)


def test_baselines_are_a_surface_and_a_line_through_the_best_runs() -> None:
    runs = runs_by(lambda width, tokens: 5 * (6.0 * size_of(width) * tokens) ** -0.05)
    new = run_at(*NEW, math.nan)
    wanted = 5 * new.flops**-0.05
    for form in (LINE, SURFACE):
        assert laws.fit(form, runs).bits([new])[0] == pytest.approx(wanted, rel=1e-6)
    front = laws.best_runs(runs_by(by_kaplan))
    assert [run.flops for run in front] == sorted(run.flops for run in front)
    assert [run.bits for run in front] == sorted((run.bits for run in front), reverse=True)
    assert len(front) < len(runs)


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 runs are too few for 5 coefficients of Hoffmann"):
        laws.fit(HOFFMANN, runs_by(by_hoffmann)[:4])
    assert laws.predict_largest(HOFFMANN, runs_by(by_hoffmann)[:4] + runs_by(by_hoffmann)[-4:]) is None


def test_the_rule_finds_a_best_rate_that_moves_with_size_and_text() -> None:
    def best(width: int, tokens: int) -> float:
        return 0.9 * (width / 64) ** -0.2 * (tokens / 20_000) ** -0.4

    at = itertools.product(CONFIG.widths, CONFIG.tokens[:3], FACTORS)
    losses = {(w, t, f): 5 - 0.1 * math.log(w) + 0.05 * math.log(f / best(w, t)) ** 2 for w, t, f in at}
    rule = fit_rates(losses)
    for width, tokens in (*GRID, NEW):
        assert rule.factor(width, tokens) == pytest.approx(best(width, min(tokens, 40_000)), rel=1e-6)
    assert rule.factor(10**9, 10_000) == pytest.approx(FACTORS[0] / 4)
    hill = {at: -loss - 0.01 * (at[2] == FACTORS[2]) for at, loss in losses.items()}
    assert fit_rates(hill).factor(64, 10_000) in [pytest.approx(factor) for factor in FACTORS]
    assert fit_rates(hill).by_tokens == 0
    one = {(w, 10_000, f): loss for (w, t, f), loss in losses.items() if t == 10_000}
    assert fit_rates(one).factor(64, 10_000) == pytest.approx(best(64, 10_000), rel=1e-6)


def test_what_is_counted_before_a_run_is_what_the_model_has() -> None:
    config = dataclasses.replace(CONFIG, batch_size=4)

    class Vocabulary:
        vocabulary_size = 300

    for width in (32, 64, 96, 192):
        decoder = build_decoder(shape(width, 2, 300), 0)
        assert matrix_weights(decoder) == size_of(width)
        counted = planned(width, 10_000, config, Vocabulary())  # type: ignore[arg-type]
        assert (counted["weights"], counted["parameters"]) == (size_of(width), decoder.parameter_count())
        assert counted["tokens"] == 4 * 128 * round(10_000 / (4 * 128))
    training = recipe(64, 10_000, 2.0, config)
    assert training.schedule.warmup_steps == training.steps // 10
    assert training.optimizer.learning_rate == 2 * recipe(64, 10_000, 1.0, config).optimizer.learning_rate


def result(width: int, tokens: int, bits: float) -> dict[str, Any]:
    """A run whose books differ a little."""
    wiggle = 1e-4 * np.sin(np.arange(BOOKS))
    books = ((bits + wiggle - wiggle.mean()) / BOOKS).tolist()
    counts = {"weights": size_of(width), "parameters": size_of(width) + 1000 * width, "tokens": tokens}
    return {**counts, "flops": 6.0 * size_of(width) * tokens, "books": books, "validation": bits}


def findings(law: Any, measured: float | None = None, changed: Mapping[tuple[int, int], float] | None = None,
             repeated: float = 5.0, wrong_rate: float = 1.01) -> Findings:  # fmt: skip
    """Report runs that follow a law, except those that are changed, and a larger run of its own."""
    bits = {at: law(*at) for at in GRID} | dict(changed or {})
    cells = {at: result(*at, loss) for at, loss in bits.items()}
    trials = {(*at, 1.0): cell for at, cell in cells.items()}
    for width, tokens in itertools.product((32, 128), CONFIG.tokens[:3]):
        for factor in (0.5, 2.0):
            worse = wrong_rate if width == 128 else 1.01
            trials[width, tokens, factor] = result(width, tokens, worse * bits[width, tokens])
    larger = result(*NEW, law(*NEW) if measured is None else measured)
    out = Findings()
    rates = dict.fromkeys(cells, (1.0, 1.1))
    again = result(64, CONFIG.tokens[0], repeated)
    report(out, SeedMeasurements(CONFIG, 1.0, cells, rates, trials, again, predicted(tuple(bits.values())), larger))
    return out


@cache
def predicted(bits: tuple[float, ...]) -> dict[str, Any]:
    """Predict the larger run from the losses of the grid."""
    runs = [run_at(*at, loss) for at, loss in zip(GRID, bits, strict=True)]
    everything = [result(*at, 1.0)["parameters"] for at in (*GRID, NEW)]
    return laws.predict(runs, run_at(*NEW, math.nan), everything)


@pytest.fixture(scope="module")
def interacting() -> Findings:
    """Runs that follow the law of Kaplan et al., in which the gain of size grows with the text."""
    return findings(by_kaplan)


RUNS = {"parameters-help", "tokens-help", "size-pays-with-text"}
PREDICTION = {"kaplan-fits-better", "kaplan-is-nearer", "laws-beat-baselines"}


def test_claims_about_laws_hold_where_runs_interact(interacting: Findings) -> None:
    held = holding(interacting)
    assert held >= RUNS | PREDICTION | {"hoffmann-holds"}
    made = concluded(interacting)
    assert abs(made.values["kaplan.error"].value) < 1e-6
    assert made.values["hoffmann.error"].value > 1e-3
    assert made.values["kaplan.largest.off"].value < 1e-6
    assert all(claim.control for claim in made.claims.values())


def test_claims_about_laws_do_not_hold_where_terms_are_separate() -> None:
    held = holding(findings(by_hoffmann))
    assert held >= {"parameters-help", "tokens-help", "laws-beat-baselines"}
    assert not held & {"size-pays-with-text", "kaplan-fits-better", "kaplan-is-nearer"}


def test_a_larger_run_far_from_all_predictions_refutes_the_claims_about_it() -> None:
    held = holding(findings(by_kaplan, measured=min(by_kaplan(*at) for at in GRID)))
    assert not held & {"kaplan-holds", "hoffmann-holds", "laws-beat-baselines", "kaplan-is-nearer"}


@pytest.mark.slow
def test_a_law_of_the_surface_is_predicted_best_by_the_surface() -> None:
    def surface(width: int, tokens: int) -> float:
        x, y = math.log(size_of(width) / 1e5), math.log(tokens / 2e5)
        return math.exp(0.9 - 0.05 * x - 0.1 * y - 0.02 * x * y)

    held = holding(findings(surface))
    assert "laws-beat-surface" not in held
    assert "laws-beat-surface" in holding(findings(by_both))


def by_both(width: int, tokens: int) -> float:
    """Between the two laws: the surface is further from it than either."""
    return (by_kaplan(width, tokens) * by_hoffmann(width, tokens)) ** 0.5


def test_gains_of_size_and_text_need_their_controls() -> None:
    assert "tokens-help" not in holding(findings(by_kaplan, repeated=by_kaplan(64, 40_000)))  # steps alone do as much
    assert "parameters-help" not in holding(findings(by_kaplan, wrong_rate=1.5))  # a common rate at which it loses
    smallest, most = by_kaplan(32, 80_000), {(128, 80_000): 1.01 * by_kaplan(32, 80_000)}
    assert smallest < most[128, 80_000]
    assert not holding(findings(by_kaplan, changed=most)) & {"parameters-help", "size-pays-with-text"}


def test_an_interval_that_holds_at_some_seeds_shows_nothing(interacting: Findings) -> None:
    other = findings(by_kaplan, measured=3.0)
    made = concluded(interacting, other)
    assert made.claims["hoffmann-holds"].holds is None
    assert made.values["hoffmann.inside"].value == 0.5


def test_published_models_are_in_the_table(interacting: Findings) -> None:
    table = concluded(interacting).tables[-1]
    rows = {row[0]: row for row in table.rows}
    assert rows["GPT-3 175B"][1:5] == ["175 billion", "3e+11", "3.15e+23", "3.14e+23"]
    assert "table D.1" in rows["GPT-3 175B"][-1]
    assert rows["GPT-2 1.5B"][2:5] == ["not published", "", ""]
    assert rows["larger run"][7].startswith("1/")


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="must exceed the runs of the fit, 128 and 720000"):
        ScalingConfig(larger_width=128, larger_tokens=720_000)
    with pytest.raises(UserError, match="--widths 32, 64: give at least three"):
        ScalingConfig(widths=(32, 64))
    with pytest.raises(UserError, match="--larger-width 200: must be a multiple of 32"):
        ScalingConfig(larger_width=200)
    with pytest.raises(UserError, match="--tuned 5: there are 4 numbers of tokens"):
        ScalingConfig(tuned=5)
    with pytest.raises(UserError, match="--seed -1: must not be negative"):
        ScalingConfig(seed=-1)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with books of a few words in random order, long enough for the validation text."""
    folder = tmp_path_factory.mktemp("toy") / "data"
    (folder / "pretrain").mkdir(parents=True)
    draw = random.Random(1)
    words = ["the", "key", "was", "under", "a", "stone", "and", "nobody", "saw", "him", "take", "it", "home"]
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=8000)) + "."}) for _ in range(16)]
    (folder / "pretrain" / "books.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_the_prediction_is_written_before_the_larger_run_begins(books: Path, tmp_path: Path) -> None:
    config = ScalingConfig(
        data=books, widths=(32, 64, 96), tokens=(4096, 5120, 6144), tuned=1, larger_width=128, larger_tokens=7168,
        vocabulary_size=280, layers=1,
    )  # fmt: skip
    out = Findings()
    scaling.run(config, Steps(tmp_path / "run", "key"), out)
    written = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()}
    last_fitted = max(time for name, time in written.items() if name.startswith(("width-32", "width-64", "width-96")))
    (larger,) = (name for name in written if name.startswith("width-128"))
    assert last_fitted <= written["prediction"] < written[larger]
    made = concluded(out)
    assert 0 < made.values["larger.measured"].value < 5
    assert set(made.claims) == RUNS | PREDICTION | {"kaplan-holds", "hoffmann-holds", "laws-beat-surface"}
    assert {"rate.lost", "rate.lost.untuned", "rate.larger"} <= set(made.values)
    again = Findings()
    scaling.run(config, Steps(tmp_path / "run", "key"), again)
    assert concluded(again).values == made.values
