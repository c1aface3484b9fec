"""Pretraining by Ray Train on the machines of a Ray cluster, or on this one.

    python launch/on_ray.py WORKERS pretrain default --data DATA --out RUN --threads 1 [FLAGS OF PRETRAIN ...]

DATA and RUN lie where every machine sees them. A worker that dies is replaced, and all go on from the last checkpoint.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer


def train(config: dict[str, Any]) -> None:
    """Run the command as one of the ranks that Ray has joined."""
    from scratchlm.cli import main

    arguments = list(config["arguments"])
    run = Path(arguments[arguments.index("--out") + 1])
    if (run / "recipe.toml").exists():
        arguments = ["pretrain", "--resume", str(run)]
    try:
        main(arguments)
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"scratchlm ended with {stop.code}; its message is in the log of this worker") from stop


def from_here(arguments: list[str]) -> list[str]:
    """Return the arguments with whole paths: workers have a current folder of their own."""
    places = [index + 1 for index, each in enumerate(arguments) if each in ("--data", "--out")]
    return [os.path.abspath(each) if index in places else each for index, each in enumerate(arguments)]


if __name__ == "__main__":
    TorchTrainer(
        train,
        train_loop_config={"arguments": from_here(sys.argv[2:])},
        scaling_config=ray.train.ScalingConfig(num_workers=int(sys.argv[1])),
        run_config=ray.train.RunConfig(failure_config=ray.train.FailureConfig(max_failures=3)),
    ).fit()
