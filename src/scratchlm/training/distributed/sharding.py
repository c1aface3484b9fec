"""Sharding: each rank holds a part of every weight, gradient and optimizer state, by PyTorch's FSDP2 (`fully_shard`).

A block's weights are gathered when it computes and dropped again; its gradient is summed over ranks and kept in parts
(Rajbhandari et al. 2019, arXiv 1910.02054, stage 3; Zhao et al. 2023, arXiv 2304.11277). In hybrid form the ranks of
one machine hold a model between them, and machines hold copies. What is saved and looked at is the whole model, which
the first rank collects, a tensor at a time: a checkpoint is the same folder, however many ranks wrote it.
"""

from __future__ import annotations

import os
from typing import cast

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from scratchlm.base.errors import raise_all
from scratchlm.model.decoder import Decoder, outline
from scratchlm.training.config import ShardingName, TrainingConfig
from scratchlm.training.distributed.parts import part_like, whole
from scratchlm.training.distributed.ranks import Ranks


class Shards:
    """A decoder in parts on the ranks, beside the whole one that the first rank holds."""

    def __init__(self, held: Decoder, device: torch.device, ranks: Ranks, how: ShardingName) -> None:
        """Cut a decoder of the shape of `held`. Raises `UserError` where the ranks cannot be divided so."""
        mesh, self.held, self.ranks, self.decoder = _mesh(device, ranks, how), held, ranks, outline(held.config)
        for part in [*self.decoder.blocks, self.decoder]:
            fully_shard(part, mesh=mesh)
            module = cast(FSDPModule, part)
            module.set_gradient_divide_factor(1.0)  # the loss is divided by the targets of all ranks already
            module.set_force_sum_reduction_for_comms(enable=True)  # gloo knows no other
        register_fsdp_forward_method(self.decoder, "hidden")
        self.decoder.to_empty(device=device)
        self.decoder.restore_tables()
        self.spread()

    @torch.no_grad()
    def spread(self) -> None:
        """Copy the weights that the first rank holds into the parts of all ranks."""
        for held, part in zip(self.held.parameters(), self.decoder.parameters(), strict=True):
            assert isinstance(part, DTensor)
            first = self.ranks.is_first
            value = held.to(part.device) if first else torch.empty(held.shape, dtype=held.dtype, device=part.device)
            self.ranks.copy_from_first([value])
            part.to_local().copy_(cast(DTensor, part_like(value, part)).to_local())

    @torch.no_grad()
    def collect(self) -> None:
        """Copy the parts of all ranks into the decoder that the first rank holds."""
        for part, held in zip(self.decoder.parameters(), self.held.parameters(), strict=True):
            value = whole(part.detach())
            if self.ranks.is_first:
                held.copy_(value)

    def drop_gathered(self) -> None:
        """Drop what a forward pass gathered and no backward pass has dropped."""
        cast(FSDPModule, self.decoder).reshard()


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
