"""Tokens a second of one text: this package beside transformers and llama.cpp, on the same weights and threads.

    python -m bench.serving.decoding MODEL WORK [CONTENDER ...]

MODEL is a model folder, WORK a folder for what is made of it. Each contender runs in a process of its own, they take
turns, and the median counts: of reading a prompt of 512 tokens, and of writing 128 tokens after 32 of it, the likeliest
each time. Loading and compiling are not counted; the time from the start of the process to the first token is reported
beside them, with the peak of memory. `AS=NAME` in the environment stores the result under another name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.store import by_turns, read, write

THREADS, TURNS = 2, 5
PROMPT, BEFORE, NEW = 512, 32, 128
Write = Callable[[Sequence[int], int], Iterator[int]]
"""Writes a number of tokens after a prompt, the likeliest each time."""


def ours(folder: Path) -> Write:
    """Return what writes with this package."""
    import torch

    from scratchlm.generation.config import SamplingConfig
    from scratchlm.generation.engine import Engine, stream_ids
    from scratchlm.weights.checkpoint import find_model, load_model

    torch.set_num_threads(THREADS)
    engine = Engine(load_model(find_model(folder)).decoder, compiled=True)
    return lambda prompt, new: stream_ids(engine, prompt, SamplingConfig(max_tokens=new, temperature=0.0))


def transformers(folder: Path, dtype: str) -> Write:
    """Return what writes with transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    @torch.no_grad()
    def write_after(prompt: Sequence[int], new: int) -> Iterator[int]:
        ids, cache = torch.tensor([list(prompt)]), None
        for _ in range(new):
            answer = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, ids = answer.past_key_values, answer.logits[:, -1:].argmax(-1)
            yield int(ids)

    return write_after


def llama_cpp(file: Path) -> Write:
    """Return what writes with llama.cpp."""
    from llama_cpp import Llama

    model = Llama(str(file), n_ctx=1024, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)

    def write_after(prompt: Sequence[int], new: int) -> Iterator[int]:
        model.reset()
        for count, token in enumerate(model.generate(list(prompt), temp=0.0, repeat_penalty=1.0, reset=False), 1):
            yield token
            if count == new:
                return

    return write_after


CONTENDERS: dict[str, Callable[[Path, Path], Write]] = {
    "scratchlm, fp32": lambda model, work: ours(model),
    "scratchlm, int8": lambda model, work: ours(work / "int8"),
    "scratchlm, int4": lambda model, work: ours(work / "int4"),
    "transformers, fp32": lambda model, work: transformers(work / "hf", "float32"),
    "transformers, bf16": lambda model, work: transformers(work / "hf", "bfloat16"),
    "llama.cpp, Q8_0": lambda model, work: llama_cpp(work / "q8_0" / "model.gguf"),
    "llama.cpp, Q4_1": lambda model, work: llama_cpp(work / "q4_1" / "model.gguf"),
}


def prepare(model: Path, work: Path) -> None:
    """Make what the contenders read, where it is missing."""
    run = [sys.executable, "-m", "scratchlm"]
    made: dict[str, list[str]] = {
        "hf": ["export", str(model), "--to", "hf"],
        "q8_0": ["export", str(model), "--to", "gguf", "--precision", "q8_0"],
        "q4_1": ["export", str(model), "--to", "gguf", "--precision", "q4_1"],
        "int8": ["quantize", str(model), "--to", "int8"],
        "int4": ["quantize", str(model), "--to", "int4"],
    }
    for name, command in made.items():
        if not (work / name).exists():
            subprocess.run([*run, *command, "--out", str(work / name)], check=True)


def run_one(name: str, model: Path, work: Path) -> dict[str, float]:
    """Measure one contender in this process."""
    import resource

    import psutil

    write_after = CONTENDERS[name](model, work)
    prompt = [(7 * at) % 1000 + 300 for at in range(PROMPT)]
    next(iter(write_after(prompt[:BEFORE], 1)))
    first = time.time() - psutil.Process().create_time()
    started = time.perf_counter()
    next(iter(write_after(prompt[::-1], 1)))
    read_seconds = time.perf_counter() - started
    times = [time.perf_counter() for _ in write_after(prompt[BEFORE : 2 * BEFORE], NEW)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "read_per_second": PROMPT / read_seconds,
        "written_per_second": (len(times) - 1) / (times[-1] - times[0]),
        "seconds_to_first": first,
        "peak_mib": peak,
    }


def measure(model: Path, work: Path, names: Sequence[str]) -> dict[str, Any]:
    """Measure all contenders by turns."""
    prepare(model, work)
    return {
        "task": f"one text, {THREADS} threads: {PROMPT} tokens read, {NEW} tokens written after {BEFORE}",
        "contenders": by_turns("bench.serving.decoding", names, ["--one", str(model), str(work)], TURNS, unmeasured=1),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, or, with `--one`, the contender that is named first."""
    if "--one" in arguments:
        print(json.dumps(run_one(arguments[0], Path(arguments[2]), Path(arguments[3]))))
        return
    model, work, *names = arguments
    result = measure(Path(model), Path(work), names or list(CONTENDERS))
    stored = f"serving/{os.environ.get('AS', 'decoding')}"
    before = read(stored) or {}
    write(stored, {**result, "contenders": {**before.get("contenders", {}), **result["contenders"]}})


if __name__ == "__main__":
    main(sys.argv[1:])
