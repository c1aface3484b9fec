"""Fills the templates of this folder: one HTML file without references to others, so it opens offline."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlm.base.files import write_text
from scratchlm.base.runfolder import LOG_FILE, REPORT_FILE, read_log
from scratchlm.runs.reports.chart import Curve, chart

if TYPE_CHECKING:
    from jinja2 import Environment


def write_report(out: Path, template: str, **values: Any) -> None:
    """Write `report.html` into `out`: a template filled with values, the folder's name and the records of its log."""
    records = [with_speed(record) for record in read_log(out / LOG_FILE)] if (out / LOG_FILE).exists() else []
    name = out.absolute().name
    write_text(out / REPORT_FILE, render(template, name=name, here=shlex.quote(name), records=records, **values))


def render(template: str, **values: Any) -> str:
    """Return a filled template; every value is escaped, whatever a label, a file name or a model wrote in it."""
    return _environment().get_template(template).render(values)


def with_speed(record: dict[str, Any]) -> dict[str, Any]:
    """Add tokens per second to the record of a training step."""
    if "tokens" not in record or "seconds" not in record.get("timing", {}):
        return record
    return {**record, "speed": record["tokens"] / max(record["timing"]["seconds"], 1e-9)}


def series(records: list[dict[str, Any]], kind: str, value: str) -> Curve:
    """Return the steps of all records of a kind, and one of their values."""
    found = [record for record in records if record["kind"] == kind]
    return [record["step"] for record in found], [record.get(value) for record in found]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(chart=chart, series=series)
    environment.filters["form"] = format
    return environment
