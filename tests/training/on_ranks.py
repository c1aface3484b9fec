"""One step in all combinations of micro-batches, packing and sharing, on the ranks of torchrun; gradients to a file.

torchrun --nproc-per-node 2 tests/training/on_ranks.py FILE
"""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.config import DecoderConfig, ExpertsConfig, NgramEmbeddingConfig
from scratchlm.training.config import SpikeConfig, TrainingConfig
from scratchlm.training.distributed import gradient_sums
from scratchlm.training.distributed.copies import Copies
from scratchlm.training.distributed.parts import full_tensor
from scratchlm.training.distributed.ranks import joined
from scratchlm.training.loop import Loop
from scratchlm.training.microbatches import NO_MEMORY
from scratchlm.training.ranks import Ranks
from toys import TOYS, VOCABULARY, random_decoder, random_ids, toy_config

MICRO = (None, 1, 3, 8)
PACKED = (False, True)
ROWS = {"as many as ranks or more": 8, "not divisible": 5, "fewer than ranks": 1}


def attending(**changes: object) -> DecoderConfig:
    """A toy whose attention is another one."""
    config = toy_config("default")
    return replace(config, attention=replace(config.attention, **changes))


SHAPES = {
    **{name: toy_config(name) for name in TOYS},
    "norms of all heads": attending(qk_norm_span="all"),
    "windows, biases, a cap": attending(window=5, softcap=20.0, bias=True, output_bias=True),
    "experts": toy_config("default", feed_forward=ExpertsConfig(hidden=16, experts=4, chosen=2)),
    "n-grams": toy_config("tiny", ngrams=NgramEmbeddingConfig(longest=3, rows=500)),
}

CPU = torch.device("cpu")


def batch_of(rows: int, packed: bool) -> Batch:
    """Rows with different numbers of targets; packed ones hold three documents each."""
    ids, targets = random_ids(rows, 16), random_ids(rows, 16, seed=2)
    for row in range(rows):
        targets[row, 4 + 2 * row :] = IGNORED
    documents = torch.tensor([1] * 5 + [2] * 7 + [3] * 4).expand(rows, -1).contiguous() if packed else None
    return Batch(ids, targets, documents)


def step(
    rows: int, packed: bool, micro: int | None, ranks: Ranks, sharding: str, shape: str = "speedrun"
) -> dict[str, torch.Tensor]:
    """Return loss and gradients of one step."""
    decoder, found = random_decoder(SHAPES[shape]), dict[str, torch.Tensor]()
    config = TrainingConfig(steps=1, batch_size=rows, micro_batch_size=micro, clip=None)
    batches = lambda state: iter([(batch_of(rows, packed), {"index": 1})])  # noqa: E731
    loop = Loop(decoder, batches, config, placement=ranks.placement(decoder, CPU, sharding))
    loop.optimizers.step = lambda: found.update(  # type: ignore[method-assign]
        {name: full_tensor(p.grad).clone() for name, p in loop.decoder.named_parameters() if p.grad is not None}
    )
    (record,) = loop.steps()
    told = {"loss": record.loss, "gradient norm": record.gradient_norm}
    return {**{name: torch.tensor(value, dtype=torch.float64) for name, value in told.items()}, **found}


