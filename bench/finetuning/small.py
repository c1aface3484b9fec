"""Forty questions and answers of a shop, of an employee handbook and of a clinic: what a model learns with defaults.

Every question has three rewordings written by hand, which training never sees and which no rule of the package made.
An answer is right if it has the fact: a number, a name or a word. Twenty general questions, none of which is among
those that training rehearses, are asked before and after. Settings were tuned on the shop; the others are controls. The
author of the rules for rewordings wrote the shop and the handbook; who wrote the clinic knew neither rules nor code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import scratchlm as slm
from scratchlm.base.files import read_json, write_json
from scratchlm.classic.bm25 import BM25
from scratchlm.finetuning.conversations import exchange
from scratchlm.finetuning.supervised import answers_to
from scratchlm.weights.checkpoint import find_model, load_model

QUESTIONS = Path(__file__).parent / "questions"
SETS = ("shop", "handbook", "clinic")
SEEDS = (0, 1)
WITHOUT: dict[str, dict[str, Any]] = {
    "without rewordings": {"rewordings": 0},
    "without general questions": {"general": 0.0},
}
"""What defaults are compared with, on the shop and the first seed."""
ANSWER_TOKENS = 48

Row = dict[str, Any]


def rows_of(name: str) -> list[Row]:
    """Read the rows of a file of questions."""
    return [json.loads(line) for line in (QUESTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def has_fact(answer: str, facts: list[str]) -> bool:
    """Return whether one of the facts is in an answer, in words and numbers of its own: 8 is not in 18, nor in 8:30."""
    return any(
        re.search(rf"(?<![\w.:]){re.escape(fact)}(?!\w)(?![.:]\d)", answer, re.IGNORECASE) is not None for fact in facts
    )


def scores(model: Path, name: str) -> Row:
    """Let a model answer all questions of a set, and the general ones."""
    rows, general = rows_of(name), rows_of("general")
    texts = [row["question"] for row in rows + general]
    texts += [text for row in rows for text in row["rewordings"]]
    saved = load_model(find_model(model))
    answers = [answer.text for answer in answers_to(saved, [exchange(text, "-") for text in texts], ANSWER_TOKENS)]
    own, rest = answers[: len(rows)], answers[len(rows) :]
    asked, others = rest[: len(general)], rest[len(general) :]
    each = len(rows[0]["rewordings"])
    return {
        "right": sum(has_fact(text, [row["fact"]]) for text, row in zip(own, rows, strict=True)),
        "right_in_rewordings": [
            sum(has_fact(text, [row["fact"]]) for text, row in zip(others[at::each], rows, strict=True))
            for at in range(each)
        ],
        "general": asked,
        "general_right": [has_fact(text, row["right"]) for text, row in zip(asked, general, strict=True)],
    }


def tuned(init: Path, folder: Path, name: str, seed: int, **settings: Any) -> Row:
    """Fine-tune on the questions and answers of a set, unless done before; return what the model then answers."""
    run, data = folder / "run", folder / "data.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    if not (run / "report.html").exists():
        rows = [{"prompt": row["question"], "completion": row["answer"]} for row in rows_of(name)]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        slm.finetune_instruct(init=init, data=data, out=run, force=True, lora=True, seed=seed, **settings)
    if not (folder / "scores.json").exists():
        write_json(folder / "scores.json", scores(run, name))
    result, answers = read_json(run / "result.json"), read_json(folder / "scores.json")
    return {**answers, "steps": result["steps"], "seconds": round(result["seconds"], 1), "recall": result["recall"]}


def summary(before: Row, after: Row) -> Row:
    """Return the numbers of a model, of which the general ones are compared with those of before."""
    again = [one == other for one, other in zip(before["general"], after["general"], strict=True)]
    kept = [now for now, right in zip(after["general_right"], before["general_right"], strict=True) if right]
    rewordings = after["right_in_rewordings"]
    return {
        "right_of_40": after["right"],
        "right_in_rewordings_of_40": rewordings,
        "mean_in_rewordings": round(sum(rewordings) / len(rewordings), 1),
        "general_same_of_20": sum(again),
        "general_right_before_and_after": f"{sum(kept)} of {len(kept)}",
        **{key: after[key] for key in ("steps", "seconds", "recall") if key in after},
    }


def searched(name: str) -> Row:
    """Return for how many rewordings BM25 finds the question, whose answer is then right."""
    rows = rows_of(name)
    index = BM25([row["question"] for row in rows])
    each = range(len(rows[0]["rewordings"]))
    sets = [index.nearest([row["rewordings"][at] for row in rows]) for at in each]
    right = [sum(number == at for at, number in enumerate(numbers)) for numbers in sets]
    return {"right_in_rewordings_of_40": right, "mean_in_rewordings": round(sum(right) / len(right), 1)}


def measure(init: Path, folder: Path) -> Row:
    """Fine-tune with defaults on all sets and seeds, and without each part on the first set."""
    results: Row = {"task": "40 questions and answers, LoRA with defaults, 3 rewordings of each written by hand"}
    for name in SETS:
        before = scores(init, name)
        models = {f"seed {seed}": tuned(init, folder / f"{name}-{seed}", name, seed) for seed in SEEDS}
        for label, settings in WITHOUT.items() if name == SETS[0] else ():
            models[label] = tuned(init, folder / f"{name}-{label.replace(' ', '-')}", name, SEEDS[0], **settings)
        results[name] = {
            "before": summary(before, before),
            "BM25": searched(name),
            **{label: summary(before, after) for label, after in models.items()},
        }
    return results
