"""Labels of tables in stored results, with the terms that the notes show for them now.

Result files are sealed, so a table keeps the labels of its run. `relabelled` changes whole cells only; the numbers
and everything a model wrote stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from scratchlm.lab.harness.outcome import Table

LABELS: dict[str, str] = {
    "an item, us": "per item, µs",
    "seen from": "minimum detectable difference",
    "F1, gain on the rung before": "F1, gain over the method above",
    # ladder-spam, label-efficiency
    "the commoner class": "majority baseline",
    "our model, from random weights": "small model, from random weights",
    "our model, pretrained on books": "small model, pretrained on books",
    "published model, only asked": "published model, zero-shot",
    "published model, taught with LoRA": "published model, fine-tuned with LoRA",
}
"""The whole text of a cell, to the text that is shown for it."""


def relabelled(table: Table) -> Table:
    """Return a table with today's labels."""
    header = [relabel(cell) for cell in table.header]
    return replace(table, header=header, rows=[[relabel(cell) for cell in row] for row in table.rows])


def relabel(text: str) -> str:
    """Return today's label for a label, or any other text unchanged."""
    return LABELS.get(text, text)
