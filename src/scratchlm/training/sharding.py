"""Sharding: each rank holds a part of every weight, gradient and optimizer state, by PyTorch's FSDP2 (`fully_shard`).

A block's weights are gathered when it computes and dropped again; its gradient is summed over ranks and kept in parts
(Rajbhandari et al. 2019, arXiv 1910.02054, stage 3; Zhao et al. 2023, arXiv 2304.11277). In hybrid form the ranks of
one machine hold a model between them, and machines hold copies. Ranks may share layers and texts besides. What is saved
and looked at is the whole model, which the first rank collects, a tensor at a time: a checkpoint is the same folder,
however many ranks wrote it.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from scratchlm.base.errors import raise_all
from scratchlm.model.config import DecoderConfig, MultiTokenPredictionConfig
from scratchlm.model.decoder import Decoder, outline
from scratchlm.training.config import ShardingName, SizeWarmupConfig, TrainingConfig
from scratchlm.training.context_parallel import texts_shared
from scratchlm.training.parts import part_like, whole
from scratchlm.training.ranks import Ranks
from scratchlm.training.tensor_parallel import cut_matrices, cut_problems, sum_parts


class Shards:
    """A decoder in parts on the ranks, beside the whole one that the first rank holds."""

    def __init__(self, held: Decoder, device: torch.device, ranks: Ranks, how: ShardingName) -> None:
        """Cut a decoder of the shape of `held`. Raises `UserError` where the ranks cannot be divided so."""
        mesh, self.held, self.ranks, self.decoder = _mesh(device, ranks, how), held, ranks, outline(held.config)
        self._mesh = mesh
        self._summed: list[nn.Module] = []
        names = ("replicate", "shard") if how == "hybrid" else ("shard",)
        if ranks.tensor > 1:
            # Every gather over two dimensions of the ranks would say that it takes two steps.
            logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
            self._summed = cut_matrices(self.decoder, mesh["tensor"])
        if ranks.context > 1:
            shape = (ranks.readers, ranks.context, ranks.tensor)
            self._texts = init_device_mesh(device.type, shape, mesh_dim_names=("rows", "context", "tensor"))["context"]
        for part in [*self.decoder.blocks, self.decoder]:
            fully_shard(part, mesh=mesh[names])
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

    def texts(self) -> AbstractContextManager[None]:
        """Return in which context a loss is computed: each rank computes its own positions where texts are shared."""
        return texts_shared(self.decoder, self._texts) if self.ranks.context > 1 else nullcontext()

    def row_means(self, means: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of each row, of which this rank has the mean over a part of the targets."""
        if self.ranks.context == 1:
            return means
        sums = torch.stack([means * counts, counts.to(means.dtype)])
        torch.distributed.all_reduce(sums, group=self._texts.get_group())
        return sums[0] / sums[1].clamp(min=1)

    def finish_gradients(self) -> None:
        """Sum what ranks that share layers have each computed a part of; after the last backward pass of a step."""
        if self._summed:
            sum_parts(self._summed, self._mesh["tensor"])


def require_shared(ranks: Ranks, how: ShardingName, model: DecoderConfig, training: TrainingConfig) -> None:
    """Raise `UserError` with all that keeps ranks from sharing a model's layers and its texts as the settings say."""
    together = ranks.tensor * ranks.context
    problems = cut_problems(model, ranks.tensor) if ranks.tensor > 1 else []
    if ranks.size % together:
        problems.append(
            f"--tensor-parallel {ranks.tensor} and --context-parallel {ranks.context}: {ranks.size} ranks are no "
            f"multiple of {together}; start more or fewer"
        )
    lengths = {"sequence_length": training.sequence_length}
    if isinstance(training.size_warmup, SizeWarmupConfig):
        lengths["size_warmup.sequence_length"] = training.size_warmup.sequence_length
    problems += [
        f"--context-parallel {ranks.context}: does not divide training.{name}, {length}; take a divisor of it"
        for name, length in lengths.items()
        if length % ranks.context
    ]
    if ranks.context > 1 and isinstance(model.multi_token_prediction, MultiTokenPredictionConfig):
        problems.append("--context-parallel: not beside model.multi_token_prediction, whose targets lie in two parts")
    if training.masked_fraction:  # not all ranks would have rows of both kinds, and wait for each other
        problems.append(
            "training.masked_fraction: not beside --sharding, under which all ranks read alike; leave out one of them"
        )
    if together > 1 and training.compile:
        problems.append("training.compile: not where ranks share layers or texts; leave it out")
    near = _near(ranks)
    if how == "hybrid" and (ranks.size % near or near % together):
        problems.append(
            f"--sharding hybrid: {ranks.size} ranks, {near} on this machine, {together} that share; start equally many "
            "on every machine, a multiple of those that share"
        )
    raise_all(problems)


def _near(ranks: Ranks) -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))


def _mesh(device: torch.device, ranks: Ranks, how: ShardingName) -> DeviceMesh:
    """Return the ranks in a grid: copies of the model, where there are any, its parts, and those that share layers."""
    parts = (ranks.size if how == "full" else _near(ranks)) // ranks.tensor
    sizes = {"replicate": ranks.size // ranks.tensor // parts, "shard": parts, "tensor": ranks.tensor}
    if how == "full":
        del sizes["replicate"]
    if ranks.tensor == 1:
        del sizes["tensor"]
    return init_device_mesh(device.type, tuple(sizes.values()), mesh_dim_names=tuple(sizes))
