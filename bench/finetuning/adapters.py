"""Low-rank adapters compared with PEFT on transformers: tokens per second and memory, same model, batches and dtype.

Each contender runs in its own process, so that its peak memory is its own; they take turns, and the median counts.
All texts have one length, so no batch has padding.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.store import by_turns

from scratchlm.finetuning.config import FinetuneConfig
from scratchlm.model.loraconfig import LoRAConfig

ROWS, LENGTH, STEPS, TURNS = 8, 128, 6, 3
RANK, ALPHA = 8, 16.0


def step_of(
    model: torch.nn.Module, loss_of: Callable[[torch.Tensor], torch.Tensor], size: int
) -> Callable[[int], None]:
    """Return a training step of what may be trained of a model, on rows of random ids below `size`."""
    trained = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def step(seed: int) -> None:
        ids = torch.from_numpy(np.random.default_rng(seed).integers(0, size, (ROWS, LENGTH + 1)))
        loss_of(ids).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def scratchlm_step(init: Path, dtype: str, nf4: bool = False) -> Callable[[int], None]:
    """Return a training step of this package: a model with adapters as `finetune --lora` sets it up."""
    from scratchlm.base.device import DTYPES, autocast
    from scratchlm.data.batches import Batch
    from scratchlm.finetuning.driver import equip
    from scratchlm.training.loss import next_token_loss
    from scratchlm.weights.checkpoint import find_model, load_model

    model = load_model(find_model(init))
    equip(model, FinetuneConfig(init=init, lora=True, adapter=LoRAConfig(RANK, ALPHA), nf4=nf4))

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        whole = Batch(ids[:, :-1], ids[:, 1:])
        with autocast(torch.device("cpu"), DTYPES[dtype]):
            return next_token_loss(model.decoder, whole) / whole.target_count

    return step_of(model.decoder, loss_of, model.decoder.config.vocabulary_size)


def peft_on_transformers(folder: Path, dtype: str) -> Callable[[int], None]:
    """Return a training step of PEFT on the same weights, exported, with adapters on the same matrices."""
    import peft
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapter = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, adapter)

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            logits = model(input_ids=ids[:, :-1], labels=None).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())

    return step_of(model, loss_of, model.config.vocab_size)


CONTENDERS: dict[str, Callable[[Path, Path], Callable[[int], None]]] = {
    "scratchlm, fp32": lambda init, hf: scratchlm_step(init, "fp32"),
    "PEFT on transformers, fp32": lambda init, hf: peft_on_transformers(hf, "fp32"),
    "scratchlm, bf16": lambda init, hf: scratchlm_step(init, "bf16"),
    "PEFT on transformers, bf16": lambda init, hf: peft_on_transformers(hf, "bf16"),
    "scratchlm, bf16, four bits": lambda init, hf: scratchlm_step(init, "bf16", nf4=True),
}


def run_one(name: str, init: Path, hf: Path) -> dict[str, float]:
    """Time one contender in this process, after a warm-up step."""
    import resource

    step = CONTENDERS[name](init, hf)
    step(0)
    started = time.perf_counter()
    for seed in range(1, STEPS + 1):
        step(seed)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens_per_second": STEPS * ROWS * LENGTH / seconds, "peak_mib": peak}


def measure(init: Path, folder: Path) -> dict[str, Any]:
    """Measure all contenders by turns."""
    hf = folder / "hf"
    if not hf.exists():
        subprocess.run([sys.executable, "-m", "scratchlm", "export", init, "--to", "hf", "--out", hf], check=True)
    return {
        "task": f"LoRA of rank {RANK} on all matrices, {ROWS} rows of {LENGTH} tokens",
        "contenders": by_turns("bench.finetuning.adapters", list(CONTENDERS), [str(init), str(hf)], TURNS),
    }


if __name__ == "__main__":
    print(json.dumps(run_one(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
