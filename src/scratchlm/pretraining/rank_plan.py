"""What each of many ranks holds and sends in a step, counted before any of them is started."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from scratchlm.model.decoder import Decoder
from scratchlm.training.config import MuonConfig, ShardingName, TrainingConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.profiling import Memory, estimate_memory

BYTES = 4
"""Of a number that is held and sent: fp32."""
OF_A_BLOCK, OF_THE_REST = 4, 2
"""How often the numbers of the largest block and those outside of blocks are there whole: weights and gradients, and of
a block the buffers in which it comes and its gradient goes."""


@dataclass(frozen=True)
class RankPlan:
    """One of equal ranks."""

    ranks: int
    sharding: ShardingName
    memory: Memory
    """Of its own rows, in bytes; weights and gradients are those it keeps."""
    gathered: int
    """Bytes of weights and gradients that are whole for a while."""
    first: int
    """Bytes that the first rank holds besides: the whole model, to save it."""
    sent: int
    """Bytes that it sends in a step, where collectives go round in a ring."""

    @property
    def total(self) -> int:
        """Bytes of any rank but the first, at the peak: activations go as gradients come."""
        numbers = self.memory
        return numbers.weights + numbers.optimizer + max(numbers.gradients, numbers.activations) + self.gathered


def plan_of_rank(
    decoder: Decoder, config: TrainingConfig, dtype: torch.dtype, ranks: int, sharding: ShardingName, near: int
) -> RankPlan:
    """Count a rank of `ranks`, of which `near` share a machine; takes a model without memory."""
    rows = -(-config.batch_size // ranks)
    own = estimate_memory(decoder, replace(config, batch_size=rows), dtype)
    parts = {"none": 1, "full": ranks, "hybrid": min(near, ranks)}[sharding]
    numbers, copies = decoder.parameter_count(), ranks // parts
    activations, gathered, first = own.activations, 0, 0
    if sharding != "none":
        blocks = [sum(weight.numel() for weight in block.parameters()) for block in decoder.blocks]
        largest, outside = max(blocks, default=0), numbers - sum(blocks)
        gathered = BYTES * (OF_A_BLOCK * largest + OF_THE_REST * outside)
        activations -= (4 + dtype.itemsize) * decoder.head_weight.numel()  # its gradients: of the rest, counted above
        first = BYTES * numbers
    memory = Memory(own.weights // parts, own.gradients // parts, own.optimizer // parts, activations)
    return RankPlan(ranks, sharding, memory, gathered, first, _sent(decoder, config, parts, copies))


def _sent(decoder: Decoder, config: TrainingConfig, parts: int, copies: int) -> int:
    """Return the bytes of a step: a gather or a sum into parts sends each number once, less the own part."""
    numbers = decoder.parameter_count()
    in_blocks = sum(weight.numel() for weight in decoder.blocks.parameters())
    inside, over = (parts - 1) / parts, (copies - 1) / copies
    gathers = 2 * in_blocks + (numbers - in_blocks)  # blocks on the way there and on the way back
    sent = inside * (gathers + numbers) + 2 * over * numbers / parts
    if isinstance(config.optimizer, MuonConfig):
        ranks = parts * copies
        sent += inside * matrix_weights(decoder) + (ranks - 1) / ranks * matrix_weights(decoder)
    return round(BYTES * sent)
