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
from torch.distributed.tensor import DTensor, distribute_tensor

from scratchlm.base.errors import UserError
from scratchlm.model.decoder import Decoder, outline
from scratchlm.training.config import ShardingName
from scratchlm.training.parts import whole
from scratchlm.training.ranks import Ranks


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
            part.to_local().copy_(distribute_tensor(value, part.device_mesh, part.placements).to_local())

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


def _mesh(device: torch.device, ranks: Ranks, how: ShardingName) -> DeviceMesh:
    if how == "full":
        return init_device_mesh(device.type, (ranks.size,))
    near = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    if ranks.size % near:
        raise UserError(
            f"--sharding hybrid: {ranks.size} ranks, {near} on this machine; start equally many on every machine"
        )
    return init_device_mesh(device.type, (ranks.size // near, near), mesh_dim_names=("replicate", "shard"))
