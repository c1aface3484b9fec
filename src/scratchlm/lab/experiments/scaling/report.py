"""Values, tables, figures and claims of `experiment scaling`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.lab.experiments.config import ScalingConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.verdicts import above, every
from scratchlm.lab.shared.scaling_laws import FORMS, LAWS, Form
from scratchlm.pretraining.published_training import PublishedTraining, published_training, ratio, reference_training

Found = Mapping[str, Any]
"""What a run gave."""
At = tuple[int, int]
"""Width and tokens of a run."""
RIVALS = ("line", "best")
"""Predictions without a law."""
RECOUNTS = ("squares", "all-parameters")
"""Other ways to fit the laws."""


@dataclass(frozen=True)
class SeedMeasurements:
    """What one seed measured."""

    config: ScalingConfig
    scale: float
    """Bits per byte of held-out text for each nat of its summed loss."""
    cells: Mapping[At, Found]
    """The runs that the laws are fitted to, by width and tokens."""
    rates: Mapping[At, tuple[float, float]]
    """Their learning rates as factors of the usual one: that of the run, and the best by the rule."""
    trials: Mapping[tuple[int, int, float], Found]
    """Every run by width, tokens and factor of the learning rate."""
    repeated: Found
    """The run on little text, repeated."""
    prediction: Mapping[str, Any]
    """What was predicted before the larger run."""
    larger: Found

    @property
    def factors(self) -> list[float]:
        """The learning rates at which every width was trained on the least text."""
        few = self.config.tokens[0]
        return sorted({factor for width, tokens, factor in self.trials if tokens == few})

    def bits(self, cell: Found) -> float:
        """Return the held-out bits per byte of a run."""
        return self.scale * float(sum(cell["books"]))

    def gain(self, worse: Found, better: Found) -> np.ndarray:
        """Return in bits per byte what each held-out book adds to the gain of one run over another, times books."""
        gains: np.ndarray = self.scale * len(worse["books"]) * np.subtract(worse["books"], better["books"])
        return gains


def report(out: Findings, measured: SeedMeasurements) -> None:
    """Report what one seed measured."""
    report_runs(out, measured)
    report_rates(out, measured)
    claim_gains_of_size_and_text(out, measured)
    report_residuals(out, measured)
    report_larger(out, measured)
    report_coefficients(out, measured)
    report_published(out, measured)


def report_runs(out: Findings, measured: SeedMeasurements) -> None:
    """Report the runs that the laws are fitted to."""
    config = measured.config
    rows: list[Row] = []
    for (width, tokens), each in measured.cells.items():
        out.values[f"bits.{width}.{tokens}"] = Value(measured.bits(each))
        out.values[f"rate.{width}.{tokens}"] = Value(measured.rates[width, tokens][0])
        counts = [f"{each['weights']:,}", f"{each['parameters']:,}", f"{each['tokens']:,}", f"{each['flops']:.2g}"]
        rate = Cell(f"rate.{width}.{tokens}", ".2g", interval=False)
        rows.append([str(width), *counts, rate, Cell(f"bits.{width}.{tokens}")])
    header = ["width", "matrix weights N", "all parameters", "tokens D", "FLOPs C", "learning rate", "bits per byte"]
    out.table("Runs that the laws are fitted to", header, rows)
    flops = [each["flops"] for each in measured.cells.values()]
    out.values["span"] = Value(max(flops) / min(flops))
    for title, x, place in (("Loss by training tokens", "tokens", "tokens"), ("Loss by compute", "FLOPs", "flops")):
        out.curves(title, x, "bits per byte", _by_width(config, measured.cells, place, "bits"), logarithmic=True)


def _by_width(
    config: ScalingConfig, cells: Mapping[At, Found], place: str, key: str
) -> dict[str, tuple[list[float], list[str]]]:  # fmt: skip
    """Return a curve of values for each width."""
    return {
        f"{cells[width, config.tokens[0]]['weights']:,} weights": (
            [float(cells[width, tokens][place]) for tokens in config.tokens],
            [f"{key}.{width}.{tokens}" for tokens in config.tokens],
        )
        for width in config.widths
    }


def report_rates(out: Findings, measured: SeedMeasurements) -> None:
    """Report the validation loss at each learning rate that was tried, and what the rule gives away on more text."""
    tuned = measured.config.tokens[: measured.config.tuned]
    factors = measured.factors
    rows: list[Row] = []
    lost = []
    for width, tokens in measured.cells:
        if any((width, tokens, factor) not in measured.trials for factor in factors):
            continue
        losses = [float(measured.trials[width, tokens, factor]["validation"]) for factor in factors]
        keys = [f"validation.{width}.{tokens}.{factor:g}" for factor in factors]
        used, best = measured.rates[width, tokens]
        out.values |= {key: Value(loss) for key, loss in zip(keys, losses, strict=True)}
        out.values[f"rate.rule.{width}.{tokens}"] = Value(best)
        rule = Cell(f"rate.rule.{width}.{tokens}", ".2f")
        rows.append([str(width), f"{tokens:,}", *(Cell(key) for key in keys), rule])
        gap = float(measured.trials[width, tokens, used]["validation"]) - min(losses)
        if tokens in tuned:
            lost.append(gap)
        else:
            out.values["rate.lost.untuned"] = Value(gap)
    out.values["rate.lost"] = Value(float(np.mean(lost)))
    header = ["width", "tokens", *(f"{factor:g} times the usual rate" for factor in factors), "best rate by the rule"]
    out.table("Validation loss in nats per token by learning rate", header, rows)


def claim_gains_of_size_and_text(out: Findings, measured: SeedMeasurements) -> None:
    """Add the claims about the runs: what more parameters and more text gain, each with its control."""
    config, cells, trials = measured.config, measured.cells, measured.trials
    few, many, small, large = config.tokens[0], config.tokens[-1], config.widths[0], config.widths[-1]
    tuned = config.tokens[config.tuned - 1]
    factors = measured.factors

    def gain(key: str, gaps: np.ndarray) -> str:
        return out.gain(key, paired(gaps))

    with_little = measured.gain(cells[small, few], cells[large, few])
    with_much = measured.gain(cells[small, many], cells[large, many])
    alike = [measured.gain(trials[small, tuned, f], trials[large, tuned, f]) for f in factors]
    out.claim(
        "parameters-help",
        every(
            gain("parameters-help.gain", with_much),
            gain("parameters-help.least-by-rate", min(alike, key=lambda gaps: float(gaps.mean()))),
        ),
    )
    cell = measured.cells[config.widths[1], config.tokens[-2]]
    out.claim(
        "tokens-help",
        every(
            gain("tokens-help.gain", measured.gain(cells[large, few], cells[large, many])),
            gain("tokens-help.over-repeats", measured.gain(measured.repeated, cell)),
        ),
    )
    gain("parameters-on-little.gain", with_little)
    relative = [
        math.log(measured.bits(cells[small, tokens]) / measured.bits(cells[large, tokens])) for tokens in (few, many)
    ]
    out.values["gain_of_size_with_text.relative"] = Value(relative[1] - relative[0])
    out.claim("size-pays-with-text", gain("gain_of_size_with_text", with_much - with_little))


def report_residuals(out: Findings, measured: SeedMeasurements) -> None:
    """Report how far both laws are off on every fitted run, and on each when it is left out of the fit."""
    forms, cells = measured.prediction["forms"], list(measured.cells)
    rows: list[Row] = []
    for form in FORMS:
        for kind in ("residuals", "left_out"):
            errors = np.array(forms[form.key][kind])
            out.values[f"{form.key}.{kind}"] = Value(float(np.sqrt(np.square(errors).mean())))
            if form in LAWS:
                keys = [f"{form.key}.{kind}.{width}.{tokens}" for width, tokens in cells]
                out.values |= {key: Value(float(error)) for key, error in zip(keys, errors, strict=True)}
    for width, tokens in cells:
        keys = [f"{form.key}.{kind}.{width}.{tokens}" for kind in ("residuals", "left_out") for form in LAWS]
        rows.append([str(width), f"{tokens:,}", *(Cell(key, "+.2%", interval=False) for key in keys)])
    keys = [f"{form.key}.{kind}" for kind in ("residuals", "left_out") for form in LAWS]
    rows.append(["root mean square", "", *(Cell(key, ".2%", interval=False) for key in keys)])
    header = ["width", "tokens", *(f"{form.name}, {kind}" for kind in ("fitted", "left out") for form in LAWS)]
    out.table("Error of the laws on each run: predicted over measured bits per byte", header, rows)
    for form in LAWS:
        lines = _by_width(measured.config, measured.cells, "tokens", f"{form.key}.residuals")
        out.curves(f"Residuals of the law of {form.name}", "tokens", "relative error", lines, True, {"no error": 0.0})
    kaplan, hoffmann = (np.abs(forms[form.key]["left_out"]) for form in LAWS)
    out.claim(
        "kaplan-fits-better",
        out.gain("left_out.gain", paired(hoffmann - kaplan)),
        better=LAWS[0].name,
        worse=LAWS[1].name,
    )


def report_larger(out: Findings, measured: SeedMeasurements) -> None:
    """Compare what was predicted with the larger run."""
    prediction, bits = measured.prediction, measured.bits(measured.larger)
    values = out.values
    values["larger.measured"] = Value(bits)
    flops = [each["flops"] for each in measured.cells.values()]
    values["larger.compute_ratio"] = Value(measured.larger["flops"] / max(flops))
    for key in RIVALS:
        _error(out, key, prediction[key], bits)
    rows: list[Row] = []
    for form in FORMS:
        made = prediction["forms"][form.key]
        _error(out, form.key, made["predicted"], bits, made.get("interval"))
        count = str(len(form.ranges))
        rows.append(_row(form.name, count, form.key))
        if form in LAWS:
            _largest(out, form, prediction["largest"][form.key])
            for other in RECOUNTS:
                _error(out, f"{form.key}.{other}", prediction[other][form.key], bits)
    rows += [_row("straight line in log compute", "2", "line"), _row("best fitted run", "0", "best")]
    rows.append(["measured", "", Cell("larger.measured"), "", "", ""])
    title = f"The larger run: {measured.larger['weights']:,} weights, {measured.larger['tokens']:,} tokens"
    header = [
        "",
        "coefficients",
        "predicted bits per byte",
        "error",
        "seeds inside the interval",
        "error on left-out runs",
    ]
    out.table(title, header, rows)
    predicted = {form.name: f"{form.key}.predicted" for form in FORMS}
    predicted |= {"straight line in log compute": "line.predicted", "best fitted run": "best.predicted"}
    out.dots("The larger run, predicted before it began", "bits per byte", predicted, {"measured": "larger.measured"})
    _again(out)
    _claim_larger(out, measured)


def _row(name: str, count: str, key: str) -> Row:
    error, inside, left = (Cell(f"{key}.{kind}", form) for kind, form in
                           (("error", "+.1%"), ("inside", ".0%"), ("left_out", ".2%")))  # fmt: skip
    return [name, count, Cell(f"{key}.predicted"), error, Cell(inside.key, inside.form, interval=False), left]


def _error(
    out: Findings, key: str, predicted: float, bits: float, interval: Sequence[float] | None = None
) -> None:  # fmt: skip
    """Add a prediction with its error and, where it has an interval, whether that holds the measured loss."""
    low, high = interval or (None, None)
    out.values[f"{key}.predicted"] = Value(predicted, low, high)
    out.values[f"{key}.error"] = Value(predicted / bits - 1)
    out.values[f"{key}.off"] = Value(abs(predicted / bits - 1))
    if low is not None and high is not None:
        out.values[f"{key}.inside"] = Value(float(low <= bits <= high), share=True)
        out.values[f"{key}.interval"] = Value((high - low) / bits)


def _largest(out: Findings, form: Form, made: Mapping[str, Any] | None) -> None:
    if made is not None:
        _error(out, f"{form.key}.largest", made["predicted"], made["measured"], made["interval"])
        out.values["largest.compute_ratio"] = Value(made["ratio"])


def _again(out: Findings) -> None:
    """Add the table of the same prediction made in other ways."""
    rows: list[Row] = []
    names = {
        "": "as above: Huber loss, N without embeddings",
        ".squares": "least squares of log residuals",
        ".all-parameters": "N with embeddings",
        ".largest": "one step down: the largest fitted run, from smaller ones",
    }
    for key, name in names.items():
        if f"{LAWS[0].key}{key}.error" in out.values:
            rows.append([name, *(Cell(f"{form.key}{key}.error", "+.1%") for form in LAWS)])
    out.table("Error of the prediction, fitted in other ways", ["", *(form.name for form in LAWS)], rows)


def _claim_larger(out: Findings, measured: SeedMeasurements) -> None:
    """Add the claims about the larger run."""
    kaplan, hoffmann = LAWS
    for form in LAWS:
        out.claim(f"{form.key}-holds", above(f"{form.key}.inside", 0.5), entry="holds", law=form.name)
    values = out.values
    for form in LAWS:
        for rival in (*RIVALS, "surface"):
            key = f"{form.key}.over.{rival}"
            values[key] = Value(values[f"{rival}.off"].value - values[f"{form.key}.off"].value)
    tests = [above(f"{form.key}.over.{rival}") for form in LAWS for rival in RIVALS]
    out.claim("laws-beat-baselines", every(*tests))
    out.claim("laws-beat-surface", every(*(above(f"{form.key}.over.surface") for form in LAWS)))
    drawn = [np.exp(measured.prediction["forms"][form.key]["logs"]) / values["larger.measured"].value for form in LAWS]
    gaps = np.abs(drawn[1] - 1) - np.abs(drawn[0] - 1)
    low, high = np.quantile(gaps, [0.025, 0.975])
    values["nearer"] = Value(values[f"{hoffmann.key}.off"].value - values[f"{kaplan.key}.off"].value, low, high)
    for other in RECOUNTS:
        offs = [values[f"{form.key}.{other}.off"].value for form in (hoffmann, kaplan)]
        values[f"nearer.{other}"] = Value(offs[0] - offs[1])
    values["nearer.as-many"] = Value(values["without-floor.off"].value - values[f"{kaplan.key}.off"].value)
    keys = ("nearer", *(f"nearer.{other}" for other in RECOUNTS), "nearer.as-many")
    out.claim("kaplan-is-nearer", every(*(above(key) for key in keys)), kaplan=kaplan.name, hoffmann=hoffmann.name)


def report_coefficients(out: Findings, measured: SeedMeasurements) -> None:
    """Report the coefficients of both laws with intervals over resampled runs, and how many starts found them."""
    rows: list[Row] = []
    for form in LAWS:
        made = measured.prediction["forms"][form.key]
        for name, (value, low, high) in made["named"].items():
            out.values[f"{form.key}.{name}"] = Value(value, low, high)
            rows.append([form.name, form.equation, name, Cell(f"{form.key}.{name}", ".3g")])
        out.values[f"{form.key}.agree"] = Value(made["agree"], share=True)
        out.values[f"{form.key}.unused"] = Value(len(made["unused"]))
        out.notes += [
            f"{form.name}: the term of {name} came out as nothing, so these runs do not determine it"
            for name in made["unused"]
        ]
    title = "Coefficients, for bits per byte of this held-out text, N matrix weights and D tokens"
    out.table(title, ["law", "form", "coefficient", "value"], rows)


def report_published(out: Findings, measured: SeedMeasurements) -> None:
    """Report where these runs lie beside published models."""
    smallest = min(measured.cells.values(), key=lambda each: float(each["flops"]))
    largest = max(measured.cells.values(), key=lambda each: float(each["flops"]))
    ours = {"smallest run here": smallest, "largest of the sixteen runs": largest, "larger run": measured.larger}
    rows: list[Row] = []
    for name, each in ours.items():
        counts = [f"{each['parameters']:,}", f"{each['tokens']:,}", f"{6 * each['parameters'] * each['tokens']:.3g}"]
        counts.append(f"{each['flops']:.2g}, counted")
        rows.append([name, *counts, _size(2 * each["parameters"]), "", _fraction(each["flops"]), "this result"])
    rows += [_published(model) for model in published_training()]
    header = ["", "parameters", "training tokens", "6ND FLOPs", "FLOPs as published, or counted", "weights in bf16",
              "GPU hours, cost", "compute, of GPT-3's", "source"]  # fmt: skip
    out.table("These runs beside published models", header, rows)
    out.values["larger.of_gpt3"] = Value(measured.larger["flops"] / float(reference_training().flops or math.nan))


def _published(model: PublishedTraining) -> Row:
    active = "" if model.active is None else f", {model.active / 1e9:g} billion of them active"
    tokens = "not published" if model.tokens is None else f"{model.tokens:.3g}{' or more' * model.at_least}"
    hours = "" if model.gpu_hours is None else f"{model.gpu_hours / 1e6:.3g} million {model.gpu} hours"
    hours += "" if model.dollars is None else f", {model.dollars / 1e6:.3g} million dollars"
    flops = model.flops or model.estimated_flops
    counts = ["" if each is None else f"{each:.3g}" for each in (model.estimated_flops, model.flops)]
    compared = "" if flops is None else _fraction(flops)
    parameters = f"{model.parameters / 1e9:g} billion{active}"
    return [model.name, parameters, tokens, *counts, _size(model.weight_bytes), hours, compared, model.source]


def _fraction(flops: float) -> str:
    return ratio(flops / float(reference_training().flops or math.nan))


def _size(size: int) -> str:
    return f"{size / 1e9:,.3g} GB" if size >= 1e9 else f"{size / 1e6:.2g} MB"