def interrupted(ranks: Ranks, error: Exception, failing: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return the gradients of a step whose last backward pass failed near its end on some ranks.

    Where memory was too small the step computes it again; after another error it is begun anew. And how many sums were
    on their way by then, of how many: those of the layers that come last.
    """
    decoder, found, told = random_decoder(toy_config("default")), dict[str, torch.Tensor](), list[int]()

    def fail_once(_: torch.Tensor) -> None:
        if isinstance(loop.place, Copies) and (sums := loop.place.sums).sent and not told:
            told.extend((len(sums.sent), len(sums.buckets)))
            if ranks.rank in failing:
                raise error

    decoder.embedding.weight.register_post_accumulate_grad_hook(fail_once)  # before the sums' own
    config = TrainingConfig(steps=1, batch_size=8, micro_batch_size=2, clip=None)
    loop = Loop(
        decoder, lambda state: iter([(batch_of(8, False), {})]), config, placement=ranks.placement(decoder, CPU)
    )
    loop.optimizers.step = lambda: found.update(  # type: ignore[method-assign]
        {name: p.grad.clone() for name, p in loop.decoder.named_parameters() if p.grad is not None}
    )
    try:
        (record,) = loop.steps()
    except ValueError:
        loop.optimizers.zero_grad()
        (record,) = loop.steps()
    halved = sum(ranks.from_all(record.smaller_micro_batch is not None))
    return {**found, "told": torch.tensor([*told, halved])}


def let_go(ranks: Ranks) -> dict[str, torch.Tensor]:
    """Return whether a model is freed with its loop."""
    decoder = random_decoder(toy_config("default"))
    weight = weakref.ref(decoder.embedding.weight)
    loop = Loop(
        decoder,
        lambda state: iter([(batch_of(4, False), {})]),
        TrainingConfig(steps=1),
        placement=ranks.placement(decoder, CPU),
    )
    list(loop.steps())
    del decoder, loop
    gc.collect()
    return {"freed": torch.tensor(weight() is None)}


def averaged(ranks: Ranks, sharding: str = "none") -> dict[str, torch.Tensor]:
    """Return the weights after steps whose averages take their place."""
    found = {}
    for name, share in {"tail": {"tail_average": 0.5}, "ema": {"ema_decay": 0.8}}.items():
        decoder = random_decoder(toy_config("default"))
        config = TrainingConfig(steps=4, batch_size=4, **share)
        loop = Loop(
            decoder,
            lambda state: iter([(batch_of(4, False), {})] * 4),
            config,
            placement=ranks.placement(decoder, CPU, sharding),
        )
        list(loop.steps())
        loop.place.collect()
        found |= {f"{name} {each}": p.detach().clone() for each, p in decoder.named_parameters()}
    return found


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
    loop = Loop(decoder, batches, config, placement=ranks.placement(decoder, CPU, sharding), skipped=folder)
    loop.describe = lambda batch, losses: {"losses": losses.tolist()}
    records = list(loop.steps())
    loop.place.collect()
    rows = torch.tensor([float(record.left_out) for record in records])
    return {"rows": rows, **{name: p.detach().clone() for name, p in decoder.named_parameters()}}


def held_by_one(ranks: Ranks, sharding: str) -> list[int]:
    """Return how many numbers a rank holds of weights and optimizer, and how many there are."""
    decoder = random_decoder(toy_config("default"))
    config = TrainingConfig(steps=1, batch_size=4)
    loop = Loop(
        decoder,
        lambda state: iter([(batch_of(4, False), {})]),
        config,
        placement=ranks.placement(decoder, CPU, sharding),
    )
    list(loop.steps())
    tensors = [*loop.decoder.parameters(), *loop.optimizers.tensors().values()]
    local = sum(each.to_local().numel() for each in tensors if hasattr(each, "to_local"))
    return [local, sum(each.numel() for each in tensors if each.dim())]


def main() -> None:
    gradient_sums.BUCKET = 500  # several sums for a toy
    with joined(torch.device("cpu")) as ranks:
        found = {
            f"{name}, packed {packed}, micro {micro}": step(rows, packed, micro, ranks, "none")
            for name, rows in ROWS.items()
            for packed in PACKED
            for micro in MICRO
        }
        found["left out"], found["averaged"] = left_out(ranks), averaged(ranks)
        found["without memory"] = interrupted(ranks, RuntimeError(NO_MEMORY), [ranks.size - 1])
        found["begun anew"] = interrupted(ranks, ValueError("a bug"), range(ranks.size))
        found["let go"] = let_go(ranks)
        if ranks.size > 1:
            found["averaged, full"] = averaged(ranks, "full")
        if ranks.size < 4:
            sharding = "none" if ranks.size == 1 else "full"
            found |= {f"shape {name}": step(5, True, None, ranks, sharding, name) for name in SHAPES}
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
