"""The pages of the notes are built from templates; their numbers come from result files, never from a keyboard.

    python -m scratchlm.lab.prose notes

`notes/templates/NAME.md.jinja` becomes `notes/NAME.md`, and `notes/templates/project/NAME.md.jinja` the page NAME
beside the folder: the README of the project. In a template stand

    {{ r("ladder-lm", "katz.bits_per_byte", ".3f") }}   a number; a format that ends in + gives its interval too
    {{ v("objective", "words.bits_per_byte") }}         the number itself, for calculations
    {{ seeds("limits", "read.right", ".0%") }}          its lowest and its highest seed
    {{ verdict("limits", "premises-pass") }}            what became of a claim
    {{ table("ladder-lm", 0) }}, {{ figure("context", 0) }}, {{ dots("ladder-lm", 0) }}, {{ sample("objective", 0) }},
    {{ head("twins") }}, {{ record("twins") }}, {{ claims("ladder-lm") }}, {{ tally() }}
                                                        on a line of their own: see their methods below

Figures are drawn into `figures`, beside the result files, a folder for each result.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.base.files import write_text
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.lab.harness.findings import with_verdicts
from scratchlm.lab.harness.outcome import Outcome, Table, TextSample, Value, read_outcome
from scratchlm.lab.harness.plots import as_svg

T = TypeVar("T")
ENDING, PROJECT = ".md.jinja", "project/"
"""End of a template's name, and the folder of templates whose pages stand beside the notes."""


def read_results(folder: Path) -> dict[str, Outcome]:
    """Read all result files of a folder, by file name without `.json`: NAME, or NAME-WORD for a variant.

    NAME is that of the experiment. Raises `UserError` for a file with another name.
    """
    outcomes = {path.stem: read_outcome(path) for path in sorted(folder.glob("*.json"))}
    raise_all(
        [
            f"{folder / stem}.json: is a result of {outcome.name}; "
            f"name it {outcome.name}.json or {outcome.name}-WORD.json"
            for stem, outcome in outcomes.items()
            if not f"{stem}-".startswith(f"{outcome.name}-")
        ]
    )
    return outcomes


def require_current(folder: Path, results: Mapping[str, Outcome]) -> None:
    """Raise `UserError` that names every result that this version's experiments cannot have written.

    Such a one has an unknown name, or verdicts that do not follow from its values. A page built from it would say what
    nobody can repeat.
    """
    problems = []
    for stem, outcome in results.items():
        file, again = folder / f"{stem}.json", f"measure it again with scratchlm experiment {outcome.name} --full"
        if outcome.name not in EXPERIMENTS:
            problems.append(f"{file}: is outdated, of an experiment {outcome.name!r} that no longer exists; remove it")
        elif with_verdicts(outcome.claims, outcome.values) != outcome.claims:
            problems.append(f"{file}: is outdated, its verdicts are not those that its values give; {again}")
    raise_all(problems)


CALLS = (
    "r", "v", "seeds", "verdict", "table", "figure", "dots", "sample", "claims", "head", "record", "judged", "tally",
)  # fmt: skip
"""What a template can call."""


