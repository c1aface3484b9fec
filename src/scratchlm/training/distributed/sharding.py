"""Sharding: each rank holds a part of every weight, gradient and optimizer state, by PyTorch's FSDP2 (`fully_shard`).

A block's weights are gathered when it computes and dropped again; its gradient is summed over ranks and kept in parts
(Rajbhandari et al. 2019, arXiv 1910.02054, stage 3; Zhao et al. 2023, arXiv 2304.11277). In hybrid form the ranks of
one machine hold a model between them, and machines hold copies. What is saved and looked at is the whole model, which
the first rank collects, a tensor at a time: a checkpoint is the same folder, however many ranks wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from scratchlm.base.errors import raise_all
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.decoder import Decoder, outline
from scratchlm.model.network import SequenceModel
from scratchlm.training.config import ShardingName, TrainingConfig
from scratchlm.training.distributed.parts import full_tensor, layouts, part_like
from scratchlm.training.ranks import Placement, Ranks


class Shards(Placement):
    """A decoder in parts on the ranks, beside the whole one that the first rank holds."""

    repeats = False
    writes_together = True

    def __init__(self, network: SequenceModel, device: torch.device, ranks: Ranks, how: ShardingName) -> None:
        """Cut a decoder of the shape of `network`. Raises `UserError` where the ranks cannot be divided so."""
        assert isinstance(network, Decoder)
        super().__init__(network, ranks)
        mesh, self.decoder = _mesh(device, ranks, how), outline(network.config)
        for part in [*self.decoder.blocks, self.decoder]:
            fully_shard(part, mesh=mesh)
            module = cast(FSDPModule, part)
            module.set_gradient_divide_factor(1.0)  # the loss is divided by the targets of all ranks already
            module.set_force_sum_reduction_for_comms(enable=True)  # gloo knows no other
        register_fsdp_forward_method(self.decoder, "hidden")
        self.decoder.to_empty(device=device)
        self.decoder.restore_tables()
        self.spread()

    def micro_batches(self, batch: Batch, size: int | None) -> list[Batch]:
        """Return this rank's rows; ranks compute together, so one with fewer passes on rows without targets."""
        parts = super().micro_batches(batch, size)
        row = batch.select(torch.tensor([0], device=batch.ids.device))
        empty = replace(row, targets=torch.full_like(row.targets, IGNORED))
        return parts + [empty] * (passes(len(batch.ids), self.ranks.size, size) - len(parts))

    def clip(self, limit: float) -> float:
        """Scale a gradient longer than `limit` down; return its norm before."""
        groups = layouts(self.decoder.parameters())
        norms = [
            full_tensor(torch.nn.utils.get_total_norm(p.grad for p in each if p.grad is not None)) for each in groups
        ]
        norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        self.ranks.copy_from_first([norm])  # summed in another order, it may differ in its last digit
        for each in groups:
            torch.nn.utils.clip_grads_with_norm_(each, limit, norm)
        return norm.item()

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all of tensors that lie in parts, on the first rank."""
        return super().gathered({name: full_tensor(tensor) for name, tensor in tensors.items()})

    @torch.no_grad()
    def spread(self) -> None:
        """Copy the weights that the first rank holds into the parts of all ranks."""
        for own, part in zip(self.whole.parameters(), self.decoder.parameters(), strict=True):
            assert isinstance(part, DTensor)
            first = self.ranks.is_first
            value = own.to(part.device) if first else torch.empty(own.shape, dtype=own.dtype, device=part.device)
            self.ranks.copy_from_first([value])
            part.to_local().copy_(cast(DTensor, part_like(value, part)).to_local())

    @torch.no_grad()
    def collect(self) -> None:
        """Copy the parts of all ranks into the decoder that the first rank holds."""
        for part, own in zip(self.decoder.parameters(), self.whole.parameters(), strict=True):
            value = full_tensor(part.detach())
            if self.ranks.is_first:
                own.copy_(value)

    def drop_gathered(self) -> None:
        """Drop what a forward pass gathered and no backward pass has dropped."""
        cast(FSDPModule, self.decoder).reshard()


def passes(rows: int, ranks: int, size: int | None) -> int:
    """Return how many forward passes the rank with the most of a batch's rows takes, with `size` rows in each."""
    most = -(-rows // ranks)
    return -(-most // min(size or most, most))


def require_shared(ranks: Ranks, how: ShardingName, training: TrainingConfig) -> None:
    """Raise `UserError` with all that keeps ranks from holding parts of a model as the settings say."""
    problems = []
    if training.masked_fraction:  # not all ranks would have rows of both kinds, and wait for each other
        problems.append(
            "training.masked_fraction: not beside --sharding, under which all ranks read alike; leave out one of them"
        )
    near = _near(ranks)
    if how == "hybrid" and ranks.size % near:
        problems.append(
            f"--sharding hybrid: {ranks.size} ranks, {near} on this machine; start equally many on every machine"
        )
    raise_all(problems)


def _near(ranks: Ranks) -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))


def _mesh(device: torch.device, ranks: Ranks, how: ShardingName) -> DeviceMesh:
    """Return the ranks in a grid: copies of the model, where there are any, and its parts."""
    if how == "full":
        return init_device_mesh(device.type, (ranks.size,), mesh_dim_names=("shard",))
    near = _near(ranks)
    return init_device_mesh(device.type, (ranks.size // near, near), mesh_dim_names=("replicate", "shard"))
