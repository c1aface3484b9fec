"""Gated DeltaNet: a recurrent net in the place of attention, with a memory that is written by the gated delta rule.

Yang et al. 2024, "Gated Delta Networks" (arXiv 2412.06464). Each head keeps a matrix that maps keys to values. A new
token makes it fade, takes away what it holds for the new key, and writes the new value in its place. `delta_rule` does
so step by step; `delta_rule_in_chunks` gives the same for a chunk of tokens at once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.base import Attention, AttentionContext, Cached, project_back
from scratchlm.model.config import RMSNormConfig
from scratchlm.model.norms import RMSNorm

CHUNK = 32
"""Tokens that are read at once."""
REACH = 3
"""Earlier tokens that the short convolution over queries, keys and values reads."""

Keys = Float[Tensor, "B H T E"]
Values = Float[Tensor, "B H T F"]
Gates = Float[Tensor, "B H T"]
Memory = Float[Tensor, "B H E F"]


def delta_rule(q: Keys, k: Keys, v: Values, fading: Gates, writing: Gates, memory: Memory) -> tuple[Values, Memory]:
    """Read and write one token after another; return what is read at each, and the memory after the last.

    `fading` is the logarithm of what is left of the memory at each token, `writing` how much of the new value is
    written: S' = e^fading * S, then S = S' + k (writing * (v - S'^T k))^T, and the output is S^T q.
    """
    outputs = []
    for at in range(q.size(2)):
        memory = fading[:, :, at, None, None].exp() * memory
        recalled = torch.einsum("bhef,bhe->bhf", memory, k[:, :, at])
        new = writing[:, :, at, None] * (v[:, :, at] - recalled)
        memory = memory + k[:, :, at, :, None] * new[:, :, None]
        outputs.append(torch.einsum("bhef,bhe->bhf", memory, q[:, :, at]))
    return torch.stack(outputs, 2), memory


def delta_rule_in_chunks(
    q: Keys, k: Keys, v: Values, fading: Gates, writing: Gates, memory: Memory, chunk: int = CHUNK
) -> tuple[Values, Memory]:
    """Return what `delta_rule` does, by a triangular system of equations for the values written in each chunk.

    Within a chunk the memory is e^(total fading) S plus a sum over its earlier keys, so the values written depend on
    each other linearly (Yang et al. 2024, arXiv 2406.06484, section 3).
    """
    outputs = []
    parts = (torch.split(each, chunk, 2) for each in (q, k, v, fading, writing))
    for queries, keys, values, logs, amounts in zip(*parts, strict=True):
        total = logs.cumsum(-1)  # (B, H, C)
        left = (total[..., :, None] - total[..., None, :]).tril().exp().tril()  # what is left at t of what i wrote
        recalled = total.exp()[..., None] * (keys @ memory)
        mixing = amounts[..., None] * (left * (keys @ keys.mT)).tril(-1)
        one = torch.eye(keys.size(2), dtype=keys.dtype, device=keys.device)
        written = torch.linalg.solve_triangular(
            one + mixing, amounts[..., None] * (values - recalled), upper=False, unitriangular=True
        )
        outputs.append(total.exp()[..., None] * (queries @ memory) + (left * (queries @ keys.mT)) @ written)
        end = total[..., -1:]
        memory = end.exp()[..., None] * memory + ((end - total).exp()[..., None] * keys).mT @ written
    return torch.cat(outputs, 2), memory


class DeltaMemory:
    """What a layer keeps of a text, however long it is: the memory, and the last inputs of its convolution."""

    def __init__(self, cache: Any) -> None:
        self.memory: Memory | None = None
        self.inputs: Float[Tensor, "B R I"] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(each.nbytes for each in (self.memory, self.inputs) if each is not None)

    def keep(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all rows but these."""
        self.memory = None if self.memory is None else self.memory[rows]
        self.inputs = None if self.inputs is None else self.inputs[rows]


class GatedDeltaNet(Attention):
    """Convolve, read and write the memory, norm and gate what was read, project back."""

    def __init__(self, width: int, heads: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim
        inside = heads * (2 * key_dim + value_dim)
        self.mixed = nn.Linear(width, inside, bias=False)
        self.convolution = nn.Parameter(torch.zeros(inside * (REACH + 1)))  # a vector: Muon is for matrices
        self.gates = nn.Linear(width, 2 * heads, bias=False)
        self.fade = nn.Parameter(torch.zeros(heads))
        self.shift = nn.Parameter(torch.zeros(heads))
        self.norm = RMSNorm(value_dim, RMSNormConfig())
        self.gate = nn.Linear(width, heads * value_dim, bias=False)
        self.output = nn.Linear(heads * value_dim, width, bias=False)

    @torch.no_grad()
    def begin(self) -> None:
        """Begin with a convolution that reads the token itself, and memories that last for 16 to 256 tokens."""
        self.convolution.zero_()
        self.convolution.view(-1, REACH + 1)[:, -1] = 1.0
        assert self.norm.weight is not None, "its configuration has a weight"
        self.norm.weight.fill_(1.0)
        self.fade.zero_()
        lasting = torch.logspace(4, 8, self.heads, base=2.0)
        self.shift.copy_(torch.log(torch.expm1(1 / lasting)))

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""
        return self.output.weight

    @property
    def cached(self) -> tuple[Cached, ...]:
        """Nothing for each position."""
        return ()

    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Mix information between positions; the shape is kept."""
        kept = None if context.cache is None else context.cache.of(self, DeltaMemory)
        inputs = self.mixed(x)
        before = None if kept is None else kept.inputs
        before = inputs.new_zeros(len(x), REACH, inputs.size(-1)) if before is None else before.to(inputs.dtype)
        inputs = torch.cat([before, inputs], 1)
        weights = self.convolution.view(-1, 1, REACH + 1).to(inputs.dtype)
        mixed = F.silu(F.conv1d(inputs.mT, weights, groups=inputs.size(-1)).mT)
        of_keys, of_values = self.heads * self.key_dim, self.heads * self.value_dim
        parts = torch.split(mixed, [of_keys, of_keys, of_values], -1)
        q, k, v = (torch.unflatten(each, -1, (self.heads, -1)).transpose(1, 2).float() for each in parts)
        q, k = F.normalize(q, dim=-1) / self.key_dim**0.5, F.normalize(k, dim=-1)
        fade, write = self.gates(x).float().transpose(1, 2).chunk(2, 1)  # (B, H, T) each
        fading = -self.fade.float().exp()[:, None] * F.softplus(fade + self.shift.float()[:, None])
        memory = q.new_zeros(len(x), self.heads, self.key_dim, self.value_dim)
        memory = memory if kept is None or kept.memory is None else kept.memory
        rule = delta_rule if x.size(1) == 1 else delta_rule_in_chunks
        read, memory = rule(q, k, v, fading, write.sigmoid(), memory)
        if kept is not None:
            kept.memory, kept.inputs = memory, inputs[:, -REACH:]
        gate = self.gate(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return project_back(self.output, self.norm(read.to(x.dtype)) * F.silu(gate), context)
