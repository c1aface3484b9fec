"""The report of an experiment as one HTML page that opens offline."""

from __future__ import annotations

from pathlib import Path

from scratchlm.lab.harness.outcome import Outcome
from scratchlm.runs.reports.run import Page

SMALL = (
    "This is the small form: a quick look, with little data and training. It refutes no claim; run the experiment "
    "without --small for a verdict."
)


def write_report(path: Path, outcome: Outcome) -> None:
    """Write question, claims, tables, figures and samples."""
    page = Page(f"Experiment: {outcome.name}")
    page.text(outcome.asks)
    page.heading("What was claimed")
    claims = list(outcome.claims.values())
    if outcome.small:
        page.text(SMALL)
    rows = [[claim.says, outcome.verdict(claim)] for claim in claims]
    page.table(["claim", "these numbers"], rows, [None if outcome.small else claim.holds for claim in claims])
    for table in outcome.tables:
        page.heading(table.title)
        page.table(table.header, table.rows)
    for curves in outcome.curves:
        page.plot(curves.title, curves.x, curves.y, curves.lines, logarithmic=curves.logarithmic)
    if outcome.samples:
        page.heading("Samples")
    for sample in outcome.samples:
        page.sample(sample.label, sample.text)
    page.heading("How it was measured")
    for note in outcome.notes:
        page.text(note)
    page.table(["setting", "value"], [[key, str(value)] for key, value in outcome.settings.items()])
    page.table(["machine", ""], [[key, str(value)] for key, value in outcome.machine.items()])
    page.table(["file", "SHA-256"], [[key, value] for key, value in outcome.data.items()])
    page.write(path)
