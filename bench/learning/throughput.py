"""Training tokens per second of the GPT-2 124M shape, four rows of 512, compared with transformers and litgpt.

Each runs in its own process, several times by turns; the median counts. All use fused AdamW, and bf16 matrix products
if they are faster on the machine, else fp32. A process runs fewer steps if they would take over a minute, and is left
out if one step takes over ten.

    python -m bench.learning.throughput ours 4      one process: seconds of four steps, as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from scratchlm.base.device import faster_dtype
from scratchlm.base.statistics import spread

ROWS, LENGTH, VOCABULARY = 4, 512, 50257
ENOUGH, PATIENCE = 60.0, 600.0
"""Time limits in seconds: of the counted steps, and of a whole process, which is then left out."""
Step = Callable[[torch.Tensor, torch.Tensor], object]


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield random ids and targets; the time of a step does not depend on their values."""
    generator = torch.Generator().manual_seed(0)
    while True:
        ids = torch.randint(VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
        yield ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def ours() -> Step:
    """Return a training step of this package's loop."""
    from scratchlm.base.memory import keep_freed_memory
    from scratchlm.data.batches import Batch
    from scratchlm.model.decoder import build_decoder
    from scratchlm.model.presets import gpt2
    from scratchlm.training.config import AdamWConfig, TrainingConfig
    from scratchlm.training.loop import Loop, RuntimeConfig

    keep_freed_memory()  # as the command does
    config = TrainingConfig(steps=10**6, batch_size=ROWS, sequence_length=LENGTH, optimizer=AdamWConfig())
    runtime = RuntimeConfig(dtype=faster_dtype())
    loop = Loop(build_decoder(gpt2(VOCABULARY)), lambda state: iter(()), config, runtime=runtime)
    return lambda ids, targets: loop.train_step(Batch(ids, targets))


def transformers() -> Step:
    """Return a step of transformers' GPT-2 under autocast."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, fused=True)
    dtype = faster_dtype()

    def step(ids: torch.Tensor, targets: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def litgpt() -> Step:
    """Return a step of litgpt's model in this shape with its bf16-mixed precision, or 32-true where that is faster."""
    import lightning
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    precision: Any = "bf16-mixed" if faster_dtype() == torch.bfloat16 else "32-true"
    fabric: Any = lightning.Fabric(accelerator="cpu", devices=1, precision=precision)
    shape = {"block_size": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
    model = fabric.setup(GPT(Config(**shape, vocab_size=VOCABULARY, padded_vocab_size=VOCABULARY)))
    optimizer = fabric.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=6e-4, fused=True))

    def step(ids: torch.Tensor, targets: torch.Tensor) -> None:
        fabric.backward(chunked_cross_entropy(model(ids), targets))
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


CONTENDERS: dict[str, Callable[[], Step]] = {"ours": ours, "transformers": transformers, "litgpt": litgpt}


def seconds_of(name: str, steps: int) -> list[float]:
    """Run a warm-up step, then `steps` counted steps, fewer if they take over `ENOUGH` seconds."""
    step, source = CONTENDERS[name](), batches()
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) <= steps and sum(seconds[1:]) < ENOUGH):
        ids, targets = next(source)
        started = time.perf_counter()
        step(ids, targets)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def measure(rounds: int = 3, steps: int = 4) -> dict[str, Any]:
    """Measure all installed contenders by turns; return tokens per second, and our ratio to the best peer."""
    seconds: dict[str, list[float]] = {}
    dtype = "bf16" if faster_dtype() == torch.bfloat16 else "fp32"
    for turn in range(rounds):
        for name in CONTENDERS:
            print(f"throughput: {name}, round {turn + 1} of {rounds}, in {dtype}", file=sys.stderr, flush=True)
            command = [sys.executable, str(Path(__file__)), name, str(steps)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as fault:
                late = isinstance(fault, subprocess.TimeoutExpired)
                why = f"over {PATIENCE:.0f} s" if late else fault.stderr.strip().splitlines()[-1]
                print(f"{name}: left out, {why}", file=sys.stderr, flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            seconds.setdefault(name, []).extend(found)
            speed = ROWS * LENGTH / spread(found).median
            print(f"throughput: {name}, {speed:,.0f} tokens/s", file=sys.stderr, flush=True)
    speeds = {name: ROWS * LENGTH / spread(values).median for name, values in seconds.items()}
    others = [speed for name, speed in speeds.items() if name != "ours"]
    return {
        "task": "GPT-2 124M, 4 rows of 512, tokens/s",
        "dtype": dtype,
        "tokens_per_second": speeds,
        "ratio_to_best_peer": speeds["ours"] / max(others) if others and "ours" in speeds else None,
        "seconds": seconds,
    }


if __name__ == "__main__":
    print(json.dumps(seconds_of(sys.argv[1], int(sys.argv[2]))))
