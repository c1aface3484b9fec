"""Draw the table of fine-tuning and evaluation in docs/benchmarks.md from the result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.store import read, write_between_marks

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
MODEL = "SmolLM2-135M with LoRA"


def span(interval: Sequence[float], factor: float = 1.0, digits: int = 3) -> str:
    """Return an interval as text."""
    low, high = (f"{factor * value:.{digits}f}" for value in interval)
    return f"{low} to {high}"


def spam(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the rows of spam."""
    ours = result["methods"][MODEL]
    others = {name: each for name, each in result["methods"].items() if name != MODEL}
    beside = ", ".join(f"{name} {each['f1']:.3f}" for name, each in others.items())
    yield (
        f"SMS spam, {result['messages']:,} messages each tested once in five folds, SmolLM2-135M-Instruct with LoRA",
        f"F1 {ours['f1']:.3f} ({span(ours['f1_interval'])}), at the threshold of other folds "
        f"{ours['f1_at_threshold']:.3f} ({span(ours['f1_at_threshold_interval'])}); average precision "
        f"{ours['average_precision']:.3f}; {sorted(ours['seconds_a_fold'])[2] / 60:.0f} minutes a fold",
        f"F1: {beside}",
    )


def banking(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the row of intents."""
    (name, accuracy), *_ = result["beside"].items()
    yield (
        "banking77, 77 intents, its test file, SmolLM2-135M-Instruct with LoRA",
        f"accuracy {result['accuracy']:.1%} ({span(result['accuracy_interval'], 100, 1)}); "
        f"{result['seconds'] / 60:.0f} minutes",
        f"{name} {accuracy:.1%}",
    )


def instructions(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the row of instructions."""
    before, after = result["before"], result["after"]
    yield (
        f"instructions, {result['held_out']} held out, SmolLM2-135M-Instruct with LoRA",
        f"chrF {after['chrf']:.1f} ({span(after['chrf_interval'], 1, 1)}), exact {after['exact']:.0%} "
        f"({span(after['exact_interval'], 100, 0)}), {after['stopped']:.0%} end their turn; "
        f"{result['seconds'] / 60:.0f} minutes",
        f"before: chrF {before['chrf']:.1f}, exact {before['exact']:.0%}, {before['stopped']:.0%} end their turn",
    )


def preferences(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the row of preferences."""
    bits = result["bits_per_byte"]
    yield (
        f"preferences by DPO, {result['held_out']} pairs held out",
        "the preferred answer is more likely in "
        f"{result['accuracy']:.0%} ({span(result['accuracy_interval'], 100, 0)}) "
        f"and gained more than the rejected one in {result['led']:.0%}; "
        f"{bits['after']:.3f} bits per byte on a story; {result['seconds'] / 60:.0f} minutes",
        f"before: {result['accuracy_before']:.0%}, {bits['before']:.3f} bits per byte",
    )


def sums(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the row of reinforcement."""
    yield (
        "two-digit sums not in the training data, by GRPO, from a model fine-tuned on answers of which 60% were wrong",
        f"{result['score']:.1%} ({span(result['score_interval'], 100, 1)}) correct after "
        f"{result['seconds'] / 60:.0f} minutes",
        f"before: {result['score_before']:.1%}",
    )


def adapters(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the rows of speed and memory."""
    every = result["contenders"]
    for dtype in ("fp32", "bf16"):
        ours, theirs = every[f"scratchlm, {dtype}"], every[f"PEFT on transformers, {dtype}"]
        yield (
            f"LoRA on SmolLM2-135M-Instruct, {dtype}",
            f"{ours['tokens_per_second']['median']:.0f} tokens/s, {ours['peak_mib']['median'] / 1024:.2f} GiB",
            f"PEFT on transformers: {theirs['tokens_per_second']['median']:.0f} tokens/s, "
            f"{theirs['peak_mib']['median'] / 1024:.2f} GiB",
        )
    nf4, whole = every["scratchlm, bf16, four bits"], every["scratchlm, bf16"]
    yield (
        "the same with `--nf4`, bf16",
        f"{nf4['tokens_per_second']['median']:.0f} tokens/s, {nf4['peak_mib']['median']:,.0f} MiB",
        f"without it: {whole['tokens_per_second']['median']:.0f} tokens/s, {whole['peak_mib']['median']:,.0f} MiB",
    )


def evaluation(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the row of tasks beside the harness."""
    tasks = result["tasks"]
    gaps = [
        100 * abs(task["ours"][name] - task["theirs"][name])
        for task in tasks.values()
        for name in task["ours"]
        if name.startswith("accuracy") and name in task["theirs"]
    ]
    ours, theirs = (sum(task["seconds"][who] for task in tasks.values()) for who in ("ours", "theirs"))
    items = sum(task["items"] for task in tasks.values())
    yield (
        f"accuracy of SmolLM2-135M-Instruct on {', '.join(tasks)}, {items:,} items",
        f"within {max(gaps):.2f} points; {ours:.0f} s",
        f"lm-evaluation-harness with transformers, the same items: {theirs:.0f} s",
    )


ROWS = {
    "finetuning/spam": spam,
    "finetuning/banking": banking,
    "finetuning/instructions": instructions,
    "finetuning/preferences": preferences,
    "finetuning/sums": sums,
    "finetuning/adapters": adapters,
    "evaluation": evaluation,
}


def main() -> None:
    """Write the table between its marks."""
    rows = ["| what | measured | baseline |", "|---|---|---|"]
    for name, of in ROWS.items():
        if (result := read(name)) is not None:
            rows += [f"| {' | '.join(cells)} |" for cells in of(result)]
    write_between_marks(PAGE, "bench/finetuning", rows)


if __name__ == "__main__":
    main()
