"""Sums of gradients that are sent during the backward pass, beside the same sums sent after it.

Two processes of one thread each, joined by the loopback device of a network namespace, which may be slowed to a link
of a number of megabits a second (`tc`; needs root). Both ways take turns in the same processes.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m bench.learning.hidden    without a namespace
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from scratchlm.data.batches import ArrayTokens
from scratchlm.model.decoder import build_decoder
from scratchlm.pretraining.compute_optimal import random_tokens
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.training.distributed.copies import Copies
from scratchlm.training.distributed.gradient_sums import GradientSums
from scratchlm.training.distributed.ranks import joined
from scratchlm.training.loop import Loop
from scratchlm.training.stages import training_batches

DEPTH, ROUNDS, STEPS, UNMEASURED = 6, 4, 3, 2
LINKS = (None, 1000, 400)
"""Megabits a second; None is the loopback device as it is."""
NAMESPACE = "scratchlm-link"


def measure() -> dict[str, Any]:
    """Return seconds of a step both ways, and of waiting for sums, over each link."""
    times = []
    for link in LINKS:
        with _namespace(link) as inside:
            command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", __name__]
            done = subprocess.run([*inside, sys.executable, *command], capture_output=True, text=True, check=True)
        times.append({"megabits a second": link, **json.loads(done.stdout.splitlines()[-1])})
        print(times[-1], flush=True)
    return {"task": f"default at depth {DEPTH}, two processes of one thread", "links": times}


@contextmanager
def _namespace(link: int | None) -> Iterator[list[str]]:
    inside = ["ip", "netns", "exec", NAMESPACE]
    slow = f"tc qdisc add dev lo root tbf rate {link}mbit burst 256kb latency 50ms"
    try:
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        if link is not None:
            subprocess.run([*inside, *slow.split()], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)


def main() -> None:
    """Train a few steps each way by turns on the ranks of torchrun; the first prints the medians as JSON."""
    torch.set_num_threads(1)
    model, training = at_depth(DEPTH)
    ids: ArrayTokens = random_tokens(model, training)
    times: dict[str, list[tuple[float, float]]] = {"during": [], "after": []}
    expect = GradientSums.expect
    with joined(torch.device("cpu")) as ranks:
        decoder = build_decoder(model, 0)
        placement = ranks.placement(decoder, torch.device("cpu"))
        loop = Loop(decoder, training_batches(ids, training, 0), training, placement=placement)
        assert isinstance(loop.place, Copies), "started by torchrun"
        steps = loop.steps()
        for turn in range(ROUNDS * 2):
            way = ("during", "after")[turn % 2]
            GradientSums.expect = expect if way == "during" else lambda self: None  # type: ignore[method-assign]
            for _ in range(UNMEASURED if turn < 2 else 0):
                next(steps)
            times[way] += [(next(steps).seconds, loop.place.sums.waited) for _ in range(STEPS)]
        if ranks.is_first:
            names = ("seconds a step", "seconds of waiting")
            medians = {
                way: dict(zip(names, map(statistics.median, zip(*values, strict=True)), strict=True))
                for way, values in times.items()
            }
            print(json.dumps(medians))


if __name__ == "__main__":
    main()
