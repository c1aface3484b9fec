"""Tensor parallelism: ranks share the matrices of each layer, and compute each token together.

A rank has some of the attention heads and some of the feed-forward's channels. What the ranks add to the stream is
summed, twice in a layer (Shoeybi et al. 2019, arXiv 1909.08053). All families are one decoder, so one plan serves all
of them. Embedding, norms and head are whole on each rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from scratchlm.model.attention import Attention
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Block, Decoder
from scratchlm.model.feedforward import Experts

PLAN: Mapping[str, type[ColwiseParallel | RowwiseParallel]] = {
    "attention.query": ColwiseParallel,
    "attention.key": ColwiseParallel,
    "attention.value": ColwiseParallel,
    "attention.output": RowwiseParallel,
    "attention.value_embedding.table": ColwiseParallel,
    "attention.value_embedding.gate": ColwiseParallel,
    "feed_forward.gate": ColwiseParallel,
    "feed_forward.up": ColwiseParallel,
    "feed_forward.down": RowwiseParallel,
}
"""How the modules of a block are cut: by their outputs (Colwise) or by their inputs (Rowwise), whose products are
summed."""
OF_EXPERTS: Mapping[str, int] = {"gate": 1, "up": 1, "down": 2}
"""Which dimension of the stacked weights of experts is that of their channels."""


def cut_problems(config: DecoderConfig, ranks: int) -> list[str]:
    """Return a line for each size that these ranks cannot share equally."""
    attention = config.attention
    sizes = {
        "attention.heads": attention.heads,
        "attention.kv_heads": attention.kv_heads,
        "feed_forward.hidden": config.feed_forward.hidden,
    }
    return [
        f"--tensor-parallel {ranks}: does not divide model.{name}, {size}; take a divisor of it"
        for name, size in sizes.items()
        if size % ranks
    ]


def cut_matrices(decoder: Decoder, mesh: DeviceMesh) -> list[nn.Module]:
    """Cut the matrices of all blocks among the ranks of a mesh with one dimension.

    Returns the modules whose weight is whole on each rank while each computes a part of its gradient: `sum_parts`
    brings the parts together after the backward pass.
    """
    summed: list[nn.Module] = []
    for block in decoder.blocks:
        assert isinstance(block, Block)
        has = dict(block.named_modules())
        if isinstance(block.feed_forward, Experts):
            summed.append(_cut_experts(block.feed_forward, mesh))
            has = {name: part for name, part in has.items() if not name.startswith("feed_forward.")}
        plan: dict[str, ParallelStyle] = {name: style() for name, style in PLAN.items() if name in has}
        parallelize_module(block, mesh, plan)
        summed += _cut_norms(block.attention, mesh)
    return summed


def sum_parts(modules: list[nn.Module], mesh: DeviceMesh) -> None:
    """Replace the gradient of each module's weight by its sum over the ranks of a mesh."""
    for module in modules:
        gradient = cast(nn.Parameter, module.weight).grad
        if gradient is not None:
            dist.all_reduce(cast(DTensor, gradient).to_local(), group=mesh.get_group())


def gathered(part: Tensor, dim: int, mesh: DeviceMesh) -> Tensor:
    """Join the parts of a tensor that the ranks of a mesh have, in their order; their gradients are summed."""
    return DTensor.from_local(part, mesh, [Shard(dim)], run_check=False).full_tensor(grad_placements=[Partial()])


def _cut_experts(experts: Experts, mesh: DeviceMesh) -> nn.Module:
    """Give each rank a part of every expert's channels; return the router."""
    for name, dim in OF_EXPERTS.items():
        weights = cast(nn.Parameter, getattr(experts, name))
        setattr(experts, name, nn.Parameter(distribute_tensor(weights, mesh, [Shard(dim)])))

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        read = DTensor.from_local(inputs[0], mesh, [Replicate()], run_check=False)
        return (read.to_local(grad_placements=[Partial()]),)

    def after(_: nn.Module, inputs: tuple[Any, ...], mixed: Tensor) -> Tensor:
        return DTensor.from_local(mixed, mesh, [Partial()], run_check=False).full_tensor()

    experts.register_forward_pre_hook(before)
    experts.register_forward_hook(after)
    return experts.router


def _cut_norms(attention: Attention, mesh: DeviceMesh) -> list[nn.Module]:
    """Let norms of all heads together see those of the other ranks; return the norms that have a weight."""
    norms = [norm for norm in (attention.query_norm, attention.key_norm) if norm is not None]
    for norm in norms if attention.config.qk_norm_span == "all" else ():
        norm.register_forward_pre_hook(lambda _, inputs: (gathered(inputs[0], 2, mesh),))
        norm.register_forward_hook(lambda _, inputs, normed: normed.chunk(mesh.size(), dim=2)[mesh.get_local_rank()])
    return [norm for norm in norms if norm.weight is not None]
