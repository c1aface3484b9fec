"""The report of an experiment, on the template of all reports."""

from __future__ import annotations

from pathlib import Path

from scratchlm.lab.harness.outcome import Outcome
from scratchlm.runs.reports.page import write_report as write


def write_report(out: Path, outcome: Outcome) -> None:
    """Write `report.html` into `out`: claims, tables, figures, samples, every value, and how it was measured."""
    verdicts = [(claim.says, outcome.verdict(claim)) for claim in outcome.claims.values()]
    intervals = sum(value.low is not None for value in outcome.values.values())
    write(out, "experiment.jinja", outcome=outcome, verdicts=verdicts, intervals=intervals)
