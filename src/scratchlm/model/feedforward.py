"""Feed-forward layers: what each position computes on its own, between the attentions."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.config import FeedForwardConfig, MLPConfig, SwiGLUConfig


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) * up(x))` (arXiv 2002.05202), without biases."""

    def __init__(self, width: int, config: SwiGLUConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(width, config.hidden, bias=False)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Transform each position; the shape is kept."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class MLP(nn.Module):
    """`down(activation(up(x)))`."""

    def __init__(self, width: int, config: MLPConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.up = nn.Linear(width, config.hidden, bias=config.bias)
        self.down = nn.Linear(config.hidden, width, bias=config.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Transform each position; the shape is kept."""
        return self.down(self._activate(self.up(x)))

    def _activate(self, x: Tensor) -> Tensor:
        match self.activation:
            case "gelu":
                return F.gelu(x)
            case "gelu_tanh":
                return F.gelu(x, approximate="tanh")
            case "relu_squared":
                return F.relu(x).square()


def build_feed_forward(width: int, config: FeedForwardConfig) -> SwiGLU | MLP:
    """Build the feed-forward layer that the type of `config` names."""
    match config:
        case SwiGLUConfig():
            return SwiGLU(width, config)
        case MLPConfig():
            return MLP(width, config)
