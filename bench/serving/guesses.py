"""Does guessing tokens pay? Writing with and without guesses, for chat and for code, on real prompts.

    python -m bench.serving.guesses MODEL WORK [NAME=DRAFT ...]

MODEL is a folder of a model that chats, WORK the folder in which `bench.serving.decoding` keeps its forms, DRAFT
a model with the same tokenizer that guesses: a small one, or MODEL itself in int4. Chat: instructions with an input, as
in "correct this sentence". Code: beginnings of files of this package, to be continued. Each prompt is written anew by
each way in turn, the likeliest tokens each time, so all ways write the same text, which is checked. The prompt
and the first piece of text are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench.serving.decoding import THREADS, prepare
from bench.store import data_file, write

import scratchlm
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.generation.requests import Drafter, Extras
from scratchlm.generation.speculative import DraftModel, PromptLookup, WhileFaster

PROMPTS, NEW, TURNS = 8, 128, 1
PACKAGE = Path(scratchlm.__file__).parent
CODE = "base classic data evaluation finetuning generation inspection model serving text tokens training"
"""Folders of this package, the first file of each of which is a prompt."""
CODE_CHARACTERS = 1_600


def prompts(model: LanguageModel) -> dict[str, list[str]]:
    """Return prompts of each kind, those of chat with the model's template around them."""
    template = model.saved.template
    assert template is not None, "a model that chats has a template"
    tasks = json.loads(data_file("instruct/instruction-data.json").read_text(encoding="utf-8"))
    asked = [f"{each['instruction']}\n{each['input']}" for each in tasks if len(each["input"]) > 60][:PROMPTS]
    chat = [
        model.tokenizer.decode(template.render([{"role": "user", "content": each}], reply=True).ids) for each in asked
    ]
    files = [
        next(each for each in sorted((PACKAGE / name).glob("*.py")) if each.stat().st_size > CODE_CHARACTERS)
        for name in CODE.split()[:PROMPTS]
    ]
    return {"chat": chat, "code": [each.read_text(encoding="utf-8")[:CODE_CHARACTERS] for each in files]}


def ways(drafts: Mapping[str, LanguageModel]) -> Iterator[tuple[str, Callable[[], Drafter | None]]]:
    """Yield the ways of writing; each text gets a drafter of its own."""
    yield "no guesses", lambda: None
    drafters: dict[str, Callable[[], Drafter]] = {"lookup": PromptLookup}
    drafters |= {name: partial(DraftModel, draft.decoder, compiled=True) for name, draft in drafts.items()}
    for name, drafter in drafters.items():
        yield name, drafter
        yield f"{name}, while faster", lambda drafter=drafter: WhileFaster(drafter())


def measure_form(model: LanguageModel, drafts: Mapping[str, LanguageModel]) -> dict[str, Any]:
    """Write all prompts by all ways; return tokens a second and the share of right guesses by kind and way."""
    result: dict[str, Any] = {}
    for kind, texts in prompts(model).items():
        totals: dict[str, list[float]] = {name: [0.0, 0.0, 0.0, 0.0] for name, _ in ways(drafts)}
        for turn in range(-1, TURNS):  # the first turn compiles
            for text in texts[: 1 if turn < 0 else None]:
                written: list[int] | None = None
                for name, drafter in ways(drafts):
                    request = model.request(text, extras=Extras(drafter=drafter()), temperature=0.0, max_tokens=NEW)
                    pieces = model.write(request)
                    next(pieces, None)
                    began, first = time.perf_counter(), len(request.new)
                    for _ in pieces:
                        pass
                    seconds = time.perf_counter() - began
                    assert written in (None, request.new), "guesses changed the text"
                    written = request.new
                    if turn >= 0:
                        values = seconds, len(request.new) - first, request.agreed, request.proposed
                        totals[name] = [total + value for total, value in zip(totals[name], values, strict=True)]
        result[kind] = {
            name: {"tokens_per_second": tokens / seconds, "guessed": guessed / tokens, "right": right / max(guessed, 1)}
            for name, (seconds, tokens, right, guessed) in totals.items()
        }
        print(kind, json.dumps(result[kind], indent=1), flush=True)
    return result


def main(arguments: list[str]) -> None:
    """Measure each form of the model and keep the result."""
    model, work = (Path(each) for each in arguments[:2])
    drafts = {name: load(folder) for name, folder in (each.split("=", 1) for each in arguments[2:])}
    torch.set_num_threads(THREADS)
    prepare(model, work)
    forms = {"fp32": model, "int8": work / "int8", "int4": work / "int4"}
    result = {name: measure_form(load(folder), drafts) for name, folder in forms.items()}
    task = f"{PROMPTS} prompts of each kind, {NEW} tokens at most, {TURNS} turns, {THREADS} threads"
    sizes = {name: draft.decoder.parameter_count() for name, draft in drafts.items()}
    write("serving/guesses", {"task": task, "draft_parameters": sizes, "forms": result})


if __name__ == "__main__":
    main(sys.argv[1:])