class _Page:
    """What a template calls. What a result does not hold is noted, and `?` stands for it."""

    def __init__(self, results: Mapping[str, Outcome], figures: str) -> None:
        self.results, self.figures = results, figures
        self.problems: list[str] = []

    def r(self, name: str, key: str, form: str = ".3g") -> str:
        """Return a value of a result, or a reading of its clock, in a format."""
        outcome = self._outcome(name, key)
        if outcome is None:
            return "?"
        if key not in outcome.timings and key not in outcome.values:
            return self._lacks(f"{name} has no value {key!r}; {nearest(key, outcome.values)}")
        value = Value(outcome.timings[key]) if key in outcome.timings else outcome.values[key]
        try:
            return value.shown(form[:-1]) if form.endswith("+") else format(value.value, form)
        except ValueError:
            return self._lacks(f'{name} {key}: {form!r} is no format of a number; write it as ".3f"')

    def v(self, name: str, key: str) -> float:
        """Return a value of a result as a number, for calculations."""
        outcome = self._outcome(name, key)
        if outcome is not None and key not in outcome.values:
            self._lacks(f"{name} has no value {key!r}; {nearest(key, outcome.values)}")
        return outcome.values[key].value if outcome is not None and key in outcome.values else math.nan

    def seeds(self, name: str, key: str, form: str = ".3g") -> str:
        """Return the lowest and the highest seed of a value, in a format."""
        outcome = self._outcome(name, key)
        if outcome is None:
            return "?"
        if key not in outcome.values or not (each := outcome.values[key].seeds):
            return self._lacks(f"{name} has no value {key!r} at several seeds")
        return f"{min(each):{form}} to {max(each):{form}}"

    def table(self, name: str, number: int = 0) -> str:
        """Return a table of a result as Markdown."""
        part = self._part(name, number, "table", lambda outcome: outcome.tables)
        return "?" if part is None else as_markdown(part)

    def figure(self, name: str, number: int = 0) -> str:
        """Return a link to the drawing of a result's curves."""
        part = self._part(name, number, "figure", lambda outcome: outcome.curves)
        file = figure_name(name, number)
        return "?" if part is None else f"![{part.title}]({self.figures}/{file})"

    def dots(self, name: str, number: int = 0) -> str:
        """Return a link to the drawing of a result's values, one row each, with a dot for each seed."""
        part = self._part(name, number, "dots", lambda outcome: outcome.dots)
        file = dots_name(name, number)
        return "?" if part is None else f"![{part.title}]({self.figures}/{file})"

    def claims(self, name: str) -> str:
        """Return a table of a result's claims: each with its verdict, and what else would give its numbers."""
        outcome = self._outcome(name, "claims")
        if outcome is None:
            return "?"
        rows = [
            [claim.says, outcome.verdict(claim), "" if claim.p is None else _level(claim.p), claim.control]
            for claim in outcome.claims.values()
        ]
        other = "what else would give this, and what was measured against it"
        return as_markdown(Table("", ["claim", "verdict", "p, corrected", other], rows))

    def verdict(self, name: str, key: str) -> str:
        """Return the verdict on a claim in words."""
        outcome = self._outcome(name, key)
        if outcome is None:
            return "?"
        if key not in outcome.claims:
            return self._lacks(f"{name} has no claim {key!r}; {nearest(key, outcome.claims)}")
        return outcome.verdict(outcome.claims[key])

    def head(self, name: str) -> str:
        """Return the first lines of the page of an experiment: its question, how it was measured, and where to go."""
        outcome = self._outcome(name, "head")
        if outcome is None:
            return "?"
        seeds, hours = outcome.settings.get("seeds", 1), outcome.seconds / 3600
        took = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
        cores = f"{outcome.machine.get('threads')} thread{'s' if outcome.machine.get('threads') != 1 else ''}"
        measured = (
            f"{seeds} seed{'s' if seeds != 1 else ''}, {took} on {cores} of an {outcome.machine.get('processor')}"
        )
        return (
            f"*{outcome.asks}* [The result]({self.figures}/{name}.json) of `scratchlm experiment {name} --full`: "
            f"{measured}.\n[How to read these pages](README.md), [all findings](../01-what-was-found.md)."
        )

    def record(self, name: str) -> str:
        """Return all tables, figures and notes of a result, as they are."""
        outcome = self._outcome(name, "record")
        if outcome is None:
            return "?"
        parts = [f"**{table.title}**\n\n{as_markdown(table)}" for table in outcome.tables]
        parts += [self.figure(name, number) for number in range(len(outcome.curves))]
        parts += [self.dots(name, number) for number in range(len(outcome.dots))]
        return "\n\n".join([*parts, "\n".join(f"- {note}" for note in outcome.notes)])

    def judged(self) -> int:
        """Return how many claims of all results are judged by intervals."""
        return sum(claim.p is not None for outcome in self.results.values() for claim in outcome.claims.values())

    def tally(self) -> str:
        """Return a table of all experiments: the question of each, its page, and how many claims have each verdict."""
        rows = []
        for name, outcome in self.results.items():
            verdicts = [claim.holds for claim in outcome.claims.values()]
            counts = [str(verdicts.count(each)) for each in (True, False, None)]
            rows.append([outcome.asks, f"[{name}](findings/{name}.md)", *counts])
        header = ["question", "full record", "claims that hold", "do not hold", "could not be shown"]
        return as_markdown(Table("", header, rows))

    def sample(self, name: str, number: int = 0) -> str:
        """Return a text that a model wrote, as a quotation."""
        part = self._part(name, number, "sample", lambda outcome: outcome.samples)
        return "?" if part is None else _quoted(part)

    def _part(self, name: str, number: int, what: str, parts: Callable[[Outcome], Sequence[T]]) -> T | None:
        outcome = self._outcome(name, f"{what} {number}")
        if outcome is None:
            return None
        if number >= len(every := parts(outcome)):
            self._lacks(f"{name} has {len(every)} {what}s, numbered from 0")
            return None
        return every[number]

    def _outcome(self, name: str, what: str) -> Outcome | None:
        if name not in self.results:
            self._lacks(f"{what}: no result of {name!r}; {nearest(name, self.results)}")
            return None
        return self.results[name]

    def _lacks(self, problem: str) -> str:
        self.problems.append(problem)
        return "?"


