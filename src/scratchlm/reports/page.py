"""Fills the templates of this folder: one HTML file without references to others, so it opens offline."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlm.base.files import write_text
from scratchlm.base.runfolder import LOG_FILE, REPORT_FILE, Record, read_log
from scratchlm.reports.chart import Curve, chart, rows

STYLE = Path(__file__).with_name("style.css")
"""The style of all pages: of reports, and of exported models."""

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def write_report(out: Path, template: str, **values: Any) -> None:
    """Write `report.html` into `out`: a template filled with values, the folder's name and the records of its log."""
    records, name = list(read_log(out / LOG_FILE)), out.absolute().name
    write_text(out / REPORT_FILE, render(template, name=name, here=shlex.quote(name), records=records, **values))


def render(template: str, **values: Any) -> str:
    """Return a filled template; every value is escaped, whatever a label, a file name or a model wrote in it."""
    return _environment().get_template(template).render(values)


def series(records: list[Record], kind: str, value: str) -> Curve:
    """Return the steps of all records of a kind, and one of their values."""
    chosen = [record for record in records if record.kind == kind]
    return [record.step for record in chosen], [getattr(record, value) for record in chosen]


def coded(text: str) -> Markup:
    """Return text as HTML in which `this` is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def cell(text: str) -> Markup:
    """Return a cell of a table as HTML: code as code, and an interval as a small line below its value."""
    from markupsafe import Markup

    value = re.fullmatch(r"(.+) \(([-+\d.,%nan]+) to ([-+\d.,%nan]+)\)", text)
    if value is None:
        return coded(text)
    return Markup("{}<small class=interval>{} to {}</small>").format(coded(value[1]), value[2], value[3])


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(STYLE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(chart=chart, rows=rows, series=series)
    environment.filters.update(form=format, coded=coded, cell=cell)
    return environment
