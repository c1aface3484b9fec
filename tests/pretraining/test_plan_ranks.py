"""What a plan says of one rank of many, by hand and by what PyTorch itself holds and sends on pretended ranks."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
import torch

from commands import fails, run
from scratchlm.model.decoder import outline
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.rank_plan import plan_of_rank
from scratchlm.training.config import AdamWConfig, TrainingConfig

ADAM = TrainingConfig(optimizer=AdamWConfig(), batch_size=64, sequence_length=256)
SIZES = {"1B": (2048, 18), "7B": (4096, 32)}
TRACKED = """
import dataclasses, sys, torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from scratchlm.model import network
from scratchlm.model.decoder import Decoder
from scratchlm.model.presets import qwen3_shaped

class Collectives(TorchDispatchMode):  # counts the bytes that go through each kind
    def __init__(self):
        super().__init__()
        self.bytes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "c10d":
            whole = max(each.numel() * each.itemsize for each in args if isinstance(each, torch.Tensor))
            name = function.overloadpacket.__name__
            self.bytes[name] = self.bytes.get(name, 0) + whole
        return function(*args, **(kwargs or {}))


width, layers, rows = map(int, sys.argv[1:])
dist.init_process_group("fake", rank=0, world_size=64, store=FakeStore())
mesh = init_device_mesh("cpu", (64,))
with FakeTensorMode():
    shape = qwen3_shaped(32_000, width=width, layers=layers, context=256, head_dim=64)
    decoder = Decoder(shape)
    for part in [*decoder.blocks, decoder]:
        fully_shard(part, mesh=mesh)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    tracker = FSDPMemTracker(decoder, optimizer)
    with tracker, Collectives() as collectives:
        for _ in range(2):
            collectives.bytes = {}
            ids = torch.zeros(rows, 256, dtype=torch.long)
            logits = decoder(ids)
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()
            tracker.reset_mod_stats()
    peak = tracker.get_tracker_snapshot("peak")
    for device, parts in peak.items():
        print({str(kind): value for kind, value in parts.items()})
print(collectives.bytes)
"""


def test_parts_and_copies_are_counted() -> None:
    decoder = outline(qwen3_shaped(4096, width=256, layers=6, context=256, head_dim=32))
    numbers = decoder.parameter_count()
    whole, full, hybrid = (plan_of_rank(decoder, ADAM, torch.float32, 16, how, 4) for how in ("none", "full", "hybrid"))
    assert (whole.memory.weights, full.memory.weights, hybrid.memory.weights) == (
        4 * numbers,
        4 * numbers // 16,
        4 * numbers // 4,
    )
    assert whole.sent == round(4 * 2 * 15 / 16 * numbers)  # a sum in a ring: there and back
    blocks = sum(weight.numel() for weight in decoder.blocks.parameters())
    assert full.sent == round(4 * 15 / 16 * (2 * blocks + (numbers - blocks) + numbers))
    assert full.total < hybrid.total < whole.total
    assert (whole.first, full.first) == (0, 4 * numbers)
    muon = plan_of_rank(
        decoder, dataclasses.replace(ADAM, optimizer=TrainingConfig().optimizer), torch.float32, 16, "full", 4
    )
    assert muon.sent > full.sent


def test_a_plan_tells_of_a_rank(capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "plan", "gpt2", "--no-probe", "--ranks", "64", "--sharding", "full")[1]
    assert "each of 64 ranks" in told
    assert "has no part with one rank" in fails(capsys, "plan", "tiny", "--sharding", "full", code=2)
    odd = ("plan", "tiny", "--sharding", "hybrid", "--ranks", "12", "--ranks-per-machine", "5")
    assert "12 ranks are not divisible by the 5" in fails(capsys, *odd, code=2)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_64_ranks_hold_and_send_what_pytorch_says(size: str) -> None:
    width, layers = SIZES[size]
    rows = ADAM.batch_size // 64
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", TRACKED, str(width), str(layers), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    parts, sent = map(eval, done.stdout.splitlines()[-2:])
    decoder = outline(qwen3_shaped(32_000, width=width, layers=layers, context=256, head_dim=64))
    planned = plan_of_rank(decoder, ADAM, torch.float32, 64, "full", 8)
    total = next(value for kind, value in parts.items() if "otal" in kind)
    assert planned.total == pytest.approx(total, rel=0.1), parts
    assert sent.keys() == {"_allgather_base_", "_reduce_scatter_base_"}
    in_a_ring = 63 / 64 * sum(sent.values())  # each rank sends all but its own part of what is gathered or summed
    assert planned.sent == pytest.approx(in_a_ring, rel=0.1), sent