def built(template: str, results: Mapping[str, Outcome], place: str = "text", figures: str = "results") -> str:
    """Return the page that a template and the results make.

    `figures` is the path from the page to the folder of the results. Raises `UserError` that names all unknown
    experiments, values, tables and figures, and for a template that is none.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    page = _Page(results, figures)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.globals = {name: getattr(page, name) for name in CALLS}
    try:
        text = environment.from_string(template).render()
    except TemplateError as error:
        line = f", line {number}" if (number := getattr(error, "lineno", None)) else ""
        raise UserError(f"{place}{line}: {error}") from error
    raise_all([f"{place}: {problem}" for problem in dict.fromkeys(page.problems)])
    return text


def pages(notes: Path) -> dict[Path, Path]:
    """Return the page that each template of the notes makes, by the template."""
    folder = notes / "templates"
    pages = {}
    for template in sorted(folder.rglob(f"*{ENDING}")):
        name = template.relative_to(folder).as_posix().removesuffix(".jinja")
        beside = name.startswith(PROJECT)
        pages[template] = notes.parent / name.removeprefix(PROJECT) if beside else notes / name
    return pages


def build(template: Path, page: Path, notes: Path, results: Mapping[str, Outcome]) -> str:
    """Return the text of a page of the notes."""
    text = template.read_text(encoding="utf-8")
    return built(text, results, str(template), os.path.relpath(notes / "results", page.parent).replace(os.sep, "/"))


def _level(p: float) -> str:
    """Return a p-value as a reader needs it."""
    return "below 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.1f}"


def _quoted(sample: TextSample) -> str:
    """Return a sample as a quotation under its label, with Markdown's special characters escaped."""
    escaped = re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(sample.text, quote=False))
    return "\n>\n".join(f"> {line}" for line in (f"**{sample.label}**", *escaped.splitlines()))


def figure_name(name: str, number: int) -> str:
    """Return the name of a figure's file, from the folder of the results."""
    return f"figures/{name}/{number}.svg"


def dots_name(name: str, number: int) -> str:
    """Return the name of the file of a figure with dots, from the folder of the results."""
    return f"figures/{name}/dots-{number}.svg"


def draw(folder: Path, results: Mapping[str, Outcome]) -> None:
    """Draw all figures of the results anew, in a folder for each in `figures` beside them."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    for name, outcome in results.items():
        if outcome.curves or outcome.dots:
            (folder / "figures" / name).mkdir(parents=True)
        for number, curves in enumerate(outcome.curves):
            write_text(folder / figure_name(name, number), as_svg(curves))
        for number, dots in enumerate(outcome.dots):
            write_text(folder / dots_name(name, number), as_svg(dots))


def as_markdown(table: Table) -> str:
    """Write a table as Markdown."""
    rows = [table.header, ["---"] * len(table.header), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def main() -> None:
    """Build every page of the notes whose folder the command line names, and draw the figures."""
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "templates").is_dir():
        raise UserError("name the folder of the notes: python -m scratchlm.lab.prose notes")
    notes = Path(sys.argv[1]).resolve()
    results = read_results(notes / "results")
    require_current(notes / "results", results)
    texts = {page: build(template, page, notes, results) for template, page in pages(notes).items()}
    draw(notes / "results", results)
    for page, text in texts.items():
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            write_text(page, text)
            print(page)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"prose: {error}") from None
