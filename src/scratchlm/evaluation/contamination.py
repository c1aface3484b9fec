"""Contamination: the items of a task that occur in a training text, where the model may have memorised them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchlm.evaluation.tasks import EvaluationTask
from scratchlm.text.counts import Counts, Document
from scratchlm.text.overlap import overlap_report
from scratchlm.text.sources import open_source

RUN = 8
"""Words of the n-grams that are compared, as for PaLM (Chowdhery et al. 2022, arXiv 2204.02311, section 8)."""


def contamination(task: EvaluationTask, sources: Sequence[str]) -> float:
    """Return the fraction of items of which at least 80% of the 8-grams of words occur in the training text.

    An item is its question with the right answer. One with fewer than eight words counts where a training document
    consists of exactly these words.
    """
    counts = Counts()

    def train() -> Iterator[Document]:
        for source in sources:
            yield from open_source(source).documents(counts)

    items = (Document(f"{item.prompt} {item.worked or item.answers[item.gold]}", item.id) for item in task.items)
    report = overlap_report(train(), items, run=RUN)
    counts.warn()
    return report.documents_mostly / max(1, report.documents)
