"""One step in all combinations of micro-batches and packing, on the ranks that torchrun started; gradients to a file.

torchrun --nproc-per-node 2 tests/training/on_ranks.py FILE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from scratchlm.data.batches import IGNORED, Batch
from scratchlm.training.config import SpikeConfig, TrainingConfig
from scratchlm.training.loop import Loop
from scratchlm.training.parts import whole
from scratchlm.training.ranks import Ranks, joined
from toys import VOCABULARY, random_decoder, random_ids, toy_config

MICRO = (None, 1, 3, 8)
PACKED = (False, True)
ROWS = {"as many as ranks or more": 8, "not divisible": 5, "fewer than ranks": 1}


def batch_of(rows: int, packed: bool) -> Batch:
    """Rows with different numbers of targets; packed ones hold three documents each."""
    ids, targets = random_ids(rows, 16), random_ids(rows, 16, seed=2)
    for row in range(rows):
        targets[row, 4 + 2 * row :] = IGNORED
    documents = torch.tensor([1] * 5 + [2] * 7 + [3] * 4).expand(rows, -1).contiguous() if packed else None
    return Batch(ids, targets, documents)


def step(rows: int, packed: bool, micro: int | None, ranks: Ranks, sharding: str) -> dict[str, torch.Tensor]:
    """Return loss and gradients of one step."""
    decoder, found = random_decoder(toy_config("speedrun")), dict[str, torch.Tensor]()
    config = TrainingConfig(steps=1, batch_size=rows, micro_batch_size=micro, clip=None)
    batches = lambda state: iter([(batch_of(rows, packed), {"index": 1})])  # noqa: E731
    loop = Loop(decoder, batches, config, ranks=ranks, sharding=sharding)
    loop.optimizers.step = lambda: found.update(  # type: ignore[method-assign]
        {name: whole(p.grad).clone() for name, p in loop.decoder.named_parameters() if p.grad is not None}
    )
    (record,) = loop.steps()
    return {"loss": torch.tensor(record.loss, dtype=torch.float64), **found}


def left_out(ranks: Ranks, sharding: str = "none", folder: Path | None = None) -> dict[str, torch.Tensor]:
    """Return the weights after steps of which two hold a row of random ids, and how many rows were left out."""
    decoder = random_decoder(toy_config("default"))

    def batches(state):
        for number in range(1, 41):
            ids = torch.arange(6)[:, None] + torch.arange(13)[None] + number
            ids = ids % 7
            if number in (30, 35):
                ids[4] = random_ids(1, 13, VOCABULARY, seed=number)[0]
            yield Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()), {"index": number}

    config = TrainingConfig(steps=40, batch_size=6, spikes=SpikeConfig(sigma=6.0, window=16))
    loop = Loop(decoder, batches, config, ranks=ranks, sharding=sharding, skipped=folder)
    loop.describe = lambda batch, losses: {"losses": losses.tolist()}
    records = list(loop.steps())
    loop.collect()
    rows = torch.tensor([float(record.left_out) for record in records])
    return {"rows": rows, **{name: p.detach().clone() for name, p in decoder.named_parameters()}}


def held_by_one(ranks: Ranks, sharding: str) -> list[int]:
    """Return how many numbers a rank holds of weights and optimizer, and how many there are."""
    decoder = random_decoder(toy_config("default"))
    config = TrainingConfig(steps=1, batch_size=4)
    loop = Loop(decoder, lambda state: iter([(batch_of(4, False), {})]), config, ranks=ranks, sharding=sharding)
    list(loop.steps())
    tensors = [*loop.decoder.parameters(), *loop.optimizers.tensors().values()]
    local = sum(each.to_local().numel() for each in tensors if hasattr(each, "to_local"))
    return [local, sum(each.numel() for each in tensors if each.dim())]


def main() -> None:
    with joined(torch.device("cpu")) as ranks:
        found = {
            f"{name}, packed {packed}, micro {micro}": step(rows, packed, micro, ranks, "none")
            for name, rows in ROWS.items()
            for packed in PACKED
            for micro in MICRO
        }
        found["left out"] = left_out(ranks)
        for how, near in (("full", ranks.size), ("hybrid", 2)) if ranks.size > 1 else ():
            os.environ["LOCAL_WORLD_SIZE"] = str(near)
            for name, rows in ROWS.items():
                found[f"{name}, {how}, packed True, micro 1"] = step(rows, True, 1, ranks, how)
                found[f"{name}, {how}, packed False, micro None"] = step(rows, False, None, ranks, how)
            found[f"left out, {how}"] = left_out(ranks, how, Path(sys.argv[1]).with_suffix(f".{how}"))
            found[f"held, {how}"] = {"numbers": torch.tensor(held_by_one(ranks, how))}
        if ranks.is_first:
            torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()
