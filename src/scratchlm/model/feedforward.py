"""Feed-forward layers: what each position computes on its own, between the attentions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.base.errors import UserError
from scratchlm.model.config import ExpertsConfig, FeedForwardConfig, MLPConfig, SwiGLUConfig
from scratchlm.model.hook import LayerHook
from scratchlm.model.kernels import fast_relu_squared


def relu_squared(x: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """Return `relu(x) ** 2` (So et al. 2021, arXiv 2109.08668), with a gradient of two passes instead of five."""
    if torch.compiler.is_compiling():
        return F.relu(x).square()
    return fast_relu_squared(x)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu_squared": relu_squared,
}


class FeedForward(nn.Module, ABC):
    """What each position computes on its own. A part of another class shows a hook what goes in and out, no more."""

    @property
    @abstractmethod
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "B T D"], hook: LayerHook | None = None) -> Float[Tensor, "B T D"]:
        """Transform each position; the shape is kept."""


def shown(hook: LayerHook | None, name: str, value: Tensor) -> Tensor:
    """Show a value to a hook, if there is one; return what takes its place."""
    return value if hook is None else hook(name, value)


class SwiGLU(FeedForward):
    """`down(silu(gate(x)) * up(x))` (arXiv 2002.05202), or with another activation."""

    def __init__(self, width: int, config: SwiGLUConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.gate = nn.Linear(width, config.hidden, bias=config.bias)
        self.up = nn.Linear(width, config.hidden, bias=config.bias)
        self.down = nn.Linear(config.hidden, width, bias=config.bias)

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""
        return self.down.weight

    def forward(self, x: Float[Tensor, "B T D"], hook: LayerHook | None = None) -> Float[Tensor, "B T D"]:
        """Transform each position; the shape is kept."""
        gate, up = shown(hook, "mlp.hook_pre", self.gate(x)), shown(hook, "mlp.hook_pre_linear", self.up(x))
        return self.down(shown(hook, "mlp.hook_post", self.activation(gate) * up))


class Experts(FeedForward):
    """A mixture of gated feed-forwards (see `ExpertsConfig`); the weights of all experts are stacked."""

    def __init__(self, width: int, config: ExpertsConfig) -> None:
        super().__init__()
        self.config = config
        self.router = nn.Linear(width, config.experts, bias=False)
        self.gate = nn.Parameter(torch.empty(config.experts, config.hidden, width))
        self.up = nn.Parameter(torch.empty(config.experts, config.hidden, width))
        self.down = nn.Parameter(torch.empty(config.experts, width, config.hidden))

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream, of all experts."""
        return self.down

    @property
    def idle(self) -> int:
        """Weights that a token does not pass through."""
        return 3 * self.down[0].numel() * (self.config.experts - self.config.chosen)

    def forward(self, x: Float[Tensor, "B T D"], hook: LayerHook | None = None) -> Float[Tensor, "B T D"]:
        """Transform each position by the experts that its router gives the largest weights."""
        tokens = x.flatten(0, -2)  # (N, D)
        weights, chosen = self.router(tokens).float().softmax(-1).topk(self.config.chosen, dim=-1)
        if self.config.normalised:
            weights = weights / weights.sum(-1, keepdim=True)
        if hook is not None:
            shares = weights.new_zeros(len(tokens), self.config.experts).scatter(1, chosen, weights)
            edited = hook("mlp.hook_expert_weights", shares.view(*x.shape[:-1], -1))
            if edited.flatten(0, -2).scatter(1, chosen, 0.0).any():
                raise UserError("mlp.hook_expert_weights: an edit can weigh only the experts that were chosen")
            weights = edited.flatten(0, -2).gather(1, chosen)
        mixed = torch.zeros_like(tokens)
        for expert in chosen.unique().tolist():
            at, place = (chosen == expert).nonzero(as_tuple=True)
            read = tokens[at]
            inside = F.silu(F.linear(read, self.gate[expert])) * F.linear(read, self.up[expert])
            added = F.linear(inside, self.down[expert]) * weights[at, place, None]
            mixed.index_add_(0, at, added.to(mixed.dtype))
        return mixed.view_as(x)


class MLP(FeedForward):
    """`down(activation(up(x)))`."""

    def __init__(self, width: int, config: MLPConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(width, config.hidden, bias=config.bias)
        self.down = nn.Linear(config.hidden, width, bias=config.bias)

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added to the stream."""
        return self.down.weight

    def forward(self, x: Float[Tensor, "B T D"], hook: LayerHook | None = None) -> Float[Tensor, "B T D"]:
        """Transform each position; the shape is kept."""
        inside = shown(hook, "mlp.hook_pre", self.up(x))
        return self.down(shown(hook, "mlp.hook_post", self.activation(inside)))


def build_feed_forward(width: int, config: FeedForwardConfig) -> FeedForward:
    """Build the feed-forward layer that the type of `config` names."""
    match config:
        case SwiGLUConfig():
            return SwiGLU(width, config)
        case MLPConfig():
            return MLP(width, config)
        case ExpertsConfig():
            return Experts(width, config)
