"""Result files: settings, model, and the scores of each item; written, read, compared and replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.config import from_dict
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_json
from scratchlm.base.result import Result
from scratchlm.base.sealed import read_sealed, sealed
from scratchlm.base.statistics import Comparison, comparison_of
from scratchlm.evaluation.scoring import ItemRecord, Score, TaskResult, mean_over_sets

FORMAT, KIND = 1, "scratchlm evaluation"


@dataclass(repr=False)
class TasksResult(Result):
    """The scores of a model."""

    model: str
    model_digest: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    tasks: list[TaskResult]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, sealed with a hash so that a manual change is detected."""
        return sealed(KIND, FORMAT, {**vars(self), "tasks": [task.as_dict() for task in self.tasks]})

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        titles = ["task", "items", "score, percent", "value", "95% interval", "guessing", "shuffled"]
        table = Table(*titles if any(task.shuffled for task in self.tasks) else titles[:-1], box=None, pad_edge=False)
        for task in self.tasks:
            first = [task.name, f"{task.items:,}" + (f" of {task.drawn:,}" if task.drawn > task.items else "")]
            for name, score in task.scores.items():
                table.add_row(*first, *_cells(task, name, score))
                first = ["", ""]
        return Group(table, *self._notes())

    def _notes(self) -> list[str]:
        """Return the notes below the table: conventions, sources of human scores, contamination, time."""
        lines = [f"{name}: {said}" for name, said in {t.name: t.convention for t in self.tasks if t.convention}.items()]
        lines += [f"people at {t.name}: {t.human:.1%} ({t.human_source})" for t in self.tasks if t.human is not None]
        lines += [
            f"{task.name}: {task.contaminated:.1%} of the items occur mostly in the training text (contamination)"
            for task in self.tasks
            if task.contaminated is not None
        ]
        return [*lines, f"{self.seconds:.1f} s"]


def _cells(task: TaskResult, name: str, score: Score) -> list[str]:
    """Return the cells of a score: name, value, interval, guessing and the shuffled baseline."""
    beside = [_shown(name, task.chance) if name.startswith("accuracy") else ""]
    if task.shuffled is not None:
        beside.append(_shown(name, task.shuffled[name].value))
    return [name, _shown(name, score.value), " to ".join(_shown(name, end) for end in score.interval), *beside]


