"""Eight texts of unequal lengths at a time: this package beside CTranslate2, on the same weights and threads.

    python -m bench.serving.streams MODEL WORK

MODEL is a model folder, WORK a folder for what is made of it. Here a text begins when another has ended. CTranslate2
continues a batch until its longest text is written; only tokens that were asked for count. Each contender runs in a
process of its own, they take turns, and the median counts.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.serving.decoding import THREADS, prepare
from bench.store import by_turns, write

STREAMS, REQUESTS, TURNS = 8, 32, 3


class Asked(NamedTuple):
    """A prompt, and how many tokens are asked for."""

    prompt: list[int]
    new: int


def requests(seed: int = 0) -> list[Asked]:
    """Return requests: prompts of 8 to 64 tokens, 16 to 128 new ones."""
    draw = random.Random(seed)
    return [
        Asked([draw.randrange(300, 20_000) for _ in range(draw.randint(8, 64))], draw.randint(16, 128))
        for _ in range(REQUESTS)
    ]


def ours(folder: Path) -> dict[str, float]:
    """Measure this package."""
    import torch

    from scratchlm.generation.config import SamplingConfig
    from scratchlm.generation.engine import Engine
    from scratchlm.generation.requests import Request
    from scratchlm.weights.checkpoint import find_model, load_model

    torch.set_num_threads(THREADS)
    engine = Engine(load_model(find_model(folder)).decoder, rows=STREAMS, compiled=True)

    def request(asked: Asked) -> Request:
        return Request(asked.prompt, SamplingConfig(max_tokens=asked.new, temperature=0.0))

    engine.finish([request(asked._replace(new=4)) for asked in requests(1)[:STREAMS]])  # compiles
    waiting, running = requests(), dict[Request, float]()
    first: list[float] = []
    began = time.perf_counter()
    while waiting or running:
        while waiting and len(running) < STREAMS:
            added = request(waiting.pop(0))
            running[added] = time.perf_counter()
            engine.add(added)
        engine.step()
        now = time.perf_counter()
        for each in list(running):
            if len(each.new) == 1:
                first.append(now - running[each])
            if each.finish_reason is not None:
                del running[each]
    seconds = time.perf_counter() - began
    first = first[STREAMS:]  # those of the beginning come all at once
    return {
        "tokens_per_second": sum(asked.new for asked in requests()) / seconds,
        "first_token_ms": 1e3 * statistics.median(first),
        "slowest_first_token_ms": 1e3 * max(first),
    }


def ctranslate2(model: Path, work: Path, compute: str) -> dict[str, float]:
    """Measure CTranslate2."""
    from ctranslate2 import Generator
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer

    if not (work / "ct2").exists():
        TransformersConverter(str(work / "hf")).convert(str(work / "ct2"))
    generator = Generator(str(work / "ct2"), device="cpu", compute_type=compute, intra_threads=THREADS)
    names = Tokenizer.from_file(str(work / "hf" / "tokenizer.json"))

    def write_batch(batch: Sequence[Asked]) -> None:
        prompts = [[names.id_to_token(id) for id in asked.prompt] for asked in batch]
        longest = max(asked.new for asked in batch)
        generator.generate_batch(
            prompts, max_length=longest, min_length=longest, sampling_topk=1, include_prompt_in_result=False
        )

    write_batch(requests(1)[:STREAMS])
    asked = sorted(requests(), key=lambda each: each.new)  # alike lengths together waste least
    began = time.perf_counter()
    for at in range(0, REQUESTS, STREAMS):
        write_batch(asked[at : at + STREAMS])
    return {"tokens_per_second": sum(each.new for each in asked) / (time.perf_counter() - began)}


CONTENDERS: dict[str, Callable[[Path, Path], dict[str, float]]] = {
    "scratchlm, fp32": lambda model, work: ours(model),
    "scratchlm, int8": lambda model, work: ours(work / "int8"),
    "scratchlm, int4": lambda model, work: ours(work / "int4"),
    "CTranslate2, fp32": lambda model, work: ctranslate2(model, work, "float32"),
    "CTranslate2, int8": lambda model, work: ctranslate2(model, work, "int8"),
}


def measure(model: Path, work: Path, names: Sequence[str]) -> dict[str, Any]:
    """Measure all contenders by turns."""
    prepare(model, work)
    return {
        "task": f"{STREAMS} texts at a time, {THREADS} threads: {REQUESTS} requests of 8 to 64 and 16 to 128 tokens",
        "contenders": by_turns("bench.serving.streams", names, ["--one", str(model), str(work)], TURNS, unmeasured=1),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, or, with `--one`, the contender that is named first."""
    if "--one" in arguments:
        print(json.dumps(CONTENDERS[arguments[0]](Path(arguments[2]), Path(arguments[3]))))
        return
    model, work, *names = arguments
    write("serving/streams", measure(Path(model), Path(work), names or list(CONTENDERS)))


if __name__ == "__main__":
    main(sys.argv[1:])
