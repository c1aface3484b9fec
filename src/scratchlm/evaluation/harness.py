"""A model of this package in the lm-evaluation-harness, the source of the tasks and prompts of many published scores.

    import lm_eval
    from scratchlm.evaluation.harness import adapter
    lm_eval.simple_evaluate(model=adapter("runs/mine"), tasks=["arc_easy"])

Needs `pip install "scratchlm[interop]"`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scratchlm.base.errors import UserError
from scratchlm.base.files import write_text
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.evaluation.likelihood import ROWS, encode_requests, likelihoods
from scratchlm.evaluation.prompting import ends_of, fitted
from scratchlm.evaluation.tasks import EvaluationTask, Kind, TaskItem
from scratchlm.generation.batch import continue_batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.tokens.base import prefix_token
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

MAX_TOKENS = 256
"""Most tokens of a written answer where the task sets no limit."""


def adapter(model: str | Path | SavedModel, *, rows: int = ROWS, dtype: torch.dtype = torch.float32) -> Any:
    """Return a model as `lm_eval.api.model.LM`.

    Raises `UserError` where lm-eval is not installed or the model cannot be loaded.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError as error:
        raise UserError('lm-eval: not installed; pip install "scratchlm[interop]"') from error
    saved = model if isinstance(model, SavedModel) else load_model(find_model(Path(model)))

    class Adapter(LM):  # type: ignore[misc]
        """The three methods that the harness calls."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            asked = encode_requests(saved.tokenizer, [request.args for request in requests])
            scores = likelihoods(saved.decoder, asked, rows=rows, dtype=dtype)
            return [(each.nats, each.greedy) for each in scores]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            texts = [request.args[0] for request in requests]
            rows_of = [saved.tokenizer.encode(text) for text in texts]
            first = prefix_token(saved.tokenizer)
            return [
                -held_out_loss(saved.decoder, saved.tokenizer, ids, dtype=dtype, first=first).nats for ids in rows_of
            ]

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [_until(saved, *request.args) for request in requests]

    return Adapter()


def _until(model: SavedModel, context: str, settings: dict[str, Any]) -> str:
    """Continue a text until one of the task's stop texts, greedily unless the task samples."""
    stops = [settings["until"]] if isinstance(settings.get("until"), str) else list(settings.get("until") or ())
    most = int(settings.get("max_gen_toks", MAX_TOKENS))
    temperature = float(settings.get("temperature", 0.0)) if settings.get("do_sample") else 0.0
    begin = [] if model.tokenizer.begin_of_text is None else [model.tokenizer.begin_of_text]
    prompt = fitted([*begin, *model.tokenizer.encode(context)], most, model.decoder.config.context)
    config = SamplingConfig(max_tokens=most, temperature=temperature)
    text = model.tokenizer.decode(continue_batch(model.decoder, [prompt], config, ends_of(model))[0])
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)


def write_tasks(folder: Path, tasks: Sequence[EvaluationTask]) -> list[str]:
    """Write tasks as files that the harness reads, so that any of its models can be scored on the same items.

    Give the folder to its `TaskManager(include_path=...)`; returns the names of the tasks, one for each set. Raises
    `UserError` for tasks whose prompts differ by answer, or whose answers are written.
    """
    names = []
    for place, task in enumerate(tasks):
        if task.of.kind not in ("choices", "last word") or any(len(item.prompts) > 1 for item in task.items):
            raise UserError(f"{task.name}: cannot be written for the harness; it has this task itself")
        sets: dict[str, list[TaskItem]] = {}
        for item in task.items:
            sets.setdefault(item.set, []).append(item)
        for number, (part, items) in enumerate(sets.items()):
            name = f"scratchlm_{task.name}_{place}_{part or number}"
            _write_task(folder, name, task.of.kind, items)
            names.append(name)
    return names


def _write_task(folder: Path, name: str, kind: Kind, items: Sequence[TaskItem]) -> None:
    rows = [
        {"prompt": item.prompts[0], "answers": [a.removeprefix(" ") for a in item.answers], "gold": item.gold}
        for item in items
    ]
    data = folder / f"{name}.jsonl"
    write_text(data, "".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.absolute())}},
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "num_fewshot": 0,
    }
    if kind == "choices":
        settings |= {"output_type": "multiple_choice", "doc_to_choice": "answers", "doc_to_target": "gold"}
        metrics = ["acc", "acc_norm"]
    else:
        settings |= {"output_type": "loglikelihood", "doc_to_target": "{{' ' + answers[0]}}"}
        metrics = ["acc", "perplexity"]
    settings["metric_list"] = [{"metric": metric} for metric in metrics]
    write_text(folder / f"{name}.yaml", json.dumps(settings, indent=1))  # JSON is YAML
