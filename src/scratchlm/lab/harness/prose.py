"""Numbers in the notes come from result files, never from a keyboard: this module fills them in.

    python -m scratchlm.lab.harness.prose notes

A writer types `{{ladder-lm katz.bits_per_byte .3f}}`, or with `+` at the end of the format for the interval too, or
`{{ladder-lm table 0}}`, `{{context figure 0}}` or `{{objective sample 0}}` on a line of its own. It becomes the number
between two comments, which readers do not see and a later call fills again. Figures are drawn into `figures`, beside
the result files.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.base.files import write_text
from scratchlm.lab.harness.labels import relabel, relabelled
from scratchlm.lab.harness.outcome import Outcome, Sample, Table, read_outcome
from scratchlm.lab.harness.plots import as_svg
from scratchlm.lab.harness.settings import EARLIER_NAMES

END = "<!-- end -->"
_TYPED = re.compile(r"\{\{(?P<what>[^{}]+)\}\}")
_MARKED = re.compile(r"<!-- from (?P<what>[^>]+?) -->.*?" + re.escape(END), re.DOTALL)


def read_results(folder: Path) -> dict[str, Outcome]:
    """Read all result files of a folder, by file name without `.json`: NAME, or NAME-WORD for a variant.

    NAME is that of the experiment, today's or an earlier one. Raises `UserError` for a file with another name.
    """
    found = {path.stem: read_outcome(path) for path in sorted(folder.glob("*.json"))}
    problems = []
    for stem, name in ((stem, outcome.name) for stem, outcome in found.items()):
        names = [name, *(earlier for earlier, today in EARLIER_NAMES.items() if today == name)]
        if not any(f"{stem}-".startswith(f"{each}-") for each in names):
            problems.append(f"{folder / stem}.json: is a result of {name}; name it {name}.json or {name}-WORD.json")
    raise_all(problems)
    return found


def stored_as(name: str, results: Mapping[str, Outcome]) -> str:
    """Return the name of the file that holds a result; a file may have an earlier name of its experiment."""
    for earlier, today in EARLIER_NAMES.items():
        if name not in results and f"{name}-".startswith(f"{today}-"):
            return earlier + name.removeprefix(today)
    return name


def filled(text: str, results: Mapping[str, Outcome], place: str = "text", figures: str = "results") -> str:
    """Return a text with every number filled in from the results; an up-to-date text comes back unchanged.

    `figures` is the path from the text to the folder of the results. Raises `UserError` for an unknown experiment,
    value, table or figure.
    """

    def put(match: re.Match[str]) -> str:
        what = " ".join(match["what"].split())
        return f"<!-- from {what} -->{_shown(what, results, place, figures)}{END}"

    return _MARKED.sub(put, _TYPED.sub(lambda match: f"<!-- from {match['what'].strip()} -->{END}", text))


def _shown(what: str, results: Mapping[str, Outcome], place: str, figures: str) -> str:
    name, key, form = [*what.split(), "", ".3g"][:3]
    name = stored_as(name, results)
    if name not in results:
        raise UserError(f"{place}: {what}: no result of {name!r}; {nearest(name, results)}")
    outcome = results[name]
    links = [f"![{each.title}]({figures}/{figure_name(name, n)})" for n, each in enumerate(outcome.curves)]
    tables = [as_markdown(relabelled(table)) for table in outcome.tables]
    blocks = {"table": tables, "figure": links, "sample": [_quoted(sample) for sample in outcome.samples]}
    if key in blocks:
        number = int(form) if form.isdigit() else 0
        if number >= len(blocks[key]):
            raise UserError(f"{place}: {what}: {name} has {len(blocks[key])} {key}s, numbered from 0")
        return f"\n\n{blocks[key][number]}\n\n"
    if key in outcome.timings:
        return format(outcome.timings[key], form)
    if key not in outcome.values:
        raise UserError(f"{place}: {what}: {name} has no value {key!r}; {nearest(key, outcome.values)}")
    value = outcome.values[key]
    return value.shown(form[:-1]) if form.endswith("+") else format(value.value, form)


def _quoted(sample: Sample) -> str:
    """Return a sample as a quotation under its label, with Markdown's special characters escaped."""
    lines = []
    for line in sample.text.splitlines():  # "METHOD: what it wrote", or text alone
        method, colon, written = line.partition(": ")
        lines.append(f"{relabel(method)}{colon}{written}")
    escaped = re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape("\n".join(lines), quote=False))
    return "\n>\n".join(f"> {line}" for line in (f"**{relabel(sample.label)}**", *escaped.splitlines()))


def figure_name(name: str, number: int) -> str:
    """Return the name of a figure's file, from the folder of the results."""
    return f"figures/{name}-{number}.svg"


def draw(folder: Path, results: Mapping[str, Outcome]) -> None:
    """Draw all curves of the results as files in `figures` beside them."""
    (folder / "figures").mkdir(exist_ok=True)
    for name, outcome in results.items():
        for number, curves in enumerate(outcome.curves):
            write_text(folder / figure_name(name, number), as_svg(curves))


def as_markdown(table: Table) -> str:
    """Write a table as Markdown."""
    rows = [table.header, ["---"] * len(table.header), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def main() -> None:
    """Fill every Markdown file below the folder named on the command line, from its folder `results`."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise UserError("name the folder of the notes: python -m scratchlm.lab.harness.prose notes")
    folder = Path(sys.argv[1])
    results = read_results(folder / "results")
    draw(folder / "results", results)
    for path in sorted(folder.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = filled(before, results, str(path), os.path.relpath(folder / "results", path.parent))
        if after != before:
            write_text(path, after)
            print(path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"prose: {error}") from None
