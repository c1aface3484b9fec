"""Recurrent language models (LSTM, GRU), the standard before attention, trained by the same loop.

A recurrent network reads a text token by token and updates one state of fixed size. Information about the beginning
must pass through every step since; a transformer attends to each earlier token directly.

`lstm_step` and `gru_step` write out one step; the network uses torch's own layers, which give the same numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.config import ClassesConfig, DecoderConfig
from scratchlm.model.network import CausalLM
from scratchlm.model.norms import build_norm

Cell = Literal["lstm", "gru"]


class RecurrentDecoder(CausalLM):
    """Embedding, recurrent layers, head: trains, evaluates and samples like a decoder, but without a cache.

    Of its `config` only vocabulary, context, width, layers, dropout, norm, init_std, classes and tying are used.
    Texts begin with a zero state. Sampling reads the whole text again for each token.
    """

    def __init__(self, config: DecoderConfig, cell: Cell = "lstm") -> None:
        super().__init__(config)
        self.cell = cell
        self.blocks = nn.ModuleList()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.layers = nn.ModuleList(kind(config.width, config.width, batch_first=True) for _ in range(config.layers))
        self.final_norm = build_norm(config.width, config.norm)
        self.head = None if config.tied else nn.Linear(config.width, config.vocabulary_size, bias=False)
        classes = config.classes.count if isinstance(config.classes, ClassesConfig) else None
        self.classifier = None if classes is None else nn.Linear(config.width, classes, bias=False)

    def hidden(self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None) -> Float[Tensor, "B T D"]:
        """Return the last layer's state after each token; layers have residual connections."""
        assert documents is None, "a recurrent network reads rows of one text each"
        x: Tensor = self.dropout(self.embedding(ids))
        for layer in self.layers:
            made, _ = layer(x)
            x = x + self.dropout(made)
        return self.final_norm(x)

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token: 6 for each weight of a matrix product."""
        table = 0 if self.config.tied else self.embedding.weight.numel()
        return 6.0 * (self.parameter_count() - table)


def build_recurrent(config: DecoderConfig, cell: Cell = "lstm", seed: int = 0) -> RecurrentDecoder:
    """Build a recurrent decoder with weights drawn from `seed`.

    Matrices of a layer are uniform within 1 / sqrt(width), biases 0 except the LSTM's forget gate, whose bias starts at
    1, so that a new network remembers (Jozefowicz et al. 2015, "An empirical exploration of recurrent network
    architectures").
    """
    network = RecurrentDecoder(config, cell)
    generator = torch.Generator().manual_seed(seed)
    bound, width = 1 / math.sqrt(config.width), config.width
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("layers.") and parameter.dim() == 2:
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.startswith("layers."):
                parameter.zero_()
                if cell == "lstm" and "bias_ih" in name:
                    parameter[width : 2 * width] = 1.0
            elif parameter.dim() == 2:
                parameter.normal_(0.0, config.init_std, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)  # the norm's
    return network


def _weights(layer: nn.LSTM | nn.GRU) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the input and state matrices, then their biases, with the gates stacked along the rows."""
    named = dict(layer.named_parameters())
    return named["weight_ih_l0"], named["weight_hh_l0"], named["bias_ih_l0"], named["bias_hh_l0"]


def lstm_step(
    layer: nn.LSTM, x: Float[Tensor, "B D"], state: Float[Tensor, "B D"], memory: Float[Tensor, "B D"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
    """Return hidden state and cell state after one token (Hochreiter and Schmidhuber 1997; gates: Gers et al. 2000).

    The cell state changes only by addition and the forget gate, so that its gradient survives many steps.
    """
    of_input, of_state, bias_input, bias_state = _weights(layer)
    scores = x @ of_input.T + bias_input + state @ of_state.T + bias_state
    take, keep, new, show = scores.chunk(4, dim=-1)
    memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
    return show.sigmoid() * memory.tanh(), memory


def gru_step(layer: nn.GRU, x: Float[Tensor, "B D"], state: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Return the state after one more token (Cho et al. 2014, arXiv 1406.1078; torch's form of the reset gate)."""
    of_input, of_state, bias_input, bias_state = _weights(layer)
    given = (x @ of_input.T + bias_input).chunk(3, dim=-1)
    known = (state @ of_state.T + bias_state).chunk(3, dim=-1)
    reset = (given[0] + known[0]).sigmoid()
    keep = (given[1] + known[1]).sigmoid()
    new = (given[2] + reset * known[2]).tanh()
    return keep * state + (1 - keep) * new
