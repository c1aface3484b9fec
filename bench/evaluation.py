"""Scores of tasks compared with the lm-evaluation-harness with transformers, on the same items, and their speed.

    python -m bench.evaluation --init smollm2

`--init` is the folder that `scratchlm import` wrote of SmolLM2-135M-Instruct; SCRATCHLM_DATA names the folder that
holds evaluate/. Needs `pip install -e ".[interop]"`. Both in fp32, 16 texts at a time,
each at its defaults: answers without a prompt (BLiMP's sentences) follow the tokenizer's BOS token, else its EOS token.
The result names it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.store import data_file, write

from scratchlm.evaluation.harness import write_tasks
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.evaluation.prompting import Prompting, ask
from scratchlm.evaluation.tasks import EvaluationTask, TaskItem, read_task
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

FILES = {
    "arc-easy": ("evaluate/arc_easy.test.jsonl", 600),
    "hellaswag": ("evaluate/hellaswag.validation-1000.jsonl", 300),
    "lambada": ("evaluate/lambada.jsonl", 600),
    "blimp": ("evaluate/blimp", 20),
}
"""Files of items, and how many of the first items of each set are used."""
ROWS = 16


def tasks() -> list[EvaluationTask]:
    """Return the tasks with the first items of each of their files."""
    found = []
    for name, (path, most) in FILES.items():
        task = read_task(f"{name}={data_file(path)}")
        sets: dict[str, list[TaskItem]] = {}
        for item in task.items:
            sets.setdefault(item.set, []).append(item)
        found.append(replace(task, items=[item for items in sets.values() for item in items[:most]]))
    return found


def theirs(folder: Path, task: EvaluationTask) -> tuple[dict[str, float], float]:
    """Return the harness's scores of a task by transformers, the mean over its sets, and the seconds."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as place:
        names = write_tasks(Path(place), [task])
        manager = TaskManager(include_path=place)
        started = time.perf_counter()
        results = lm_eval.simple_evaluate(
            model="hf", model_args=f"pretrained={folder},dtype=float32", tasks=names,
            task_manager=manager, device="cpu", batch_size=ROWS, bootstrap_iters=0,
        )["results"]  # fmt: skip
        seconds = time.perf_counter() - started
    kinds = {"acc,none": "accuracy (raw)", "acc_norm,none": "accuracy (characters)", "perplexity,none": "perplexity"}
    scores = {}
    for metric, ours in kinds.items():
        values = [results[name][metric] for name in names if metric in results[name]]
        if values:
            name = "accuracy" if task.of.kind == "last word" and metric == "acc,none" else ours
            scores[name] = sum(values) / len(values)
    return scores, seconds


def across_batches(model: SavedModel, task: EvaluationTask) -> float:
    """Return the largest relative difference of log-likelihoods between batch sizes 1, 3 and 16."""
    texts = [(item.prompts[0], answer) for item in task.items[:32] for answer in item.answers]
    requests = encode_requests(model.tokenizer, texts)
    found = [[each.nats for each in likelihoods(model.decoder, requests, rows=rows)] for rows in (1, 3, 16)]
    return max(abs(one - other) / abs(one) for others in found[1:] for one, other in zip(found[0], others, strict=True))


def measure(init: Path) -> dict[str, Any]:
    """Score all tasks with both programs."""
    model = load_model(find_model(init))
    found = {}
    with tempfile.TemporaryDirectory() as place:
        exported = Path(place) / "hf"
        subprocess.run([sys.executable, "-m", "scratchlm", "export", init, "--to", "hf", "--out", exported], check=True)
        for task in tasks():
            started = time.perf_counter()
            result = ask(model, task, Prompting(rows=ROWS))
            seconds = time.perf_counter() - started
            scores, their_seconds = theirs(exported, task)
            found[task.name] = {
                "items": result.items,
                "start": result.start,
                "ours": {name: score.value for name, score in result.scores.items()},
                "theirs": scores,
                "seconds": {"ours": seconds, "theirs": their_seconds},
            }
            print(task.name, found[task.name], flush=True)
        gap = across_batches(model, tasks()[0])
    title = "SmolLM2-135M-Instruct beside the lm-evaluation-harness with transformers"
    return {"task": title, "largest_relative_gap_across_batches": gap, "tasks": found}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", type=Path, required=True, help="model folder of SmolLM2-135M-Instruct")
    print(write("evaluation", measure(parser.parse_args().init)))


if __name__ == "__main__":
    main()