def _shown(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "" if value is None else "?"
    if name == "nats":
        return f"{value:.3f} nats"
    return f"{value:.2f}" if name == "perplexity" else f"{100 * value:.1f}"


def write_result(path: Path, result: TasksResult) -> None:
    """Write a result file."""
    write_json(path, result.as_dict())


def read_result(path: Path) -> TasksResult:
    """Read a result file.

    Raises `UserError` for a file that is no result, was written by another version, or was changed manually.
    """
    body = read_sealed(path, KIND, FORMAT, "scratchlm evaluate --task --out")
    for task in body["tasks"] if isinstance(body.get("tasks"), list) else []:
        for scores in (task.get("scores"), task.get("shuffled")) if isinstance(task, dict) else ():
            for score in scores.values() if isinstance(scores, dict) else ():
                _restore(score)
    return from_dict(TasksResult, body, str(path))


def _restore(score: Any) -> None:
    """Restore infinities, which JSON cannot store: the error and the interval's ends of a single item."""
    if isinstance(score, dict):
        score |= {key: math.inf for key in ("value", "error") if score.get(key, 0) is None}
        ends = score.get("interval")
        if isinstance(ends, list):
            widest = (-math.inf, math.inf)
            score["interval"] = [far if end is None else end for end, far in zip(ends, widest, strict=False)]


@dataclass(frozen=True)
class TaskDifference:
    """The difference of two models in one score of one task."""

    task: str
    score: str
    items: int
    first: float
    second: float
    comparison: Comparison


@dataclass(repr=False)
class ComparisonResult(Result):
    """Two results, compared item by item."""

    first: str
    second: str
    compared: list[TaskDifference] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Scores that are not a mean over items, such as F1, and so cannot be compared."""
    judged: dict[str, Any] | None = None
    """The counts of a judge's verdicts, where there was a judge."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        compared = [{**asdict(each), "comparison": each.comparison._asdict()} for each in self.compared]
        return {**asdict(self), "compared": compared}

    def __rich__(self) -> Any:
        lines = [f"first: {self.first}", f"second: {self.second}"]
        lines.append("differences, second minus first, on the same items:")
        for each in self.compared:
            c = each.comparison
            lines += [
                f"{each.task}, {each.score}, {each.items:,} items; minimum detectable difference "
                f"{_gap(each, c.detectable)} (80% power)",
                f"  {_shown(each.score, each.first)} and {_shown(each.score, each.second)}: {_gap(each, c.difference)} "
                f"({_gap(each, c.interval.low)} to {_gap(each, c.interval.high)}), p = {c.p_value:.2g}"
                + ("" if c.p_value < 0.05 else "; not significant"),
            ]
        if self.left_out:
            lines.append(f"not compared, because they are not means over items: {'; '.join(self.left_out)}")
        return "\n".join([*lines, *([] if self.judged is None else [str(self.judged["summary"])])])


def _gap(each: TaskDifference, value: float) -> str:
    return f"{value:+.3f} nats" if each.score == "nats" else f"{100 * value:+.1f} points"


def compare_results(first: TasksResult, second: TasksResult) -> ComparisonResult:
    """Compare all scores of the tasks that two results have in common, item by item.

    Raises `UserError` where they share no task, or their items differ.
    """
    comparisons, left_out = [], []
    for task, other in pairs_of(first, second):
        names = [name for name in task.records[0].values if name in other.records[0].values]
        comparisons += [_compared(name, task, other) for name in names]
        left_out += [f"{task.name}, {name}" for name in task.scores if name not in task.records[0].values]
    if not comparisons:
        held = [", ".join(task.name for task in result.tasks) for result in (first, second)]
        raise UserError(f"--compare: the results share no task; the first has {held[0]}, the second {held[1]}")
    return ComparisonResult(first.model, second.model, comparisons, left_out)


def pairs_of(first: TasksResult, second: TasksResult) -> list[tuple[TaskResult, TaskResult]]:
    """Return the tasks of both, matched by name in order. Raises `UserError` where their items differ."""
    left = list(second.tasks)
    pairs = []
    for task in first.tasks:
        other = next((each for each in left if each.name == task.name), None)
        if other is not None:
            left.remove(other)
            if task.digest != other.digest or [r.id for r in task.records] != [r.id for r in other.records]:
                raise UserError(f"--compare: the items of {task.name} differ; evaluate both on the same file and limit")
            pairs.append((task, other))
    return pairs


def _compared(name: str, first: TaskResult, second: TaskResult) -> TaskDifference:
    one, other = ([record.values[name] for record in task.records] for task in (first, second))
    gap, error = mean_over_sets(first.records, [b - a for a, b in zip(one, other, strict=True)])
    means = [mean_over_sets(first.records, values)[0] for values in (one, other)]
    return TaskDifference(first.name, name, len(first.records), means[0], means[1], comparison_of(gap, error))


def largest_gap(first: Sequence[TaskResult], second: Sequence[TaskResult]) -> float:
    """Return the largest difference of log-likelihoods of the same items, in nats.

    Raises `UserError` where items, scores or written answers differ.
    """
    gap, problems = 0.0, []
    for task, other in zip(first, second, strict=True):
        if [record.id for record in task.records] != [record.id for record in other.records]:
            problems.append(f"{task.name}: the sampled items differ")
            continue
        pairs = list(zip(task.records, other.records, strict=True))
        changed = [a.id for a, b in pairs if a.given != b.given or _judged(a) != _judged(b)]
        if _values(task.shuffled) != _values(other.shuffled):
            problems.append(f"{task.name}: the scores with shuffled words differ")
        if changed:
            sentence = f"the results of {len(changed):,} of {len(pairs):,} items differ: {changed[:3]}"
            problems.append(f"{task.name}: {sentence}")
        gaps = [abs(x - y) for a, b in pairs for x, y in zip(a.nats, b.nats, strict=True)]
        gap = max([gap, *gaps])
    if problems:
        raise UserError("replay: " + "; ".join(problems))
    return gap


def _values(scores: Mapping[str, Score] | None) -> list[float]:
    return [] if scores is None else [round(score.value, 6) for name, score in scores.items() if name != "perplexity"]


def _judged(record: ItemRecord) -> dict[str, float]:
    """Return the scores of an item that are right or wrong, not log-likelihoods."""
    return {name: value for name, value in record.values.items() if name != "nats"}
