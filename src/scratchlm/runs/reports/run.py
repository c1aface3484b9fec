"""Reports: self-contained HTML drawn from a run folder alone. Opens without a network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlm.base.files import read_json, write_text
from scratchlm.base.runlog import LOG_FILE, read_log

_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{font-size:1.2rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884;vertical-align:top}
.good{color:#2a8a4a}.bad{color:#b4442f}.sample{white-space:pre-wrap;border-left:3px solid #4678b2;padding-left:.8rem}
.figure{margin:.6rem 0 1.4rem}small{opacity:.75}
"""


class Page:
    """An HTML page built from top to bottom; plotly's script stands in it once."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        self._plotted = False

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def sample(self, label: str, text: str) -> None:
        """Add a text that a model wrote."""
        self._parts.append(f"<p><small>{html.escape(label)}</small></p><div class=sample>{html.escape(text)}</div>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[bool | None] = ()) -> None:
        """Add a table; `marks` colours the last cell of each row as right or wrong."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        lines = []
        for index, row in enumerate(rows):
            mark = marks[index] if index < len(marks) else None
            kind = "" if mark is None else " class=good" if mark else " class=bad"
            cells = [f"<td>{html.escape(cell)}</td>" for cell in row[:-1]]
            lines.append(f"<tr>{''.join(cells)}<td{kind}>{html.escape(row[-1])}</td></tr>")
        self._parts.append(f"<table><tr>{head}</tr>{''.join(lines)}</table>")

    def plot(
        self,
        title: str,
        x: str,
        y: str,
        curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        *,
        logarithmic: bool = False,
    ) -> None:
        """Add a line plot of named curves; `logarithmic` spreads places by their logarithm."""
        import plotly.graph_objects as go

        figure = go.Figure()
        for name, (xs, ys) in curves.items():
            mode = "lines" if len(xs) > 30 else "lines+markers"
            figure.add_trace(go.Scatter(x=list(xs), y=list(ys), name=name, mode=mode))
        figure.update_layout(
            title=title, xaxis_title=x, yaxis_title=y, height=380, margin={"l": 60, "r": 20, "t": 50, "b": 50}
        )
        if logarithmic:
            figure.update_xaxes(type="log")
        script = not self._plotted
        self._plotted = True
        drawn = figure.to_html(full_html=False, include_plotlyjs=script, config={"displaylogo": False})
        self._parts.append(f"<div class=figure>{drawn}</div>")

    def write(self, path: Path) -> None:
        """Write the page atomically."""
        head = f"<meta charset=utf-8><title>{html.escape(self._title)}</title><style>{_STYLE}</style>"
        write_text(
            path, f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(self._parts)}</body></html>\n"
        )


def add_training(page: Page, records: Sequence[dict[str, Any]]) -> None:
    """Add the loss, the speed and the samples of a run's log to a page."""
    train = [r for r in records if r["kind"] == "train" and isinstance(r["loss"], float)]
    evaluations = [r for r in records if r["kind"] == "evaluation"]
    curves = {"training": ([r["step"] for r in train], [r["loss"] for r in train])}
    if evaluations:
        curves["held out"] = ([r["step"] for r in evaluations], [r["loss"] for r in evaluations])
    page.heading("Learning")
    page.text(
        "Loss is how surprised the model is by the next token, in nats: 0 would be certainty, and the first value is "
        "about the logarithm of the vocabulary size, which is what guessing costs."
    )
    page.plot("Loss", "step", "nats a token", curves)
    page.text("Speed is how many tokens one training step takes in, divided by the seconds it took.")
    speed = [r["tokens"] / r["timing"]["seconds"] for r in train]
    page.plot("Speed", "step", "tokens a second", {"training": ([r["step"] for r in train], speed)})
    samples = [r for r in records if r["kind"] == "sample"]
    if samples:
        page.heading("Samples as training went on")
    for record in samples:
        page.sample(f"after step {record['step']}", record["text"])


def write_run_report(run: Path) -> None:
    """Write `report.html` of a pretraining run from its folder."""
    records = list(read_log(run / LOG_FILE))
    manifest = read_json(run / "manifest.json")
    page = Page(f"Pretraining: {run.name}")
    last = [r for r in records if r["kind"] == "evaluation"][-1]
    page.text(
        f"After {last['step']:,} steps the model pays {last['bits_per_byte']:.4f} bits for each byte of held-out text "
        f"(loss {last['loss']:.4f} nats a token over {last['tokens']:,} tokens, each predicted once)."
    )
    page.text(
        f"Trained on {manifest['machine'].get('processor', 'a machine')} with {manifest['threads']} threads in "
        f"{manifest['dtype']}, seed {manifest['seed']}."
    )
    add_training(page, records)
    page.write(run / "report.html")
